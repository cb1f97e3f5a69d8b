"""Over real sockets: who has only finished sending gets the answer, who has gone is noticed before there is one."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from runtime.serving.connections.header_timeout import HeaderTimeoutProtocol

PATIENCE_S = 100
BODY = b"x" * 50_000
REQUEST = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])

NewLoop = Callable[[], asyncio.AbstractEventLoop]


class Work:
    """An application whose answer waits until a test lets it go, unless its client goes first."""

    server: asyncio.Server
    writer: asyncio.StreamWriter
    connections: set[Any]

    def __init__(self) -> None:
        self.begun, self.may_answer, self.gone = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        self.begun.set()
        watcher = asyncio.create_task(self._watch(receive))
        await self.may_answer.wait()
        watcher.cancel()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"done"})

    async def assert_departure_is_noticed(self) -> None:
        """Fail where the client has gone and that is not noticed before the time of `run` is over."""
        assert await self.gone.wait()

    async def close(self) -> None:
        """Leave nothing open, also where a test failed."""
        self.may_answer.set()
        self.writer.close()
        self.server.close()
        for connection in list(self.connections):
            connection.transport.abort()
        await self.server.wait_closed()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone.set()
        self.may_answer.set()


async def connect(work: Work) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    config = Config(work, lifespan="off", log_config=None, ws="none")
    config.load()
    state = ServerState()
    work.server = await asyncio.get_running_loop().create_server(
        lambda: HeaderTimeoutProtocol(config, state, {}), "127.0.0.1", 0
    )
    reader, work.writer = await asyncio.open_connection(*work.server.sockets[0].getsockname()[:2])
    work.connections = state.connections
    return reader, work.writer


def run(new_loop: NewLoop, talk: Callable[[Work], Coroutine[None, None, None]]) -> None:
    async def in_time() -> None:
        work = Work()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await talk(work)
        finally:
            await work.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(in_time())


@LOOPS
@pytest.mark.parametrize("num_requests", [1, 3])
def test_who_has_only_finished_sending_gets_every_answer(new_loop: NewLoop, num_requests: int) -> None:
    async def talk(work: Work) -> None:
        reader, writer = await connect(work)
        writer.write(REQUEST * num_requests)
        writer.write_eof()
        # The first bytes come before there is an answer: they tell who has gone.
        assert await reader.readexactly(9) == b"HTTP/1.1 "
        assert not work.gone.is_set()
        work.may_answer.set()
        rest = await reader.read()
        assert rest.startswith(b"200 OK\r\n")
        assert rest.count(b"HTTP/1.1 200 OK\r\n") == num_requests - 1
        assert rest.count(b"\r\n\r\ndone") == num_requests

    run(new_loop, talk)


@LOOPS
@pytest.mark.parametrize("num_requests", [1, 3])
def test_who_has_gone_is_noticed_while_the_work_is_done(new_loop: NewLoop, num_requests: int) -> None:
    async def talk(work: Work) -> None:
        _, writer = await connect(work)
        writer.write(REQUEST * num_requests)
        await work.begun.wait()
        writer.close()
        await work.assert_departure_is_noticed()

    run(new_loop, talk)


@LOOPS
def test_who_goes_after_it_has_finished_sending_is_noticed_if_it_has_not_read(new_loop: NewLoop) -> None:
    async def talk(work: Work) -> None:
        _, writer = await connect(work)
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport for reading, too
        writer.write(REQUEST)
        writer.write_eof()
        await work.begun.wait()
        writer.transport.abort()
        await work.assert_departure_is_noticed()

    run(new_loop, talk)
