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


class Pictures:
    """Take some turns of the loop to come. most: how many were on their way at the same time."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def fetch(self, address: object) -> bytes:
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(50):
            await asyncio.sleep(0)
        self.now -= 1
        return b"a picture"


def call_of(num_tasks: int) -> Message:
    tasks = [{"id": number, "data": {"image": "/a.png"}} for number in range(num_tasks)]
    body = json.dumps({"tasks": tasks, "label_config": TEMPLATE}).encode()
    return {"type": "http.request", "body": body, "more_body": False}


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as `/predict` does."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"[" + ANSWER.model_dump_json().encode() + b"]"})


def backend_with(pictures: Pictures) -> RequestRecordMiddleware:
    asked = cast(LabelStudioPictures, pictures)
    app = LabelStudioBackend(answering, answering, asked, lambda: {"predict": MODEL}, max_tasks=20)
    return RequestRecordMiddleware(app)


async def ask(app: RequestRecordMiddleware, message: Message) -> list[Message]:
    """Return what is sent for a call whose body comes as `message`, and whose client then stays."""
    messages, sent = [message], list[Message]()

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/labelstudio/predict", "headers": []}
    await app(scope, receive, send)
    return sent


def test_suggestions_are_written_beside_the_loop_that_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    def suggest(*_: Any) -> dict[str, Any]:
        threads.append(threading.current_thread())
        return {"score": 1.0}

    monkeypatch.setattr(backend, "suggest", suggest)
    start, body = asyncio.run(ask(backend_with(Pictures()), call_of(1)))
    assert (start["status"], json.loads(body["body"])) == (200, {"results": [{"score": 1.0}], "errors": []})
    assert threads[0] is not threading.main_thread()


def test_client_that_goes_before_its_body_ends_is_no_fault_of_ours() -> None:
    start, _ = asyncio.run(ask(backend_with(Pictures()), {"type": "http.disconnect"}))
    assert start["status"] == 504


def test_pictures_of_all_calls_together_are_bounded() -> None:
    pictures = Pictures()

    async def scenario() -> list[list[Message]]:
        app = backend_with(pictures)
        return await asyncio.gather(*(ask(app, call_of(12)) for _ in range(3)))

    for start, body in asyncio.run(scenario()):
        assert (start["status"], len(json.loads(body["body"])["results"])) == (200, 12)
    assert pictures.most == backend.IN_FLIGHT_OF_ALL
