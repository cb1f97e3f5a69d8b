"""Requests in every division into packets: none is lost, none is answered twice or in another's place."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.runtime.serving.connection import Answer, Connection, answers

H2C = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
)
LENGTH, CHUNKED = b"Content-Length: 26\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"
# A body that would be a request if it were read as one.
BODY = b"GET /smuggled HTTP/1.1\r\n\r\n"
CHUNKS = b"5\r\n" + BODY[:5] + b"\r\n15\r\n" + BODY[5:] + b"\r\n0\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\n\r\n"
OFFERS = {
    "jdk": H2C,
    "curl": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    "websocket": b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n",
    "tls": b"upgrade: TLS/1.0, HTTP/1.1\r\nCONNECTION: upgrade\r\n",
    "two": b"Upgrade: foo\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n",
    "no token": b"Upgrade: foo\r\n",
    "no offer": b"Connection: Upgrade\r\n",
}
BODIES = {"length": LENGTH + BODY, "chunked": CHUNKED + CHUNKS}


async def talk(*pieces: bytes, ends: bool = False) -> tuple[list[Answer], bool]:
    """Send pieces while earlier ones are dealt with; return the answers and whether the server closed."""
    connection = Connection.open()
    for piece in pieces:
        connection.send(piece)
        await asyncio.sleep(0)
    if ends:
        connection.end()
    await connection.settle()
    transport = connection.transport
    is_over = transport.is_closed or transport.is_ended
    transport.close()
    return answers(transport.written), is_over


def brief(found: list[Answer]) -> list[tuple[int, str, str, str]]:
    return [(answer.status, *answer.body[:3]) for answer in found]


def each_split(data: bytes, check: Callable[..., Awaitable[None]]) -> None:
    """Run `check` on the data in one piece, in two by every place, and byte by byte."""

    async def all_of_them() -> None:
        await check(data)
        for at in range(1, len(data)):
            await check(data[:at], data[at:])
        await check(*(data[at : at + 1] for at in range(len(data))))

    asyncio.run(all_of_them())


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("offer", OFFERS)
def test_an_offer_to_upgrade_is_ignored_wherever_packets_end(offer: str, body: str) -> None:
    request = b"POST /x HTTP/1.1\r\nHost: x\r\n" + OFFERS[offer] + BODIES[body]

    async def check(*pieces: bytes) -> None:
        found, is_over = await talk(*pieces)
        assert brief(found) == [(200, "POST", "/x", BODY.decode()), (200, "GET", "/next", "")], pieces
        assert not is_over

    each_split(request + NEXT, check)


def test_many_pipelined_offers_are_answered_in_turn() -> None:
    num_requests = 1500  # more than Python's stack is deep
    request = b"POST /x HTTP/1.1\r\n" + H2C + LENGTH + BODY
    found, is_over = asyncio.run(talk(request * num_requests + NEXT))
    assert brief(found) == [(200, "POST", "/x", BODY.decode())] * num_requests + [(200, "GET", "/next", "")]
    assert not is_over


def test_a_websocket_is_not_opened_and_the_connection_stays() -> None:
    request = b"GET /ws HTTP/1.1\r\n" + OFFERS["websocket"] + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    found, is_over = asyncio.run(talk(request, NEXT))
    assert brief(found) == [(200, "GET", "/ws", ""), (200, "GET", "/next", "")]
    assert not is_over


def test_an_offer_that_asks_to_close_is_closed_after_its_answer() -> None:
    request = b"POST /x HTTP/1.1\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\n" + LENGTH + BODY
    found, is_over = asyncio.run(talk(request))
    assert brief(found) == [(200, "POST", "/x", BODY.decode())]
    assert found[0].headers["connection"] == "close"
    assert is_over


@pytest.mark.parametrize(
    ("framing", "reason"),
    [
        (b"Transfer-Encoding: gzip\r\n\r\n", "Transfer-Encoding"),
        (b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding can't be present"),
        (b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "Content-Length"),
    ],
)
def test_an_offer_does_not_hide_what_makes_a_body_ambiguous(framing: bytes, reason: str) -> None:
    [answer], is_over = asyncio.run(talk(b"POST /x HTTP/1.1\r\n" + H2C + framing + BODY))
    assert (answer.status, answer.body["error"]["code"]) == (400, "malformed_request")
    assert reason in answer.body["error"]["message"]
    assert is_over


@pytest.mark.parametrize(
    ("data", "status", "code", "words"),
    [
        (b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n" + NEXT, 405, "method_not_allowed", "no proxy"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 505, "http_version_not_supported", "use HTTP/1.1"),
        (b"GET http://x HTTP/1.1\r\n\r\n", 400, "malformed_request", "its target 'http://x' is no path"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400, "malformed_request", "no HTTP/1.1 request"),
        (b"GET ftp://[ HTTP/1.1\r\n\r\n", 400, "malformed_request", "its target 'ftp://[' is no path"),
        (b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n" + NEXT, 400, "malformed_request", "chunk size"),
    ],
)
def test_what_is_no_request_is_refused_with_its_reason_after_the_answers_before_it(
    data: bytes, status: int, code: str, words: str
) -> None:
    async def check(*pieces: bytes) -> None:
        (*before, last), is_over = await talk(*pieces)
        assert brief(before) == [(200, "GET", "/slow", ""), (200, "POST", "/x", BODY.decode())]
        assert (last.status, last.body["error"]["code"]) == (status, code), pieces
        assert words in last.body["error"]["message"]
        assert last.headers["connection"] == "close"
        assert last.body["error"]["request_id"] == last.headers["x-request-id"]
        assert is_over

    each_split(b"GET /slow HTTP/1.1\r\n\r\nPOST /x HTTP/1.1\r\n" + LENGTH + BODY + data, check)


def test_a_broken_rest_of_a_body_that_has_its_answer_gets_no_second_one() -> None:
    found, is_over = asyncio.run(talk(b"POST /early HTTP/1.1\r\n" + CHUNKED, b"5\r\nabc", b"deZZ"))
    assert brief(found) == [(200, "POST", "/early", "")]
    assert is_over


@pytest.mark.parametrize("head", [b"", H2C])
def test_a_client_that_has_only_finished_sending_is_answered_and_closed(head: bytes) -> None:
    request = b"POST /slow HTTP/1.1\r\n" + head + LENGTH + BODY

    async def check(*pieces: bytes) -> None:
        found, is_over = await talk(*pieces, ends=True)
        assert brief(found) == [(200, "POST", "/slow", BODY.decode())], pieces
        assert is_over

    each_split(request, check)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_all_pipelined_requests_of_a_client_that_has_finished_sending_are_answered(version: bytes) -> None:
    request = b"POST /slow HTTP/%b\r\nConnection: keep-alive\r\n" % version + LENGTH + BODY
    found, is_over = asyncio.run(talk(request * 3, ends=True))
    num_answered = 1 if version == b"1.0" else 3  # HTTP/1.0 ends with its answer here
    assert brief(found) == [(200, "POST", "/slow", BODY.decode())] * num_answered
    assert is_over


@pytest.mark.parametrize(
    ("rest", "words"), [(b"POST /x HTTP/1.1\r\nHos", "headers"), (b"POST /x HTTP/1.1\r\n" + LENGTH + b"abc", "body")]
)
@pytest.mark.parametrize("before", [b"", b"GET /slow HTTP/1.1\r\n\r\n"])
def test_a_request_that_ends_with_its_connection_is_told_so(before: bytes, rest: bytes, words: str) -> None:
    found, is_over = asyncio.run(talk(before + rest, ends=True))
    assert brief(found[:-1]) == ([(200, "GET", "/slow", "")] if before else [])
    assert found[-1].status == 400
    assert f"before the request's {words} did" in found[-1].body["error"]["message"]
    assert is_over


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET /x HTTP/1.1\r\n\r\n", b"GET /x HTTP/1.1\r\n\r\n\r\n"])
def test_an_idle_connection_that_ends_is_closed_without_a_word(sent: bytes) -> None:
    found, is_over = asyncio.run(talk(sent, ends=True))
    assert len(found) == (1 if b"GET" in sent else 0)
    assert is_over
