"""A real HTTP server on loopback that answers each path as it is told, byte by byte, and notes what it was asked."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\n"


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return a whole answer with the length of its body, and more headers."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(location: str) -> bytes:
    return answer(b"", f"location: {location}", status="302 Found")


@dataclass
class AnsweringHost:
    """port: where it listens. asked: the request line and headers of each request, in lower case.

    most_at_once: connections at the same time. server_names: of the TLS handshakes. hang: set to let the path `/hang`
    be answered.
    """

    answers: Mapping[str, bytes]
    port: int = 0
    asked: list[list[str]] = field(default_factory=list)
    num_open: int = 0
    most_at_once: int = 0
    server_names: list[str | None] = field(default_factory=list)
    hang: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_open += 1
        self.most_at_once = max(self.most_at_once, self.num_open)
        with suppress(OSError, EOFError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            self.asked.append(head)
            path = head[0].split()[1]
            if path == "/hang":
                await self.hang.wait()
            writer.write(self.answers.get(path, answer(b"", status="404 Not Found")))
            await writer.drain()
        self.num_open -= 1
        writer.close()


@asynccontextmanager
async def answering(answers: Mapping[str, bytes], tls: ssl.SSLContext | None = None) -> AsyncIterator[AnsweringHost]:
    host = AnsweringHost(answers)
    if tls:
        tls.sni_callback = lambda _socket, name, _context: host.server_names.append(name)
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0, ssl=tls)
    host.port = server.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        host.hang.set()
        server.close()
