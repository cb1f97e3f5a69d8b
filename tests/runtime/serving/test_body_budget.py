"""What all bodies together may hold, with the middleware as it is served and clients played by the test."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope, Send

from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.serving.connections.body_limit import BodyLimitMiddleware
from runtime.serving.error_bodies import ErrorBodyMiddleware, note_refusal

SCOPE: Scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", b"60")]}
MAX_INFLIGHT = 100


class Client:
    """Sends a body of 60 bytes in two chunks; the second once `may_end` is set."""

    def __init__(self, ending: Message | None = None) -> None:
        self.may_end = asyncio.Event()
        self.answer: list[Message] = []
        self._num_received = 0
        self._ending = ending or {"type": "http.request", "body": bytes(30), "more_body": False}

    async def receive(self) -> Message:
        self._num_received += 1
        if self._num_received == 1:
            return {"type": "http.request", "body": bytes(30), "more_body": True}
        await self.may_end.wait()
        return self._ending

    async def send(self, message: Message) -> None:
        self.answer.append(message)


async def read_all(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    try:
        await request.body()
    except RequestRefused as refusal:
        note_refusal(request.scope, refusal)
        await send({"type": "http.response.start", "status": 500, "headers": []})


async def read_and_fail(scope: Scope, receive: Receive, send: Send) -> None:
    await Request(scope, receive).body()
    raise RuntimeError("a fault of ours")


async def steps() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_body_beyond_what_all_may_have_is_refused_and_room_comes_back() -> None:
    async def scenario() -> None:
        app = BodyLimitMiddleware(ErrorBodyMiddleware(read_all), 64, 60, MAX_INFLIGHT)
        clients = [Client() for _ in range(4)]
        running = [asyncio.create_task(app(dict(SCOPE), client.receive, client.send)) for client in clients]
        await steps()
        assert app.budget.held_bytes == 90  # the fourth's first 30 bytes were too much, and are given back
        assert running[3].done()
        start, body = clients[3].answer
        assert start["status"] == 503
        assert (b"retry-after", b"1") in start["headers"]
        assert RequestErrorCode.OVERLOADED in body["body"].decode()
        assert b"more than 100 bytes together" in body["body"]
        clients[0].may_end.set()
        await running[0]
        assert clients[0].answer[0]["status"] == 503  # its last 30 bytes were too much as well
        clients[1].may_end.set()
        await running[1]
        assert not clients[1].answer  # `read_all` has nothing to say to a whole body
        clients[2].may_end.set()
        await running[2]
        assert app.budget.held_bytes == 0

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("make_client", "application", "error"),
    [
        (lambda: Client({"type": "http.disconnect"}), read_all, ClientDisconnect),
        (Client, read_and_fail, RuntimeError),
        (lambda: Client({"type": "http.request", "body": bytes(99), "more_body": True}), read_and_fail, RequestRefused),
    ],
)
def test_room_comes_back_however_a_request_ends(
    make_client: Callable[[], Client],
    application: Callable[[Scope, Receive, Send], Coroutine[None, None, None]],
    error: type[Exception],
) -> None:
    async def scenario() -> None:
        app = BodyLimitMiddleware(application, 64, 60, MAX_INFLIGHT)
        client = make_client()
        running = asyncio.create_task(app(dict(SCOPE), client.receive, client.send))
        await steps()
        assert app.budget.held_bytes == 30
        client.may_end.set()
        with pytest.raises(error):
            await running
        assert app.budget.held_bytes == 0
        cancelled = asyncio.create_task(app(dict(SCOPE), (late := make_client()).receive, late.send))
        await steps()
        assert app.budget.held_bytes == 30
        cancelled.cancel()
        await asyncio.wait([cancelled])
        assert app.budget.held_bytes == 0

    asyncio.run(scenario())
