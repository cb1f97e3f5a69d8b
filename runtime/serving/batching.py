"""Requests to batches: a batch starts as soon as a session is free, with what has gathered until then.

This is plain asyncio and knows neither BentoML nor images; `runtime/serving/bentoml_app.py` puts it into BentoML's app.
docs/BATCHING.md says what it corrects, with measurements.
"""

import asyncio
import contextvars
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from runtime.answers.refusals import RequestErrorCode, RequestRefused

logger = logging.getLogger("vision.batching")

TOO_LATE = "the deadline passed before the images were decoded"
_SMOOTHING = 0.2  # weight of the newest batch in the estimate of an image's cost: about the last ten batches count


class Batchable(Protocol):
    """What a request carries: a list or an array whose first axis counts images."""

    def __len__(self) -> int: ...

    def __getitem__(self, images: slice, /) -> "Batchable": ...


Item = TypeVar("Item", bound=Batchable)
Answer = TypeVar("Answer")
BatchFunction = Callable[[Sequence[Item]], Coroutine[None, None, Sequence[Sequence[Answer]]]]


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
class Outcome(Generic[Answer]):
    """One request's answers in the order of its images, and how it went.

    wait_s: from `submit` to the start of its first batch; inference_s: from there to the end of its last.
    batch_images: images in the largest of its batches.
    """

    answers: list[Answer]
    wait_s: float
    inference_s: float
    batch_images: int


@dataclass(eq=False)
class _Job(Generic[Item, Answer]):
    future: asyncio.Future[Outcome[Answer]]
    function: BatchFunction[Item, Answer]
    answers: list[Sequence[Answer]]
    num_missing: int
    enqueued_at: float
    started_at: float = 0.0
    batch_images: int = 0

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def take_answers(self, index: int, answers: Sequence[Answer], batch_images: int) -> None:
        self.answers[index] = answers
        self.num_missing -= 1
        self.batch_images = max(self.batch_images, batch_images)
        if not self.num_missing and not self.future.done():
            now = time.perf_counter()
            flat = [answer for piece in self.answers for answer in piece]
            wait_s, inference_s = self.started_at - self.enqueued_at, now - self.started_at
            self.future.set_result(Outcome(flat, wait_s, inference_s, self.batch_images))


@dataclass(eq=False)
class _Piece(Generic[Item, Answer]):
    """Up to a batch's worth of one request's images; most requests are one piece."""

    job: _Job[Item, Answer]
    index: int
    images: Item


@dataclass(eq=False)
class Batcher(Generic[Item, Answer]):
    """Work-conserving batches of bounded size from a bounded first-in-first-out queue.

    num_sessions: batches that run at the same time. max_batch_images: images in one batch; a larger request becomes
    several pieces, which may run side by side. max_queued_images: images that may wait; beyond it requests are
    refused. on_batch: told the images, requests and seconds of every batch that succeeded. on_queue: told how many
    images wait whenever that changes.

    A request is also refused if the queue is so long that it would miss its deadline. Where nobody waits a request is
    always taken, however large and whatever the last batches took: a slow moment never shuts the door for good.
    num_arriving: requests that are being decoded, kept by whoever does that, so that `refuse_if_full` sees them coming.
    Everything happens on one event loop; nothing here is safe to call from another thread.
    """

    num_sessions: int
    max_batch_images: int
    max_queued_images: int
    on_batch: Callable[[int, int, float], None] = lambda _images, _requests, _seconds: None
    on_queue: Callable[[int], None] = lambda _images: None
    num_arriving: int = field(default=0, init=False)
    queued_images: int = field(default=0, init=False)
    _queue: deque[_Piece[Item, Answer]] = field(default_factory=deque, init=False)
    _running: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _image_s: float = field(default=0.0, init=False)
    _is_closed: bool = field(default=False, init=False)
    # Batches start inside whichever request or batch came before; its context must not live on in theirs.
    _context: contextvars.Context = field(default_factory=contextvars.copy_context, init=False)

    @property
    def has_free_session(self) -> bool:
        """Whether what is submitted now starts at once."""
        return len(self._running) < self.num_sessions

    @property
    def expected_wait_s(self) -> float:
        """How long an image that comes now would wait, from what the last batches took; 0 if nobody waits."""
        return self.queued_images * self._image_s / self.num_sessions

    def refuse_if_full(self, deadline_s: float) -> None:
        """Refuse before anything is spent on a request. Raises RequestRefused.

        deadline_s: seconds that the request has.
        """
        self._refuse_if(self.queued_images + self.num_arriving >= self.max_queued_images, deadline_s)

    async def submit(self, images: Item, function: BatchFunction[Item, Answer], deadline_s: float) -> Outcome[Answer]:
        """Have `function` compute `images`, together with what others submit, and return what is of these.

        function: gets a sequence of items, returns for each as many answers as it has images, in order. Items of
        other requests may be in the same call; it is the first item's function that is called.
        deadline_s: seconds until the request is given up, also while its batch runs.
        Raises RequestRefused, or what `function` raised for these images alone. A task that is cancelled here leaves
        the queue.
        """
        if deadline_s <= 0:
            raise RequestRefused(RequestErrorCode.DEADLINE_EXCEEDED, TOO_LATE)
        if self._is_closed or self._queue:
            # What is still being decoded does not count against a request that is through with it.
            self._refuse_if(self.queued_images + len(images) > self.max_queued_images, deadline_s)
        loop = asyncio.get_running_loop()
        job = self._enqueue(images, function, loop.create_future())
        message = f"no answer within the deadline; {self.queued_images} images waited"
        late = RequestRefused(RequestErrorCode.DEADLINE_EXCEEDED, message)
        # A cancelled timer keeps its context until it is due.
        timer = loop.call_later(deadline_s, job.fail, late, context=self._context)
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
        for piece in self._queue:
            piece.job.fail(overloaded("the server is shutting down", self.expected_wait_s))
        self._queue.clear()
        self._set_queued(0)
        await asyncio.gather(*self._running, return_exceptions=True)

    def _refuse_if(self, is_full: bool, deadline_s: float) -> None:
        if self._is_closed:
            raise overloaded("the server is shutting down", self.expected_wait_s)
        refuse_if(is_full, self.queued_images, self.max_queued_images, self.expected_wait_s, deadline_s)

    def _enqueue(
        self, images: Item, function: BatchFunction[Item, Answer], future: asyncio.Future[Outcome[Answer]]
    ) -> _Job[Item, Answer]:
        # The smallest number of pieces, as even as can be: 33 images at 32 a batch are 17 and 16, not 32 and 1.
        num_pieces = max(1, math.ceil(len(images) / self.max_batch_images))
        bounds = [len(images) * i // num_pieces for i in range(num_pieces + 1)]
        job = _Job(future, function, [()] * num_pieces, num_pieces, time.perf_counter())
        for index in range(num_pieces):
            part = images if num_pieces == 1 else images[bounds[index] : bounds[index + 1]]
            self._queue.append(_Piece(job, index, part))  # type: ignore[arg-type]  # a slice is of its whole's type
        self._set_queued(self.queued_images + len(images))
        return job

    def _discard(self, job: _Job[Item, Answer]) -> None:
        """Take what is left of a request out of the queue."""
        kept = deque(piece for piece in self._queue if piece.job is not job)
        if len(kept) < len(self._queue):
            self._queue = kept
            self._set_queued(sum(len(piece.images) for piece in kept))

    def _set_queued(self, num_images: int) -> None:
        self.queued_images = num_images
        self.on_queue(num_images)

    def _start_batches(self) -> None:
        while self._queue and self.has_free_session:
            batch = self._take_batch()
            task = asyncio.get_running_loop().create_task(self._run(batch), context=self._context.copy())
            self._running.add(task)

    def _take_batch(self) -> list[_Piece[Item, Answer]]:
        """Take pieces in order as long as they fit; a piece always fits an empty batch."""
        batch: list[_Piece[Item, Answer]] = []
        room = self.max_batch_images
        now = time.perf_counter()
        while self._queue and len(self._queue[0].images) <= room:
            piece = self._queue.popleft()
            room -= len(piece.images)
            piece.job.started_at = piece.job.started_at or now
            batch.append(piece)
        self._set_queued(self.queued_images - self.max_batch_images + room)
        return batch

    async def _run(self, batch: list[_Piece[Item, Answer]]) -> None:
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

    async def _compute(self, batch: list[_Piece[Item, Answer]]) -> None:
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
