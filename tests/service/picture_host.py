"""A host of pictures that asks for a token, as Label Studio does, and notes what it was asked for."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WAIT_S = 60  # far above what is needed


@dataclass
class PictureHost:
    """The host. pictures: by path, with the query. asked: paths, in order. most_at_once: requests at the same time.

    together: how many requests must be there before any is answered.
    """

    url: str
    token: str
    pictures: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    most_at_once: int = 0
    together: threading.Barrier | None = None


@contextmanager
def picture_hosting() -> Iterator[PictureHost]:
    lock, now = threading.Lock(), 0

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal now
            with lock:
                now += 1
                host.asked.append(self.path)
                host.most_at_once = max(host.most_at_once, now)
            if host.together:
                host.together.wait(WAIT_S)
            body = host.pictures.get(self.path, b"")
            is_known = self.headers.get("authorization") == f"Token {host.token}"
            self.send_response((302 if body == b"elsewhere" else 200 if body else 404) if is_known else 401)
            if body == b"elsewhere":
                self.send_header("location", "http://127.0.0.1:9/secret.png")
            self.send_header("content-length", str(len(body) if is_known else 0))
            with lock:
                now -= 1
            self.end_headers()
            if is_known:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    host = PictureHost(f"http://127.0.0.1:{server.server_port}", "a-token")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
