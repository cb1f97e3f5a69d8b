"""When a connection is given up, and whether a word is said: only to who has begun a request that is not answered."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.runtime.serving.connection import Answer, Clock, Connection, answers

TIMEOUT_S, KEEP_ALIVE_S = 10.0, 60
REFUSED_EARLY = b"POST /early HTTP/1.1\r\nContent-Length: 100\r\n\r\n"  # answered before its body
GET = b"GET /x HTTP/1.1\r\n\r\n"
SLOW = GET.replace(b"/x", b"/slow")

Step = Callable[[Connection, Clock], Awaitable[None]]


def send(data: bytes) -> Step:
    async def step(connection: Connection, clock: Clock) -> None:
        connection.send(data)
        await connection.settle()

    return step


def send_at_once(data: bytes) -> Step:
    """What comes while earlier requests are still answered."""

    async def step(connection: Connection, clock: Clock) -> None:
        connection.send(data)

    return step


def wait(seconds: float) -> Step:
    async def step(connection: Connection, clock: Clock) -> None:
        clock.elapse(seconds)
        await connection.settle()

    return step


def talk(*steps: Step) -> tuple[list[Answer], bool, list[str]]:
    """Return all answers, whether the server closed, and the refusals that were counted."""
    refused: list[str] = []

    async def take_steps() -> tuple[bytes, bool]:
        clock = Clock()
        connection = Connection.open(TIMEOUT_S, KEEP_ALIVE_S, clock, on_refusal=staticmethod(refused.append))
        for step in steps:
            await step(connection, clock)
        transport = connection.transport
        is_over = transport.is_closed or transport.is_ended
        transport.close()
        return transport.written, is_over

    written, is_over = asyncio.run(take_steps())
    return answers(written), is_over, refused


@pytest.mark.parametrize(
    "before",
    [
        [],
        [send(b"\r\n")],
        [send(GET)],
        [send(GET), wait(TIMEOUT_S + 1)],
        [send(GET), send(b"\r\n\r\n"), wait(TIMEOUT_S + 1)],
        [send(REFUSED_EARLY), send(bytes(50)), wait(1), send(bytes(50))],
    ],
    ids=["new", "new, blank line", "kept", "kept, idle", "kept, blank lines", "kept, after a refused body"],
)
def test_who_has_begun_a_head_is_told_that_it_is_too_late(before: list[Step]) -> None:
    found, is_over, refused = talk(*before, send(b"GET /x HTTP"), wait(TIMEOUT_S))
    assert (found[-1].status, found[-1].body["error"]["code"]) == (408, "header_timeout")
    assert is_over
    assert refused == ["header_timeout"]


@pytest.mark.parametrize(
    ("steps", "num_answers"),
    [
        ([wait(TIMEOUT_S)], 0),
        ([send(b"\r\n"), wait(TIMEOUT_S)], 0),
        ([*[send(b"\r\n"), wait(TIMEOUT_S / 4)] * 4], 0),
        ([send(GET), wait(KEEP_ALIVE_S)], 1),
        ([send(GET), *[wait(KEEP_ALIVE_S / 4), send(b"\r\n")] * 4], 1),
        ([send(REFUSED_EARLY), wait(KEEP_ALIVE_S)], 1),
        ([send(REFUSED_EARLY), send(bytes(50)), wait(TIMEOUT_S)], 1),
        ([send(REFUSED_EARLY), *[send(b"x"), wait(TIMEOUT_S / 4)] * 4], 1),
    ],
    ids=["new", "blank line", "dripped blank lines", "kept", "kept, blank lines", "no rest", "half a rest", "drip"],
)
def test_nobody_else_is_told_anything_when_the_connection_is_closed(steps: list[Step], num_answers: int) -> None:
    found, is_over, refused = talk(*steps)
    assert [answer.status for answer in found] == [200] * num_answers
    assert is_over
    assert refused == []


@pytest.mark.parametrize(
    "steps",
    [
        [send(GET), wait(KEEP_ALIVE_S - 1)],
        [send(GET), send(b"\r\n"), wait(KEEP_ALIVE_S - 1)],
        [send(REFUSED_EARLY), wait(1), send(bytes(100)), wait(KEEP_ALIVE_S - 2)],
        [send(REFUSED_EARLY + bytes(100)), wait(KEEP_ALIVE_S - 1)],
        [send(REFUSED_EARLY), send(bytes(50)), wait(TIMEOUT_S - 1), send(bytes(50)), wait(KEEP_ALIVE_S - 1)],
    ],
    ids=["kept", "blank line", "rest", "rest at once", "slow rest"],
)
def test_a_kept_connection_lives_as_long_as_its_keep_alive_says(steps: list[Step]) -> None:
    found, is_over, _ = talk(*steps)
    assert [answer.status for answer in found] == [200]
    assert not is_over
    found, _, _ = talk(*steps, send(GET))
    assert [answer.status for answer in found] == [200, 200]


def test_a_head_that_begins_while_another_request_is_answered_is_told_after_that_answer() -> None:
    found, is_over, _ = talk(send_at_once(SLOW + b"GET /y"), wait(0), wait(TIMEOUT_S))
    assert [answer.status for answer in found] == [200, 408]
    assert is_over


def test_a_whole_head_ends_the_bound_however_long_its_body_takes() -> None:
    begin = send(b"POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\n")
    found, is_over, _ = talk(wait(TIMEOUT_S - 1), begin, wait(3 * TIMEOUT_S), send(b"a"), wait(TIMEOUT_S), send(b"b"))
    assert [answer.body[2] for answer in found] == ["ab"]
    assert not is_over


def test_the_answer_has_the_requests_own_id_and_what_cors_adds() -> None:
    async def ask() -> bytes:
        clock = Clock()
        cors_headers = staticmethod(lambda headers: [(b"x-origin", dict(headers).get(b"origin", b""))])
        connection = Connection.open(TIMEOUT_S, KEEP_ALIVE_S, clock, cors_headers=cors_headers)
        connection.send(b"GET /x HTTP/1.1\r\nOrigin: https://a\r\nX-Request-ID: mine\r\nX-Half")
        clock.elapse(TIMEOUT_S)
        connection.transport.close()
        return connection.transport.written

    [answer] = answers(asyncio.run(ask()))
    assert answer.headers["x-origin"] == "https://a"
    assert answer.headers["x-request-id"] == answer.body["error"]["request_id"] == "mine"
