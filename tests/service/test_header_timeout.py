"""Connections that never finish a request's headers: answered, closed, counted; none of a slow but honest client is.

Every other state of a connection: `tests/runtime/serving/test_header_timeout.py`.
"""

import socket
import time
from contextlib import ExitStack

import pytest

from tests.bento_project import Served
from tests.service.metrics_page import read_metrics, total
from tests.service.requests import png, post
from tests.service.test_body_limit import connection, head, is_closed_by_server, read_answer

HEADER_TIMEOUT_S = 2  # as in conftest.py
NUM_CONNECTIONS = 50


def drip(client: socket.socket, data: bytes, begin_s: float) -> bytes:
    """Send a byte every tenth of a second until the server has something to say; nothing if it closes without a word.

    begin_s: on the monotonic clock, before the server began to wait; it must not give up early.
    """
    client.settimeout(0.1)
    for i in range(100 * HEADER_TIMEOUT_S):
        try:
            client.sendall(data[i % len(data) :][:1])
            answer = client.recv(65536)
        except TimeoutError:
            continue
        except ConnectionError:
            answer = b""
        assert time.monotonic() - begin_s > HEADER_TIMEOUT_S - 0.5
        return answer
    raise AssertionError("the server waits for ever")


def test_headers_that_never_end_are_answered_and_the_connection_is_closed(served: Served) -> None:
    before = total(read_metrics(served.url), "vision_refusals_total", reason="header_timeout")
    with connection(served) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\n")
        status, headers, error = read_answer(client)
        assert (status, error["code"], error["index"]) == (408, "header_timeout", None)
        assert error["request_id"] == headers["x-request-id"]
        assert is_closed_by_server(client)
    assert total(read_metrics(served.url), "vision_refusals_total", reason="header_timeout") - before == 1


@pytest.mark.parametrize("dripped", [b"X-Filler: aaaa\r\n", b"\r\n"])
def test_a_byte_now_and_then_does_not_keep_the_connection(served: Served, dripped: bytes) -> None:
    begin_s = time.monotonic()
    with connection(served) as client:
        if dripped == b"\r\n":  # no head has begun
            assert drip(client, dripped, begin_s) == b""
        else:
            client.sendall(b"GET /livez HTTP/1.1\r\n")
            assert drip(client, dripped, begin_s).startswith(b"HTTP/1.1 408 ")


def test_kept_connection_is_held_to_the_same(served: Served) -> None:
    with connection(served) as client:
        client.sendall(head(Content_Length=0))
        assert read_answer(client)[2]["code"] == "empty_file"
        client.sendall(b"GET /li")
        assert read_answer(client)[2]["code"] == "header_timeout"


def test_rest_of_a_body_that_is_refused_does_not_keep_the_connection_and_gets_no_second_answer(served: Served) -> None:
    with connection(served) as client:
        begin_s = time.monotonic()
        client.sendall(head(Content_Length=2000, Content_Encoding="gzip") + b"x")
        assert read_answer(client)[2]["code"] == "unsupported_media_type"
        assert drip(client, b"x", begin_s) == b""


def test_silent_connections_are_closed_without_a_word_and_others_are_served(served: Served) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(connection(served)) for _ in range(NUM_CONNECTIONS)]
        assert post(served, png(), "image/png").status_code == 200
        assert all(is_closed_by_server(client) for client in clients)


def test_client_that_is_slow_within_the_bounds_is_answered(served: Served) -> None:
    """Headers in pieces, then a body that takes longer than headers may."""
    data = png()
    with connection(served) as client:
        begin = head(Content_Length=len(data), Connection="close")
        client.sendall(begin[:30])
        time.sleep(0.2)
        client.sendall(begin[30:] + data[:10])
        time.sleep(HEADER_TIMEOUT_S + 0.3)
        client.sendall(data[10:])
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
