"""Ask this service itself about one picture, as any client would: the same queue, batches, limits and refusals."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter
from starlette.types import ASGIApp, Message, Scope

from runtime.answers.pipeline import PipelineResult
from runtime.answers.results import Prediction
from runtime.answers.segmentation import Segmentation
from runtime.serving.intake.body_forms import BYTES

_ANSWERS: dict[str, TypeAdapter[Any]] = {
    "predict": TypeAdapter(list[Prediction]),
    "segment": TypeAdapter(list[Segmentation]),
    "detect": TypeAdapter(list[PipelineResult]),
}


class AskingError(ValueError):
    """A picture that the service refused. status: of its answer. code: of the error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(eq=False)
class _Answer:
    """What the application sends."""

    status: int = 0
    parts: list[bytes] = field(default_factory=list)

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.parts.append(message.get("body", b""))


async def ask(app: ASGIApp, scope: Scope, api: str, picture: bytes) -> Prediction:
    """Return what the model behind an API says of a picture's file. Raises AskingError for what it refuses.

    scope: of the request that is answered with it, whose server and client the question has.
    """
    is_sent = False

    async def receive() -> Message:
        nonlocal is_sent
        if is_sent:
            await asyncio.Event().wait()  # the one who asks does not go away; if its own client does, this is cancelled
        is_sent = True
        return {"type": "http.request", "body": picture, "more_body": False}

    headers = [(b"content-type", BYTES.encode()), (b"content-length", b"%d" % len(picture))]
    path = f"/{api}"
    asked = {
        **{key: scope[key] for key in ("type", "asgi", "http_version", "scheme", "server", "client") if key in scope},
        "method": "POST", "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"",
        "headers": headers, "state": {}, "extensions": {},
    }  # fmt: skip
    answer = _Answer()
    await app(asked, receive, answer.take)
    body = b"".join(answer.parts)
    if answer.status != 200:
        error = json.loads(body)["error"]
        raise AskingError(answer.status, error["code"], error["message"])
    [prediction] = _ANSWERS[api].validate_json(body)
    assert isinstance(prediction, Prediction)
    return prediction
