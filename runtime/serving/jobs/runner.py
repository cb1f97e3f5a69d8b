"""Working on jobs: images are taken in hand, answered, and their answers kept, until there are none."""

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass, field
from functools import partial

from runtime.answers.refusals import JobErrorCode, RequestRefused
from runtime.serving.error_bodies import problem
from runtime.serving.jobs.image_work import ImageWork, Line, TryAgainError
from runtime.serving.jobs.lock import FolderLock
from runtime.serving.jobs.records import Claim
from runtime.serving.jobs.store import JobStore
from runtime.serving.jobs.store_thread import StoreThread

logger = logging.getLogger("vision.jobs")

POLL_S = 0.5  # how often a job that another process took is looked for
RETRY_S = 5.0  # after an error, and for a lock that another process holds
PAUSE_S = 1.0  # before an image is tried again
FORGET_EVERY_S = 60.0
MAX_ATTEMPTS = 5  # an image in hand may be what killed the process


@dataclass(eq=False)
class JobRunner:
    """Works on the jobs of a folder as long as no other process does.

    num_in_flight: images at the same time. keep_s: how long a job that is done is kept.
    """

    store: StoreThread
    work: ImageWork
    lock: FolderLock
    num_in_flight: int
    keep_s: float
    _wake: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _task: asyncio.Task[None] | None = field(default=None, init=False)
    _forgot_at: float = field(default=float("-inf"), init=False)

    def start(self) -> None:
        """Begin; must be called on the loop that serves."""
        self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        """Say that there is a new job."""
        self._wake.set()

    async def close(self) -> None:
        """Let go of what is in hand, for whoever works next. Safe to call twice."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        if self.lock.is_held:
            with contextlib.suppress(RequestRefused):
                await self.store.call(lambda store: store.put_all_back(was_tried=False))
        self.lock.release()

    async def _run(self) -> None:
        is_new = True
        while True:
            try:
                if self.lock.take():
                    # What another process had in hand may be what ended it; what this one had is not to blame.
                    await self.store.call(partial(JobStore.put_all_back, was_tried=is_new))
                    is_new = False
                    await self._warn_of_other_tasks()
                    await self._work_on()
            except RequestRefused as refusal:
                logger.error("jobs stand still: %s", refusal)
            except Exception:
                logger.exception("jobs stand still")
            await asyncio.sleep(RETRY_S)

    async def _warn_of_other_tasks(self) -> None:
        waiting = await self.store.call(JobStore.waiting_tasks)
        if others := [task for task in waiting if task not in self.work.by_task]:
            logger.warning("jobs wait whose task has no model here: %s; serve one, or delete them", ", ".join(others))

    async def _work_on(self) -> None:
        tasks: set[asyncio.Task[None]] = set()
        try:
            while True:
                self._wake.clear()
                try:
                    await self._forget_old_ones()
                    while len(tasks) < self.num_in_flight and (claim := await self._claim()):
                        tasks.add(asyncio.create_task(self._answer(claim)))
                except RequestRefused as refusal:  # what is in hand goes on: its answers may find room later
                    logger.error("no image of a job can be taken in hand: %s", refusal)
                    await asyncio.sleep(RETRY_S)
                tasks -= await self._next_of(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _claim(self) -> Claim | None:
        # While an inference worker is started again each image would use up its attempts in seconds.
        tasks = tuple(self.work.by_task)
        return await self.store.call(partial(JobStore.claim, tasks=tasks)) if self.work.is_ready else None

    async def _next_of(self, tasks: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
        """Wait until a task is done, a job comes or time passes: return what is done, or raise its error."""
        woken = asyncio.create_task(self._wake.wait())
        try:
            awaited = {*tasks, woken} if len(tasks) < self.num_in_flight else tasks
            await asyncio.wait(awaited, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
        done = {task for task in tasks if task.done()}
        for task in done:
            task.result()
        return done

    async def _answer(self, claim: Claim) -> None:
        if claim.num_attempts > MAX_ATTEMPTS:
            message = f"given up: {MAX_ATTEMPTS} times what worked on it ended before it was done"
            refusal = RequestRefused(JobErrorCode.GIVEN_UP, message, claim.place)
            await self._keep(claim, Line.of_error(claim.place, problem(refusal, claim.request_id)))
            return
        try:
            line = await self.work.line(claim)
        except TryAgainError as exc:
            if not exc.was_tried or claim.num_attempts < MAX_ATTEMPTS:
                logger.warning("image %d of a job is tried again: %s", claim.place, exc)
                await asyncio.sleep(PAUSE_S)
                await self.store.call(partial(JobStore.put_back, claim=claim, was_tried=exc.was_tried))
                return
            line = exc.line
        await self._keep(claim, line)

    async def _keep(self, claim: Claim, line: Line) -> None:
        """Write an answer down, however long there is no room for it."""
        while True:
            try:
                await self.store.call(lambda store: store.finish(claim, line.text, line.is_failed))
            except RequestRefused as refusal:
                logger.error("the answer to image %d of a job waits to be kept: %s", claim.place, refusal)
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _forget_old_ones(self) -> None:
        if time.monotonic() - self._forgot_at > FORGET_EVERY_S:
            self._forgot_at = time.monotonic()
            await self.store.call(lambda store: store.forget_finished(self.keep_s))
