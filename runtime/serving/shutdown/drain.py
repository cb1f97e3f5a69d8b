"""Ending a worker without losing a request: what was accepted is answered, what comes later is told so.

SIGTERM begins it, SIGINT too but without the grace. `/readyz` answers 503 at once, so that a load balancer turns away,
while requests are answered as before; then new ones are refused until those before them have their answers; then
nobody can connect any more, and uvicorn ends. docs/API.md has it from the outside.
"""

import asyncio
import logging
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import uvicorn
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.serving.shutdown.listening import stop_listening
from runtime.serving.shutdown.marker import is_stopping

LINGER_S = 0.5  # for requests that are on their way on kept connections when nothing is left to do
_POLL_S = 0.02
_TURNS = 3  # of the loop, which looks at its timers before it reads: a busy machine may have let it sleep longer
_RETRY_AFTER_S = 1  # the balancer has another one to send it to

logger = logging.getLogger("vision.drain")


@dataclass(eq=False)
class Drain:
    """How far this worker's end has come.

    grace_s: seconds in which `/readyz` says 503 and all else goes on. timeout_s: seconds after it that accepted
    requests have to be answered; connections of those that are not are dropped. is_draining: since the signal.
    is_refusing: since the end of the grace.
    """

    grace_s: float
    timeout_s: float
    is_draining: bool = field(default=False, init=False)
    is_refusing: bool = field(default=False, init=False)
    num_in_flight: int = field(default=0, init=False)
    _task: asyncio.Task[None] | None = field(default=None, init=False)

    def refusal(self) -> RequestRefused:
        """Return what a request is told that comes after the grace."""
        message = "the server is shutting down; send the request again"
        return RequestRefused(RequestErrorCode.SHUTTING_DOWN, message, retry_after_s=_RETRY_AFTER_S)

    def refuse_after_grace(self) -> None:
        """Raise RequestRefused after the grace."""
        if self.is_refusing:
            raise self.refusal()

    def install(self) -> None:
        """Take the signals over from the uvicorn that runs the current loop, and hand them on when all is done.

        Does nothing where no uvicorn has them, as in a test's thread.
        """
        server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
        if threading.current_thread() is threading.main_thread() and isinstance(server, uvicorn.Server):
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, self._begin, server, self.grace_s)
            loop.add_signal_handler(signal.SIGINT, self._begin_or_hurry, server)

    def _begin(self, server: uvicorn.Server, grace_s: float) -> None:
        if self._task is None:
            self.is_draining = True
            self._task = asyncio.get_running_loop().create_task(self._run(server, grace_s))

    def _begin_or_hurry(self, server: uvicorn.Server) -> None:
        if self._task is None:
            self._begin(server, 0.0)
        else:
            server.handle_exit(signal.SIGINT, None)

    async def _run(self, server: uvicorn.Server, grace_s: float) -> None:
        logger.warning("draining: not ready from now on, new requests are refused in %g s", grace_s)
        try:
            await asyncio.sleep(grace_s)
            self.is_refusing = True
            loop = asyncio.get_running_loop()
            until_s = loop.time() + self.timeout_s
            is_idle = await self._idle_until(until_s)
            await stop_listening(server, is_stopping())
            if is_idle:
                await asyncio.sleep(LINGER_S)
                for _ in range(_TURNS):
                    await asyncio.sleep(0)
                is_idle = await self._idle_until(max(until_s, loop.time() + LINGER_S))
            if not is_idle:
                logger.error("dropping %d requests that have no answer after %g s", self.num_in_flight, self.timeout_s)
                for connection in list(server.server_state.connections):
                    connection.transport.abort()
        finally:
            server.handle_exit(signal.SIGTERM, None)

    async def _idle_until(self, until_s: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                while self.num_in_flight:
                    await asyncio.sleep(_POLL_S)
        return not self.num_in_flight


class DrainMiddleware:
    """Pure ASGI: counts the requests in flight, has connections closed after their answers, sets up the signals."""

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self.app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self._drain.install()
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self._drain.num_in_flight += 1
        try:
            await self.app(scope, receive, partial(self._send, send))
        finally:
            self._drain.num_in_flight -= 1

    async def _send(self, send: Send, message: Message) -> None:
        if message["type"] == "http.response.start" and self._drain.is_draining:
            message.setdefault("headers", [])
            MutableHeaders(scope=message)["connection"] = "close"
        await send(message)
