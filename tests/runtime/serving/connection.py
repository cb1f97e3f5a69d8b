"""A connection to our protocol without a network: a transport that keeps what is written, an app that echoes."""

import asyncio
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from runtime.serving.connections.header_timeout import HeaderTimeoutProtocol

SLOW_TURNS = 10


class Transport(asyncio.Transport):
    """Keeps what is written; closed like a real one, but at once."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_ended = self.is_closed = False
        self.protocol: asyncio.Protocol | None = None
        self.sockets = socket.socketpair()  # one of them is what an operating system would be asked about

    def write(self, data: Any) -> None:
        if not self.is_closed:
            assert not self.is_ended
            self.written += bytes(data)

    def write_eof(self) -> None:
        self.is_ended = True

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            for end in self.sockets:
                end.close()
            assert self.protocol is not None
            self.protocol.connection_lost(None)

    abort = close

    def pause_reading(self) -> None:
        """Nothing more comes than a test sends."""

    def resume_reading(self) -> None:
        """See above."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.sockets[0] if name == "socket" else default


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with method, path and body; `/early` before the body, `/slow` some turns of the loop after it."""
    if scope["type"] != "http":
        return
    body = b""
    if scope["path"] != "/early":
        is_complete = False
        while not is_complete:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            is_complete = not message.get("more_body", False)
    if scope["path"] == "/slow":
        for _ in range(SLOW_TURNS):
            await asyncio.sleep(0)
    names = sorted(name.decode() for name, _ in scope["headers"])
    answer = json.dumps([scope["method"], scope["path"], body.decode("latin-1"), names]).encode()
    headers = [(b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


class Clock:
    """A loop whose time only goes on when a test says so; tasks run on the real one."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._timers: list[_Timer] = []

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> "_Timer":
        timer = _Timer(self.now_s + delay_s, callback, args)
        self._timers.append(timer)
        return timer

    def create_task(self, work: Any) -> Any:
        return asyncio.get_running_loop().create_task(work)

    def elapse(self, seconds: float) -> None:
        """Let time pass; what is due by then happens, in order."""
        end_s = self.now_s + seconds
        while due := [timer for timer in self._timers if timer.at_s <= end_s and not timer.is_done]:
            first = min(due, key=lambda timer: timer.at_s)
            self.now_s, first.is_done = first.at_s, True
            first.callback(*first.args)
        self.now_s = end_s


@dataclass(eq=False)
class _Timer:
    at_s: float
    callback: Callable[..., object]
    args: tuple[Any, ...]
    is_done: bool = False

    def cancel(self) -> None:
        self.is_done = True


@cache
def _config(app: Any, keep_alive_s: int) -> Config:
    config = Config(app, timeout_keep_alive=keep_alive_s, lifespan="off", log_config=None, ws="none")
    config.load()
    return config


@dataclass(frozen=True)
class Connection:
    """A connection that is open; what is sent to it is parsed at once, and answered when the loop runs."""

    protocol: HeaderTimeoutProtocol
    transport: Transport

    @classmethod
    def open(
        cls,
        timeout_s: float = 60.0,
        keep_alive_s: int = 60,
        clock: Clock | None = None,
        app: Any = echo,
        **attributes: Any,
    ) -> "Connection":
        """Must be called on a running loop. attributes: of the protocol's class."""
        config = _config(app, keep_alive_s)
        kind = type("Tested", (HeaderTimeoutProtocol,), {"timeout_s": timeout_s, **attributes})
        protocol = cast(HeaderTimeoutProtocol, kind(config, ServerState(), {}, clock))
        transport = Transport()
        transport.protocol = protocol
        protocol.connection_made(transport)
        return cls(protocol, transport)

    def send(self, data: bytes) -> None:
        """As a transport does: nothing comes through once it is closed."""
        if not self.transport.is_closed:
            self.protocol.data_received(data)

    def end(self) -> None:
        """The client has finished sending, or has gone."""
        if not self.transport.is_closed and not self.protocol.eof_received():
            self.transport.close()

    async def settle(self) -> None:
        """Let every task run until none of them can go on."""
        before = -1
        while self.protocol.tasks and len(self.transport.written) > before:
            before = len(self.transport.written)
            for _ in range(2 * SLOW_TURNS):
                await asyncio.sleep(0)


@dataclass(frozen=True)
class Answer:
    """One answer: status, headers in lower case, parsed body."""

    status: int
    headers: dict[str, str]
    body: Any


def answers(written: bytes) -> list[Answer]:
    """Take apart everything that a server wrote."""
    found = []
    while written:
        head, blank, rest = written.partition(b"\r\n\r\n")
        assert blank, written
        status_line, *lines = head.decode().split("\r\n")
        assert status_line.startswith("HTTP/1.1 ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers["content-length"])
        found.append(Answer(int(status_line.split()[1]), headers, json.loads(rest[:length])))
        written = rest[length:]
    return found
