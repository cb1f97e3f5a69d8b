"""What the gate before BentoML lets through and what it refuses."""

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from runtime.serving.edge import AdmissionMiddleware


def ask(method: str, path: str, is_full: bool) -> tuple[list[Message], list[str]]:
    """Send one request through the gate; return what was answered and which paths came through."""
    sent: list[Message] = []
    reached: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope["path"])

    async def receive() -> Message:
        raise AssertionError("the body of a refused request must not be waited for")

    async def send(message: Message) -> None:
        sent.append(message)

    gate = AdmissionMiddleware(app, ["/predict", "/segment"], lambda _path: is_full)
    asyncio.run(gate({"type": "http", "method": method, "path": path}, receive, send))
    return sent, reached


def test_a_request_is_refused_before_the_application_and_its_body() -> None:
    sent, reached = ask("POST", "/predict", is_full=True)
    assert reached == ask("POST", "/segment", is_full=True)[1] == []
    assert [(message["type"], message.get("status")) for message in sent] == [
        ("http.response.start", 503),
        ("http.response.body", None),
    ]


@pytest.mark.parametrize(
    ("method", "path", "is_full"),
    [("POST", "/predict", False), ("GET", "/metrics", True), ("OPTIONS", "/predict", True), ("POST", "/other", True)],
)
def test_everything_else_passes(method: str, path: str, is_full: bool) -> None:
    sent, reached = ask(method, path, is_full)
    assert (sent, reached) == ([], [path])


def test_what_is_no_http_passes() -> None:
    """The lifespan of the application has neither method nor path."""
    reached = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope["type"])

    async def unused() -> Message:
        raise AssertionError

    async def unused_send(message: Message) -> None:
        raise AssertionError

    asyncio.run(AdmissionMiddleware(app, [], lambda _path: True)({"type": "lifespan"}, unused, unused_send))
    assert reached == ["lifespan"]
