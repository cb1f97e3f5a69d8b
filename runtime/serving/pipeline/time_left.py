"""How long the work on a picture may take, and who waits for it."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

from starlette.types import Message

from runtime.serving.prometheus.metrics import ServiceMetrics
from runtime.serving.request_threads import RequestThreads

T = TypeVar("T")
ANSWER_SHARE = 0.1  # of the deadline, which is kept for writing the answer


async def _never_gone() -> Message:
    """Be the `receive` of work on a picture: whether its client is still there is watched for the whole request."""
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


@dataclass(frozen=True)
class TimeLeft:
    """Until when a picture must be answered.

    until_s: on the clock of `time.perf_counter`. deadline_s: the whole time that it had. is_background: nobody waits
    for it, so that others go first.
    """

    until_s: float
    deadline_s: float
    is_background: bool = False

    @property
    def left_s(self) -> float:
        return self.until_s - time.perf_counter()

    def share(self, share: float) -> Self:
        """Return what a model behind the detector may take from now on, so that there is time left to answer."""
        latest = self.until_s - ANSWER_SHARE * self.deadline_s
        return replace(self, until_s=min(latest, time.perf_counter() + share * self.deadline_s))

    def note_wait(self, metrics: ServiceMetrics, wait_s: float) -> None:
        """Count how long it waited for its batch, if somebody waited with it."""
        if not self.is_background:
            metrics.queue_wait.observe(wait_s)

    async def run(self, threads: RequestThreads, function: Callable[[], T]) -> T:
        """Call a function in a thread. Raises what `RequestThreads.run` does but ClientGoneError."""
        [result] = await threads.run([function], self.left_s, _never_gone)
        return result


async def together(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all, in order; if one raises, the others end and this raises it."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
