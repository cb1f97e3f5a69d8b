"""The client reads every form of answer that the servers give, however the bytes come."""

import pytest

from benchmarks.load.http_client import parse_response

SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + SIZED


@pytest.mark.parametrize(("data", "status"), [(SIZED, 200), (CHUNKED, 503), (INTERIM, 200)])
def test_an_answer_is_whole_at_its_last_byte_and_not_before(data: bytes, status: int) -> None:
    for end in range(len(data)):
        assert parse_response(data[:end], at_end=False) is None, data[:end]
    response = parse_response(data, at_end=False)
    assert response is not None
    assert (response.status, response.body, response.is_last) == (status, b"hello", False)


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    data = b"HTTP/1.0 200 OK\r\n\r\nhello"
    assert parse_response(data, at_end=False) is None
    response = parse_response(data, at_end=True)
    assert response is not None
    assert (response.body, response.is_last) == (b"hello", True)


def test_a_truncated_answer_is_none_even_at_the_end() -> None:
    assert parse_response(SIZED[:-1], at_end=True) is None
    assert parse_response(CHUNKED[:-4], at_end=True) is None


def test_what_closes_the_connection_says_so() -> None:
    response = parse_response(SIZED.replace(b"\r\n\r\n", b"\r\nConnection: Close\r\n\r\n"), at_end=False)
    assert response is not None
    assert response.is_last


def test_what_is_not_http_is_refused() -> None:
    with pytest.raises(ValueError, match="status line"):
        parse_response(b"SSH-2.0 hello\r\n\r\n", at_end=False)
