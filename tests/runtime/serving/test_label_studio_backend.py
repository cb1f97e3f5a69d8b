"""Label Studio's backend does not hold up the loop that serves, and a client that goes is no error of the service."""

import asyncio
import json
import threading
from typing import Any, cast

import pytest
from starlette.types import Message, Receive, Scope, Send

from runtime.answers.classification import ModelIdentity, Prediction
from runtime.serving.label_studio import backend
from runtime.serving.label_studio.backend import LabelStudioBackend
from runtime.serving.label_studio.pictures import LabelStudioPictures
from runtime.serving.request_record import RequestRecordMiddleware

MODEL = ModelIdentity(name="m", version="1", sha256="0" * 64)
ANSWER = Prediction(
    label="red", class_id=0, probability=1.0, probabilities={"red": 1.0}, logits={"red": 1.0}, model=MODEL
)
TEMPLATE = """<View><Image name="i" value="$image"/>
<Choices name="c" toName="i"><Choice value="red"/></Choices></View>"""
BODY = json.dumps({"tasks": [{"id": 1, "data": {"image": "/a.png"}}], "label_config": TEMPLATE}).encode()


class Pictures:
    async def fetch(self, address: object) -> bytes:
        return b"a picture"


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as `/predict` does."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"[" + ANSWER.model_dump_json().encode() + b"]"})


def ask(message: Message) -> list[Message]:
    """Return what is sent for a call whose body comes as `message`, and whose client then stays."""
    messages, sent = [message], list[Message]()

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    pictures = cast(LabelStudioPictures, Pictures())
    app = LabelStudioBackend(answering, answering, pictures, lambda: {"predict": MODEL}, max_tasks=2)
    scope = {"type": "http", "method": "POST", "path": "/labelstudio/predict", "headers": []}
    asyncio.run(RequestRecordMiddleware(app)(scope, receive, send))
    return sent


def test_suggestions_are_written_beside_the_loop_that_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    def suggest(*_: Any) -> dict[str, Any]:
        threads.append(threading.current_thread())
        return {"score": 1.0}

    monkeypatch.setattr(backend, "suggest", suggest)
    start, body = ask({"type": "http.request", "body": BODY, "more_body": False})
    assert (start["status"], json.loads(body["body"])) == (200, {"results": [{"score": 1.0}], "errors": []})
    assert threads[0] is not threading.main_thread()


def test_client_that_goes_before_its_body_ends_is_no_fault_of_ours() -> None:
    start, _ = ask({"type": "http.disconnect"})
    assert start["status"] == 504
