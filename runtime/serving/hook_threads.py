"""Threads for hooks, code of whoever runs the service: a bounded number, and the process may end while they hang."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

from runtime.answers.refusals import RequestErrorCode, RequestRefused

T = TypeVar("T")
MAX_THREADS = 32  # hooks that run at the same time in a process
DEAD_AFTER_S = 30.0  # all threads hanging for so long is no slow moment: only a restart helps
RETRY_AFTER_S = 30  # a restart's time; a hook may also come back


class HookHangsError(RequestRefused):
    """A call that did not end in its time."""


class HookThreads:
    """Daemon threads, started when needed: Python waits for those of an executor when it ends.

    A call hangs if it is still running when its time is over; its thread is lost until it ends.
    """

    def __init__(self, max_threads: int = MAX_THREADS) -> None:
        self._max_threads = max_threads
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._num_threads = 0
        self._hanging_since: dict[int, float] = {}  # monotonic seconds by call

    @property
    def all_hang(self) -> bool:
        return len(self._hanging_since) >= self._max_threads

    @property
    def is_alive(self) -> bool:
        """False once all threads have hung for so long that nobody should wait for them."""
        since = tuple(self._hanging_since.values())  # a thread may end its call meanwhile
        return len(since) < self._max_threads or time.monotonic() - max(since) < DEAD_AFTER_S

    def refuse_if_all_hang(self) -> None:
        """Raise RequestRefused if every thread is in a call that nobody waits for any more."""
        if self.all_hang:
            message = "the service's filters hang and it must be restarted; try again later"
            raise RequestRefused(RequestErrorCode.FILTERS_HANG, message, retry_after_s=RETRY_AFTER_S)

    async def run(self, function: Callable[[], T], left_s: float) -> T:
        """Call it in a thread.

        Raises RequestRefused if it cannot, HookHangsError if `left_s` seconds pass, or what the function raises.
        """
        self.refuse_if_all_hang()
        call: Future[T] = Future()
        self._calls.put(lambda: _call(call, function))
        self._start_thread_if_needed()
        try:
            async with asyncio.timeout(left_s):
                return await asyncio.wrap_future(call)
        except TimeoutError as exc:
            message = "a filter of the service did not end within the deadline"
            raise HookHangsError(RequestErrorCode.DEADLINE_EXCEEDED, message) from exc
        finally:
            if not call.cancel() and not call.done():  # it is not begun, or it runs on
                self._hanging_since[id(call)] = time.monotonic()
                call.add_done_callback(self._forget)

    def close(self) -> None:
        """Let idle threads end; those that hang end with the process."""
        for _ in range(self._num_threads):
            self._calls.put(None)

    def _forget(self, call: "Future[T]") -> None:
        self._hanging_since.pop(id(call), None)

    def _start_thread_if_needed(self) -> None:
        if not self._idle.acquire(blocking=False) and self._num_threads < self._max_threads:
            threading.Thread(target=self._work, name=f"hook-{self._num_threads}", daemon=True).start()
            self._num_threads += 1

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call  # what it holds is not kept until the next
            self._idle.release()


def _call(call: "Future[T]", function: Callable[[], T]) -> None:
    if not call.set_running_or_notify_cancel():
        return
    try:
        result = function()
    except StopIteration as exc:  # of a `next` that found nothing: asyncio's futures take none, and would never end
        error = RuntimeError("it raised StopIteration")
        error.__cause__ = exc
        call.set_exception(error)
    except BaseException as exc:  # a thread that ends would be missing
        call.set_exception(exc)
    else:
        call.set_result(result)
