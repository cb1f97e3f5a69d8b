"""A small HTTP/1.1 client for load: one keep-alive connection, a request ready as bytes, little CPU of its own.

It shares the machine with the server it measures, so it does nothing that a general client does: no redirects, no
cookies, no pool, no TLS. Understood are `Content-Length`, chunked bodies and answers that end with the connection.
"""

import asyncio
from dataclasses import dataclass

_HEAD_END = b"\r\n\r\n"


class ConnectionLostError(ConnectionError):
    """The server closed the connection before it had answered."""


@dataclass(frozen=True)
class Response:
    """status: of the status line. body: without transfer coding."""

    status: int
    body: bytes
    is_last: bool  # the server closes the connection after it


class Connection(asyncio.Protocol):
    """One connection; at most one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._answer: asyncio.Future[Response] | None = None
        self.is_open = False

    @classmethod
    async def open(cls, host: str, port: int) -> "Connection":
        """Connect. Raises OSError if nothing listens."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    async def exchange(self, request: bytes) -> Response:
        """Send a whole request, wait for its answer. Raises ConnectionLostError; cancelling closes the connection."""
        if self._transport is None or not self.is_open:
            raise ConnectionLostError("the connection is closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            response = await self._answer
        except asyncio.CancelledError:
            self.close()
            raise
        if response.is_last:
            self.close()
        return response

    def close(self) -> None:
        self.is_open = False
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._settle(at_end=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._settle(at_end=True)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(
                ConnectionLostError(f"the server closed the connection: {exc or 'end of stream'}")
            )

    def _settle(self, at_end: bool) -> None:
        if self._answer is None or self._answer.done():
            return
        try:
            response = parse_response(bytes(self._buffer), at_end)
        except ValueError as exc:
            self._answer.set_exception(ConnectionLostError(f"the server does not speak HTTP/1.1: {exc}"))
            self.close()
            return
        if response is not None:
            self._buffer.clear()
            self._answer.set_result(response)


def parse_response(data: bytes, at_end: bool) -> Response | None:
    """Parse one answer; None while it is not whole. at_end: nothing more will come.

    Raises ValueError if it is not HTTP/1.1.
    """
    end = data.find(_HEAD_END)
    if end < 0:
        return None
    status_line, *lines = data[:end].split(b"\r\n")
    protocol, status_text = status_line.split(b" ", 2)[:2]
    if not protocol.startswith(b"HTTP/1."):
        raise ValueError(f"got the status line {status_line[:80]!r}")
    status = int(status_text)
    rest = data[end + len(_HEAD_END) :]
    if status < 200:  # interim, such as 100 Continue: the answer follows
        return parse_response(rest, at_end)
    fields = dict(line.lower().split(b":", 1) for line in lines)
    is_last = fields.get(b"connection", b"").strip() == b"close"
    if fields.get(b"transfer-encoding", b"").strip() == b"chunked":
        body = _join_chunks(rest)
        return None if body is None else Response(status, body, is_last)
    if b"content-length" in fields:
        length = int(fields[b"content-length"])
        return Response(status, rest[:length], is_last) if len(rest) >= length else None
    if status in (204, 304):
        return Response(status, b"", is_last)
    return Response(status, rest, True) if at_end else None


def _join_chunks(data: bytes) -> bytes | None:
    """Undo chunked coding; None while the last chunk is not there. Trailers are not understood."""
    parts: list[bytes] = []
    position = 0
    while (line_end := data.find(b"\r\n", position)) >= 0:
        size = int(data[position:line_end].split(b";")[0], 16)
        position = line_end + 2 + size + 2
        if len(data) < position:
            return None
        if size == 0:
            return b"".join(parts)
        parts.append(data[line_end + 2 : position - 2])
    return None
