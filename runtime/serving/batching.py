"""Requests to batches: a batch starts as soon as a session is free, with what has gathered until then.

This is plain asyncio and knows neither BentoML nor images; `runtime/serving/bentoml_app.py` puts it into BentoML's app.
docs/BATCHING.md says what it corrects, with measurements.
"""

import asyncio
import contextvars
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic

from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.serving.turn_queue import Answer, BatchFunction, Item, Job, Outcome, Piece, TurnQueue

logger = logging.getLogger("vision.batching")

TOO_LATE = "the deadline passed before the images were decoded"
_SMOOTHING = 0.2  # weight of the newest batch in the estimate of an image's cost: about the last ten batches count


def refuse_if(is_full: bool, queued_images: int, max_images: int, wait_s: float, deadline_s: float) -> None:
    """Raise RequestRefused for a queue that is full, or whose wait is longer than a request's deadline."""
    if is_full:
        raise overloaded(f"{queued_images} images wait, at most {max_images} may; try again later", wait_s)
    if wait_s > deadline_s:
        raise overloaded(f"the wait would be {wait_s:.1f} s, longer than the deadline; try again later", wait_s)


def overloaded(message: str, wait_s: float) -> RequestRefused:
    """Return a refusal that asks to come back when the queue should have drained."""
    return RequestRefused(RequestErrorCode.OVERLOADED, message, retry_after_s=max(1, math.ceil(wait_s)))


@dataclass(frozen=True)
class BatchingWay:
    """How requests become batches, for benchmarks to compare.

    max_requests: in one batch. splits: whether a request is shared out among sessions that are free. window_s: how long
    the first of a batch waits for others, unless it is full.
    """

    max_requests: float = math.inf
    splits: bool = True
    window_s: float = 0.0


SHARED = BatchingWay()


@dataclass(eq=False)
class Batcher(Generic[Item, Answer]):
    """Work-conserving batches of bounded size from a bounded queue, in which requests take turns.

    num_sessions: batches that run at the same time. max_batch_images: images in one batch; a larger request becomes
    several pieces, which may run side by side and let others go between them (`TurnQueue`). max_queued_images: images
    that may wait; beyond it requests are refused. on_batch: told the images, requests and seconds of every batch that
    succeeded. on_queue: told how many images wait whenever that changes. way: what is compared with the others.

    A request is also refused if the queue is so long that it would miss its deadline. Where nobody waits a request is
    always taken, however large and whatever the last batches took: a slow moment never shuts the door for good.
    num_arriving: requests that are being decoded, kept by whoever does that, so that `refuse_if_full` sees them coming.
    Background requests, for which nobody waits, are never refused for a full queue, start only where nobody else waits,
    and leave one session free where there are several, so that what comes next starts at once.
    Everything happens on one event loop; nothing here is safe to call from another thread.
    """

    num_sessions: int
    max_batch_images: int
    max_queued_images: int
    on_batch: Callable[[int, int, float], None] = lambda _images, _requests, _seconds: None
    on_queue: Callable[[int], None] = lambda _images: None
    way: BatchingWay = SHARED
    num_arriving: int = field(default=0, init=False)
    _queue: TurnQueue[Item, Answer] = field(init=False)
    _running: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _image_s: float = field(default=0.0, init=False)
    _is_closed: bool = field(default=False, init=False)
    # Batches start inside whichever request or batch came before; its context must not live on in theirs.
    _context: contextvars.Context = field(default_factory=contextvars.copy_context, init=False)

    def __post_init__(self) -> None:
        self._queue = TurnQueue(self.max_batch_images, self.way.max_requests)

    @property
    def queued_images(self) -> int:
        """Images that wait for a session."""
        return self._queue.num_images

    @property
    def has_free_session(self) -> bool:
        """Whether what is submitted now starts at once."""
        return len(self._running) < self.num_sessions

    @property
    def expected_wait_s(self) -> float:
        """How long an image that comes now would wait, from what the last batches took; 0 if nobody waits."""
        return self._time_of(self._queue.num_ahead(1))

    def refuse_if_full(self, deadline_s: float) -> None:
        """Refuse before anything is spent on a request. Raises RequestRefused.

        deadline_s: seconds that the request has.
        """
        self._refuse_if(self.queued_images + self.num_arriving >= self.max_queued_images, deadline_s)

    async def submit(
        self,
        images: Item,
        function: BatchFunction[Item, Answer],
        deadline_s: float,
        is_background: bool = False,
    ) -> Outcome[Answer]:
        """Have `function` compute `images`, together with what others submit, and return what is of these.

        function: gets a sequence of items, returns for each as many answers as it has images, in order. Items of
        other requests may be in the same call; it is the first item's function that is called.
        deadline_s: seconds until the request is given up, also while its batch runs.
        Raises RequestRefused, or what `function` raised for these images alone. A task that is cancelled here leaves
        the queue.
        """
        if deadline_s <= 0:
            raise RequestRefused(RequestErrorCode.DEADLINE_EXCEEDED, TOO_LATE)
        if self._is_closed or (self._queue and not is_background):
            # What is still being decoded does not count against a request that is through with it.
            self._refuse_if(self.queued_images + len(images) > self.max_queued_images, deadline_s, len(images))
        loop = asyncio.get_running_loop()
        job = self._enqueue(images, function, loop.create_future(), is_background)
        message = f"no answer within the deadline; {self.queued_images} images waited"
        late = RequestRefused(RequestErrorCode.DEADLINE_EXCEEDED, message)
        # A cancelled timer keeps its context until it is due.
        timer = loop.call_later(deadline_s, job.fail, late, context=self._context)
        if self.way.window_s:
            loop.call_later(self.way.window_s, self._start_batches, context=self._context)
        self._start_batches()
        try:
            return await job.future
        finally:
            timer.cancel()
            if job.num_missing:
                self._discard(job)

    async def close(self) -> None:
        """Refuse what waits and what comes, let running batches end. Safe to call twice."""
        self._is_closed = True
        for job in self._queue:
            job.fail(overloaded("the server is shutting down", self._time_of(self.queued_images)))
        self._queue.clear()
        self.on_queue(0)
        await asyncio.gather(*self._running, return_exceptions=True)

    def _refuse_if(self, is_full: bool, deadline_s: float, num_images: int = 1) -> None:
        drained_s = self._time_of(self.queued_images)
        if self._is_closed:
            raise overloaded("the server is shutting down", drained_s)
        wait_s = drained_s if is_full else self._time_of(self._queue.num_ahead(num_images))
        refuse_if(is_full, self.queued_images, self.max_queued_images, wait_s, deadline_s)

    def _time_of(self, num_images: int) -> float:
        return num_images * self._image_s / self.num_sessions

    def _enqueue(
        self,
        images: Item,
        function: BatchFunction[Item, Answer],
        future: asyncio.Future[Outcome[Answer]],
        is_background: bool,
    ) -> Job[Item, Answer]:
        if is_background:
            num_pieces = math.ceil(len(images) / self._queue.max_background_images)
        else:
            num_free = self.num_sessions - len(self._running) if self.way.splits else 0
            num_pieces = self._queue.num_pieces(len(images), num_free)
        job = Job.of(images, function, future, num_pieces, is_background)
        self._queue.append(job)
        self.on_queue(self.queued_images)
        return job

    def _discard(self, job: Job[Item, Answer]) -> None:
        """Take what is left of a request out of the queue."""
        self._queue.discard(job)
        self.on_queue(self.queued_images)

    @property
    def _has_room_for_background(self) -> bool:
        is_there = self._queue.has_background and not self._queue
        return is_there and len(self._running) < max(1, self.num_sessions - 1)

    def _start_batches(self) -> None:
        while (self._queue and self.has_free_session and self._is_due()) or self._has_room_for_background:
            batch = self._queue.take_batch()
            self.on_queue(self.queued_images)
            task = asyncio.get_running_loop().create_task(self._run(batch), context=self._context.copy())
            self._running.add(task)

    def _is_due(self) -> bool:
        """Whether a batch may start; the work-conserving way never waits."""
        waited_s = time.perf_counter() - next(iter(self._queue)).enqueued_at
        # A timer may be early by what its clock resolves.
        return waited_s >= self.way.window_s - 1e-3 or self.queued_images >= self.max_batch_images

    async def _run(self, batch: list[Piece[Item, Answer]]) -> None:
        task = asyncio.current_task()
        try:
            await self._compute(batch)
        finally:
            for piece in batch:
                if not piece.job.future.done() and piece.job.answers[piece.index] == ():
                    piece.job.future.cancel()
            assert task is not None
            self._running.discard(task)
            self._start_batches()

    async def _compute(self, batch: list[Piece[Item, Answer]]) -> None:
        """Compute a batch; if that fails, each piece alone, so that one harms nobody else."""
        started_at = time.perf_counter()
        num_images = sum(len(piece.images) for piece in batch)
        try:
            outputs = await batch[0].job.function([piece.images for piece in batch])
            sizes = [len(piece.images) for piece in batch]
            if [len(answers) for answers in outputs] != sizes:
                raise RuntimeError(f"the batch function answered {list(map(len, outputs))} images, expected {sizes}")
        except Exception as exc:
            if len(batch) == 1:
                batch[0].job.fail(exc)
                return
            logger.warning("a batch of %d requests failed (%r); computing each alone", len(batch), exc)
            for piece in batch:
                if not piece.job.future.done():
                    await self._compute([piece])
            return
        elapsed_s = time.perf_counter() - started_at
        per_image_s = elapsed_s / num_images
        self._image_s += (per_image_s - self._image_s) * (_SMOOTHING if self._image_s else 1.0)
        self.on_batch(num_images, len(batch), elapsed_s)
        for piece, answers in zip(batch, outputs, strict=True):
            piece.job.take_answers(piece.index, answers, num_images)
