"""A bound on how long a client may take to send a request's headers, which uvicorn does not have.

uvicorn closes a kept connection that is silent, but a connection that never sent a whole request, or that sends a byte
now and then, is kept for ever. BentoML makes uvicorn's configuration itself and leaves its HTTP protocol at "auto", so
that word is what is given another meaning here: in this process, before uvicorn looks it up.
"""

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

from uvicorn.config import HTTP_PROTOCOLS

from runtime.answers.refusals import RequestErrorCode
from runtime.serving.connections.http_protocol import EdgeProtocol, HeadersFor


class HeaderTimeoutProtocol(EdgeProtocol):
    """The protocol with one timer a connection, which runs while the server waits for headers.

    It starts when a connection is made, and again after an answer with the first byte of what is not yet a whole head;
    that includes the rest of a body that nobody reads. It ends with the headers, in one comparison a request.

    Only who has begun a request is told when it is over. On a connection that has none, be it new, kept, or with the
    rest of a refused body on it, a word would be taken for the answer to the next request: it is closed in silence.
    """

    timeout_s: ClassVar[float] = 10.0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._start_timer_if_due()

    def on_headers_complete(self) -> None:
        if self._timer is not None:
            self._stop_timer()
        super().on_headers_complete()

    def on_unread_body_complete(self) -> None:
        self._stop_timer()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def go_on_after_answer(self) -> None:
        super().go_on_after_answer()
        self._start_timer_if_due()  # the head of the next request began to come while this one was answered

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _start_timer_if_due(self) -> None:
        if not (self.is_answering or self.is_deaf) and (self.has_begun_head or self.is_in_body):
            self._unset_keepalive_if_required()
            self._start_timer()

    def _start_timer(self) -> None:
        if not self.transport.is_closing():
            self._timer = self.loop.call_later(self.timeout_s, self._give_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if self.has_begun_head and not self.is_deaf:
            self.refuse(
                RequestErrorCode.HEADER_TIMEOUT, f"the request's headers did not arrive within {self.timeout_s:g} s"
            )
        elif not self.is_deaf:
            self.transport.close()


def bound_headers(timeout_s: float, on_refusal: Callable[[str], None], cors_headers: HeadersFor | None = None) -> None:
    """Have every uvicorn that is configured in this process from now on speak `HeaderTimeoutProtocol`.

    timeout_s: after which it gives up on headers. on_refusal, cors_headers: as in `EdgeProtocol`. Raises RuntimeError
    if uvicorn has no "auto".
    """
    if "auto" not in HTTP_PROTOCOLS:
        raise RuntimeError("uvicorn has no HTTP protocol 'auto'; install the version that requirements/serve.txt names")
    attributes: dict[str, Any] = {"timeout_s": timeout_s, "on_refusal": staticmethod(on_refusal)}
    if cors_headers is not None:
        attributes["cors_headers"] = staticmethod(cors_headers)
    bounded: Any = type("BoundedHeaders", (HeaderTimeoutProtocol,), attributes)
    HTTP_PROTOCOLS["auto"] = bounded  # uvicorn imports strings and takes anything else as it is
