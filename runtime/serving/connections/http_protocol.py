"""HTTP/1.1 on one connection, where uvicorn's own protocol loses a body, answers out of turn or leaves too early.

uvicorn's parser stops at a request that offers another protocol: its body is thrown away, or read as the next request.
Here such an offer is ignored (RFC 9110, section 7.8). A connection whose client has only finished sending is answered.
What is no request is refused after the answers that are still due, so that nobody reads a refusal as their answer.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from runtime.answers.refusals import STATUS, RequestErrorCode
from runtime.serving.connections.body_limit import LINGER_S
from runtime.serving.connections.half_closed import DepartureProbe
from runtime.serving.error_bodies import early_answer

_MALFORMED = RequestErrorCode.MALFORMED

Headers = list[tuple[bytes, bytes]]
HeadersFor = Callable[[Headers], Headers]


class EdgeProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with the states of a connection told apart.

    has_begun_head: bytes of a request's head came, and its end did not. on_refusal: called with the code of what is
    refused here before it is a request. cors_headers: what an answer to a request of these headers carries.
    """

    on_refusal: ClassVar[Callable[[str], None]] = staticmethod(lambda _: None)
    cors_headers: ClassVar[HeadersFor] = staticmethod(lambda _: [])
    has_begun_head = False
    is_deaf = False  # nothing that comes is read any more
    _running: RequestResponseCycle | None = None
    _last_answer = b""  # waits for the answers before it
    _linger: asyncio.TimerHandle | None = None
    _probe: DepartureProbe | None = None

    @property
    def is_answering(self) -> bool:
        """Whether an answer is due."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def is_in_body(self) -> bool:
        """Whether the rest of a request's body has still to come."""
        return self.cycle is not None and self.cycle.more_body and not self.has_begun_head

    def data_received(self, data: bytes) -> None:
        if self.is_deaf:
            return
        rest: bytes | memoryview = data
        while rest:
            try:
                self.parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as offer:
                # httptools takes whatever follows for the other protocol and reads no body. Nothing of the request
                # was answered yet: see `on_headers_complete`.
                rest = memoryview(rest)[offer.args[0] :]
                if self.parser.get_method() == b"CONNECT":
                    self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", "this is no proxy", allow=b"POST")
                    return
                if not self._read_head_again():
                    return
            except httptools.HttpParserError as error:
                self._refuse_what_is_no_request(error)
                return

    def on_message_begin(self) -> None:
        self.has_begun_head = True
        self._unset_keepalive_if_required()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # comes again without the offer
        self.has_begun_head = False
        super().on_headers_complete()
        if not self.pipeline:
            self._running = self.cycle

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        cycle = self.cycle
        cycle.more_body = False
        if cycle.response_complete:
            self.on_unread_body_complete()
        else:
            cycle.message_event.set()

    def on_unread_body_complete(self) -> None:
        """Called at the end of a body whose request was answered before."""

    def on_response_complete(self) -> None:
        if self.pipeline:
            self._running = self.pipeline[-1][0]
        super().on_response_complete()
        if self.is_deaf or self.has_begun_head:
            self.go_on_after_answer()

    def go_on_after_answer(self) -> None:
        """Called after an answer where more has come than whole requests."""
        if self._last_answer and not self.is_answering:
            self._say_and_close(self._last_answer)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's own may say that the connection stays
        """Close if nothing is due; otherwise answer first, and watch whether somebody is there to read it."""
        if self._linger is not None or self.scheme == "https":  # TLS has no half-closed connections in asyncio
            return False
        if not self.is_deaf and (self.has_begun_head or self.is_in_body):
            what = "headers" if self.has_begun_head else "body"
            message = f"the connection ended before the request's {what} did"
            self._refuse(STATUS[_MALFORMED], _MALFORMED.value, message, is_counted=False)
        if not self.is_answering or self._running is None or self.transport.is_closing():
            return False
        if not self._last_answer:
            self.cycle.keep_alive = False
        self._probe = DepartureProbe(self.loop, self.transport, self._running)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._linger, self._probe):
            if timer is not None:
                timer.cancel()
        self._unset_keepalive_if_required()
        if self._running is not None and not self._running.response_complete:
            # uvicorn tells the newest request alone; one before it would go on for nobody.
            _disconnect(self._running)
        super().connection_lost(exc)

    def refuse(self, code: RequestErrorCode, message: str) -> None:
        """Answer a request that has not come to its end, after those before it, and close."""
        self._refuse(STATUS[code], code.value, message)

    def _read_head_again(self) -> bool:
        """Have a new parser read the head without what made the old one stop; False if it is refused."""
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        try:
            self.parser.feed_data(b"\r\n".join([*lines, b"", b""]))
        except httptools.HttpParserError as error:
            self._refuse_what_is_no_request(error)
            return False
        return True

    def _refuse_what_is_no_request(self, error: httptools.HttpParserError) -> None:
        self.logger.warning("Invalid HTTP request received.")
        if self.parser.get_method() == b"PRI":
            status = HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
            self._refuse(status, status.name.lower(), "HTTP/2 is not spoken here; use HTTP/1.1")
        else:
            is_ours = isinstance(error, httptools.HttpParserCallbackError)  # uvicorn's reading of the request line
            reason = f"its target {self.url[:100].decode('latin-1')!r} is no path" if is_ours else error
            self._refuse(STATUS[_MALFORMED], _MALFORMED.value, f"this is no HTTP/1.1 request: {reason}")

    def _refuse(self, status: HTTPStatus, code: str, message: str, allow: bytes = b"", is_counted: bool = True) -> None:
        if self.transport.is_closing():
            return
        self.is_deaf = True
        self._unset_keepalive_if_required()
        if self.is_in_body:
            is_counted = False  # to the application the client has gone
            if not self._drop_unfinished():
                self.transport.close()  # it has had an answer, or the beginning of one
                return
        headers = type(self).cors_headers(self.headers or []) + ([(b"allow", allow)] if allow else [])
        self._last_answer = early_answer(status, code, message, self.headers or [], headers)
        if is_counted:
            type(self).on_refusal(code)
        if not self.is_answering:
            self._say_and_close(self._last_answer)

    def _drop_unfinished(self) -> bool:
        """Take back the request whose body is broken; False if its answer has begun."""
        unfinished = self.cycle
        if unfinished.response_started:
            return False
        if self.pipeline:
            self.pipeline.popleft()
            self.cycle = self.pipeline[0][0] if self.pipeline else self._running  # type: ignore[assignment]
        else:
            self.cycle = self._running = None  # type: ignore[assignment]  # as before a connection's first request
            _disconnect(unfinished)
        return True

    def _say_and_close(self, answer: bytes) -> None:
        """Send the last bytes; to close at once would reset a connection whose client still sends, and lose them."""
        if self.transport.is_closing():
            return
        self.transport.write(answer)
        self._unset_keepalive_if_required()
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self._linger = self.loop.call_later(LINGER_S, self.transport.close)


def _disconnect(cycle: RequestResponseCycle) -> None:
    cycle.disconnected = True
    cycle.message_event.set()
