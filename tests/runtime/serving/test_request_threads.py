"""Decoding for requests that are given up: what has begun ends, what has not is dropped with all that it holds."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import pytest
from starlette.types import Message

from runtime.answers.refusals import RequestRefused
from runtime.serving.disconnect import ClientGoneError
from runtime.serving.request_threads import RequestThreads

LONG_S = 60.0


class Picture:
    """Stands for a request's bytes."""


async def stays() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def leaves() -> Message:
    return {"type": "http.disconnect"}


@pytest.fixture
def threads() -> Iterator[RequestThreads]:
    with closing(RequestThreads(1)) as threads:
        yield threads


@pytest.mark.parametrize(
    ("left_s", "receive", "error"), [(0.01, stays, RequestRefused), (LONG_S, leaves, ClientGoneError)]
)
def test_what_is_given_up_is_not_begun_and_holds_nothing(
    threads: RequestThreads, left_s: float, receive: Callable[[], object], error: type[Exception]
) -> None:
    gate, begun = threading.Event(), list[str]()

    def decode(name: str, _picture: Picture | None = None) -> str:
        begun.append(name)
        if name == "slow":
            gate.wait(LONG_S)
        return name

    async def scenario() -> None:
        slow = asyncio.create_task(threads.run([partial(decode, "slow")], LONG_S, stays))
        while not begun:
            await asyncio.sleep(0.001)
        picture = Picture()
        is_there = weakref.ref(picture)
        waiting = [partial(decode, "given up", picture), partial(decode, "given up")]
        del picture
        with pytest.raises(error):
            await threads.run(waiting, left_s, receive)  # type: ignore[arg-type]
        del waiting
        gc.collect()
        assert is_there() is None  # though the one thread is still busy
        gate.set()
        assert await slow == ["slow"]
        assert await threads.run([partial(decode, "next")], LONG_S, stays) == ["next"]

    try:
        asyncio.run(scenario())
    finally:
        gate.set()
    assert begun == ["slow", "next"]


def test_request_of_which_an_image_has_begun_does_not_wait_for_it(threads: RequestThreads) -> None:
    gate = threading.Event()

    async def scenario() -> None:
        with pytest.raises(RequestRefused, match="deadline passed"):
            await threads.run([partial(gate.wait, LONG_S)] * 8, 0.01, stays)
        with pytest.raises(RequestRefused, match="deadline passed"):
            await threads.run([partial(pytest.fail, "begun too late")], 0.0, stays)
        gate.set()

    try:
        asyncio.run(scenario())
    finally:
        gate.set()


def test_first_failure_in_order_is_raised_once_all_are_done(threads: RequestThreads) -> None:
    done = list[int]()

    def decode(index: int) -> int:
        done.append(index)
        if index in (1, 3):
            raise ValueError(f"image {index}")
        return index

    async def scenario() -> None:
        with pytest.raises(ValueError, match="image 1"):
            await threads.run([partial(decode, index) for index in range(5)], LONG_S, stays)
        assert await threads.run([partial(decode, 2)], LONG_S, stays) == [2]

    asyncio.run(scenario())
    assert done == [0, 1, 2, 3, 4, 2]
