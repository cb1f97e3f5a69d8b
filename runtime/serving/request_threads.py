"""Threads for the work of requests that are still waited for: what is given up before a thread takes it is dropped."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from starlette.types import Receive

from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.serving.batching import TOO_LATE
from runtime.serving.disconnect import unless_disconnected

T = TypeVar("T")
# A watcher costs a task, and nearly every request is done in a few milliseconds.
WATCH_AFTER_S = 0.1


class RequestThreads:
    """A bounded number of threads with a queue that holds nothing of requests that are over.

    What a thread has begun it ends: neither Pillow nor Python can be stopped in the middle. So of requests that are
    given up there is at most one image a thread. name: of the threads. too_late: what is said where a deadline passes.
    """

    def __init__(self, num_threads: int, name: str = "decode", too_late: str = TOO_LATE) -> None:
        self._threads = ThreadPoolExecutor(num_threads, thread_name_prefix=name)
        self._too_late = too_late

    async def run(self, functions: Sequence[Callable[[], T]], left_s: float, receive: Receive) -> list[T]:
        """Call each in a thread and return what they return, in order.

        left_s: seconds until they are given up. receive: of a request whose body has been read to its end.
        Raises what the first of them in order raised once all are done, ClientGoneError, or RequestRefused when late.
        """
        if left_s <= 0:
            raise self._late()
        loop = asyncio.get_running_loop()
        until_s = loop.time() + left_s
        calls = [_Call(function) for function in functions]
        futures = [loop.run_in_executor(self._threads, call) for call in calls]
        try:
            _, missing = await asyncio.wait(futures, timeout=min(left_s, WATCH_AFTER_S))
            if missing:
                await unless_disconnected(self._all_done(missing, until_s - loop.time()), receive)
        finally:
            for call, future in zip(calls, futures, strict=True):
                if future.cancel():
                    call.drop()
        # All are asked, so that asyncio does not log those behind the first that failed.
        failures = [failure for future in futures if (failure := future.exception())]
        if failures:
            raise failures[0]
        return [future.result() for future in futures]

    def close(self) -> None:
        """Wait for what runs. Safe to call twice."""
        self._threads.shutdown(wait=True)

    async def _all_done(self, futures: set[asyncio.Future[T]], left_s: float) -> None:
        _, missing = await asyncio.wait(futures, timeout=max(0.0, left_s))
        if missing:
            raise self._late()

    def _late(self) -> RequestRefused:
        return RequestRefused(RequestErrorCode.DEADLINE_EXCEEDED, self._too_late)


class _Call(Generic[T]):
    """A function that is let go once it is not wanted: in the executor's queue it would keep the request's bytes."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function: Callable[[], T] | None = function

    def __call__(self) -> T:
        if (function := self._function) is None:
            raise RuntimeError("not wanted any more")  # nobody is told
        return function()

    def drop(self) -> None:
        self._function = None
