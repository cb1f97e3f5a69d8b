"""A bound on how long a client may take to send a request's headers, which uvicorn does not have.

uvicorn closes a kept connection that is silent, but a connection that never sent a whole request, or that sends a byte
now and then, is kept for ever. BentoML makes uvicorn's configuration itself and leaves its HTTP protocol at "auto", so
that word is what is given another meaning here: in this process, before uvicorn looks it up.
"""

import asyncio
import json
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from runtime.refusals import STATUS, RequestErrorCode

_CODE = RequestErrorCode.HEADER_TIMEOUT


class HeaderTimeoutProtocol(HttpToolsProtocol):
    """uvicorn's protocol with one timer a connection, which runs while the server waits for headers.

    It starts when a connection is made, and again with what comes after an answer and is not yet a whole head; that
    includes the rest of a body that nobody reads. It ends with the headers, in one comparison a request.
    """

    timeout_s: ClassVar[float] = 10.0
    on_timeout: ClassVar[Callable[[], None]] = staticmethod(lambda: None)
    _timer: asyncio.TimerHandle | None = None
    _has_data = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        self._has_data = True
        super().data_received(data)
        if self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._start_timer()

    def on_headers_complete(self) -> None:
        self._stop_timer()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _start_timer(self) -> None:
        if not self.transport.is_closing():
            self._timer = self.loop.call_later(self.timeout_s, self._give_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self._has_data:
            self.transport.write(_answer(self.timeout_s))
            type(self).on_timeout()
        self.transport.close()


def bound_headers(timeout_s: float, on_timeout: Callable[[], None]) -> None:
    """Have every uvicorn that is configured in this process from now on give up on headers after `timeout_s`.

    on_timeout: called for each connection that had sent something. Raises RuntimeError if uvicorn has no "auto".
    """
    if "auto" not in HTTP_PROTOCOLS:
        raise RuntimeError("uvicorn has no HTTP protocol 'auto'; install the version that requirements/serve.txt names")
    bounded: Any = type(
        "BoundedHeaders",
        (HeaderTimeoutProtocol,),
        {"timeout_s": timeout_s, "on_timeout": staticmethod(on_timeout)},
    )
    HTTP_PROTOCOLS["auto"] = bounded  # uvicorn imports strings and takes anything else as it is


def _answer(timeout_s: float) -> bytes:
    message = f"the request's headers did not arrive within {timeout_s:g} s"
    request_id = uuid.uuid4().hex
    body = json.dumps(
        {"error": {"code": _CODE.value, "message": message, "index": None, "request_id": request_id}}
    ).encode()
    status = HTTPStatus(STATUS[_CODE])
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        f"x-request-id: {request_id}",
        "connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body
