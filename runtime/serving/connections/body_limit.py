"""How much a client may send and how long it may take: counted while the body streams, so nothing piles up.

BentoML and uvicorn bound neither. A refusal is raised where the body is read and answered as any other. If the rest
of the body has no bound, the connection is closed after the answer; reading on for a moment lets the client see the
answer, because closing at once would reset the connection under it.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.answers.refusals import RequestErrorCode, RequestRefused

RETRY_AFTER_S = 1  # bodies go as their requests are answered
LINGER_S = 2.0  # like nginx's lingering_close, but shorter: a client that reads at all has the answer by then


@dataclass(eq=False)
class BodyBudget:
    """What the bodies of all requests of a process may have together while their requests are not over."""

    max_bytes: int
    held_bytes: int = 0

    def take(self, num_bytes: int) -> None:
        """Raises RequestRefused, having taken them all the same, if there are too many now."""
        self.held_bytes += num_bytes
        if self.held_bytes > self.max_bytes:
            message = f"the bodies of all requests have more than {self.max_bytes} bytes together; try again later"
            raise RequestRefused(RequestErrorCode.OVERLOADED, message, retry_after_s=RETRY_AFTER_S)

    def give_back(self, num_bytes: int) -> None:
        self.held_bytes -= num_bytes


class BodyLimit:
    """The body of one request: `receive` and `send` are the server's, bounded.

    num_bytes: of it that came, and were taken from `budget`.
    """

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, max_bytes: int, timeout_s: float, budget: BodyBudget
    ) -> None:
        self._receive, self._send = receive, send
        self._max_bytes, self._timeout_s = max_bytes, timeout_s
        self._budget = budget
        self.num_bytes = 0
        self._deadline_s: float | None = None
        self._is_complete = False
        self._is_closing = False
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        # None: not stated, as in chunked bodies. Without either header there is no body (RFC 9112, section 6.3).
        self._stated: int | None = int(length) if length.isdecimal() else None
        if self._stated is None and "transfer-encoding" not in headers:
            self._stated = 0
        self._is_asked_for = headers.get("expect", "").lower() != "100-continue"

    async def receive(self) -> Message:
        """Raises RequestRefused as soon as the body is too large or too slow, or all bodies together are too large."""
        if self._is_complete:
            return await self._receive()  # waits for the client to go
        if self._stated is not None and self._stated > self._max_bytes:
            raise self._too_large()
        loop = asyncio.get_running_loop()
        self._deadline_s = self._deadline_s or loop.time() + self._timeout_s
        self._is_asked_for = True
        try:
            async with asyncio.timeout_at(self._deadline_s):
                message = await self._receive()
        except TimeoutError as exc:
            self._is_closing = True
            raise RequestRefused(
                RequestErrorCode.BODY_TIMEOUT, f"the body did not arrive within {self._timeout_s:g} s"
            ) from exc
        num_bytes = len(message.get("body", b""))
        self.num_bytes += num_bytes
        self._is_complete = not message.get("more_body", False)
        self._budget.take(num_bytes)
        if self.num_bytes > self._max_bytes:
            raise self._too_large()
        return message

    async def send(self, message: Message) -> None:
        """Close the connection after an answer that comes before the end of a body without bound."""
        if message["type"] == "http.response.start" and not self._is_complete:
            is_unbounded = self._stated is None or self._stated > self._max_bytes
            # A client that waits for "100 Continue" may leave the body out after this, and nobody could tell.
            may_not_come = self._stated != 0 and not self._is_asked_for
            is_told = (b"connection", b"close") in message.get("headers", [])
            self._is_closing = self._is_closing or is_unbounded or may_not_come or is_told
            if self._is_closing and not is_told:
                message = {**message, "headers": [*message.get("headers", []), (b"connection", b"close")]}
        is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if not (is_last and self._is_closing):
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                await self._drain()
        await self._send({"type": "http.response.body"})

    async def _drain(self) -> None:
        while not self._is_complete:
            message = await self._receive()
            self._is_complete = not message.get("more_body", False)

    def _too_large(self) -> RequestRefused:
        return RequestRefused(
            RequestErrorCode.BODY_TOO_LARGE, f"the body is larger than the {self._max_bytes} bytes that are accepted"
        )


class BodyLimitMiddleware:
    """Pure ASGI: gives every HTTP request a `BodyLimit`, and all of them one `BodyBudget`."""

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float, max_inflight_bytes: int) -> None:
        self.app = app
        self._max_bytes, self._timeout_s = max_bytes, timeout_s
        self.budget = BodyBudget(max_inflight_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = BodyLimit(scope, receive, send, self._max_bytes, self._timeout_s, self.budget)
        try:
            await self.app(scope, body.receive, body.send)
        finally:
            self.budget.give_back(body.num_bytes)
