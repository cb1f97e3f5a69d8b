"""Bodies that are too large, too slow or cut off, over sockets of our own: what a well-behaved client cannot send."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.bento_project import Served
from tests.service.requests import code_and_index, png, post

MAX_BODY_BYTES, BODY_TIMEOUT_S = 1_000_000, 6.0  # as in conftest.py
CHUNK = b"10000\r\n" + bytes(0x10000) + b"\r\n"


@contextmanager
def connection(served: Served) -> Iterator[socket.socket]:
    parts = urlsplit(served.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=100) as client:
        yield client


def head(**headers: object) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(["POST /predict HTTP/1.1", "Host: x", "Content-Type: image/png", *lines, "", ""]).encode()


def read_answer(client: socket.socket) -> tuple[int, dict[str, str], dict[str, object]]:
    """Return status, headers and the error object of one answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        received = client.recv(65536)
        assert received, f"closed without an answer: {data!r}"
        data += received
    start, _, body = data.partition(b"\r\n\r\n")
    status_line, *lines = start.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += client.recv(65536)
    return int(status_line.split()[1]), headers, json.loads(body)["error"]


def is_closed_by_server(client: socket.socket) -> bool:
    client.settimeout(10)
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_body_that_never_ends_is_refused_while_it_streams(served: Served) -> None:
    with connection(served) as client:
        client.sendall(head(Transfer_Encoding="chunked"))
        for _ in range(MAX_BODY_BYTES // 0x10000 + 1):
            client.sendall(CHUNK)
        status, headers, error = read_answer(client)
        assert (status, error["code"], error["index"]) == (413, "body_too_large", None)
        assert error["request_id"] == headers["x-request-id"]
        assert headers["connection"] == "close"
        assert is_closed_by_server(client)


def test_body_declared_too_large_is_refused_before_a_byte_of_it(served: Served) -> None:
    with connection(served) as client:
        client.sendall(head(Content_Length=MAX_BODY_BYTES + 1, Expect="100-continue"))
        status, _, error = read_answer(client)
        assert (status, error["code"]) == (413, "body_too_large")
        assert is_closed_by_server(client)


def test_the_limit_itself_is_accepted(served: Served) -> None:
    data = png()
    assert post(served, data + bytes(MAX_BODY_BYTES - len(data)), "image/png").status_code == 200
    response = post(served, data + bytes(MAX_BODY_BYTES - len(data) + 1), "image/png")
    assert (response.status_code, *code_and_index(response)) == (413, "body_too_large", None)


def test_client_that_sends_everything_first_still_reads_why_it_was_refused(served: Served) -> None:
    """Closing at once would reset the connection, and the answer would be lost with it."""
    num_bytes = 20 * MAX_BODY_BYTES
    with connection(served) as client:
        client.sendall(head(Content_Length=num_bytes))
        for _ in range(num_bytes // 0x10000):
            client.sendall(bytes(0x10000))
        client.sendall(bytes(num_bytes % 0x10000))
        assert read_answer(client)[2]["code"] == "body_too_large"


def test_body_that_stops_in_the_middle_is_refused_and_closed(served: Served) -> None:
    with connection(served) as client:
        start = time.monotonic()
        client.sendall(head(Content_Length=1000) + png()[:20])
        status, headers, error = read_answer(client)
        assert (status, error["code"], headers["connection"]) == (408, "body_timeout", "close")
        assert time.monotonic() - start > BODY_TIMEOUT_S - 0.5
        assert is_closed_by_server(client)


def test_body_that_drips_gets_no_more_time_than_one_that_stops(served: Served) -> None:
    with connection(served) as client:
        client.sendall(head(Content_Length=1000))
        start = time.monotonic()
        client.settimeout(0.2)
        answer = b""
        while not answer and time.monotonic() - start < 10 * BODY_TIMEOUT_S:  # the whole body would take 30 times
            client.sendall(b"x")
            try:
                answer = client.recv(65536)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_connection_is_kept_after_a_refusal_that_leaves_a_small_rest_unread(served: Served) -> None:
    """A client refused for its content encoding may send its next request on the same connection."""
    with connection(served) as client:
        client.sendall(head(Content_Length=2000, Content_Encoding="gzip"))
        assert read_answer(client)[2]["code"] == "unsupported_media_type"
        client.sendall(bytes(2000) + head(Content_Length=0))
        assert read_answer(client)[2]["code"] == "empty_file"


def test_client_that_goes_away_in_the_middle_leaves_the_service_well(served: Served) -> None:
    for _ in range(20):
        with connection(served) as client:
            client.sendall(head(Content_Length=1000) + png()[:20])
    assert post(served, png(), "image/png").status_code == 200
