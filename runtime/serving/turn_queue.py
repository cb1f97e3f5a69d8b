"""The queue before the batcher, in which requests take turns: a large one delays a small one by a batch, not by all.

Plain lists and numbers; `runtime/serving/batching.py` says when a batch starts.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Generic, Protocol, TypeVar

_BACKGROUND_PART = 16  # of a full batch: one image on a CPU, where each costs as much as the first, 4 on a GPU


class Batchable(Protocol):
    """What a request carries: a list or an array whose first axis counts images."""

    def __len__(self) -> int: ...

    def __getitem__(self, images: slice, /) -> "Batchable": ...


Item = TypeVar("Item", bound=Batchable)
Answer = TypeVar("Answer")
BatchFunction = Callable[[Sequence[Item]], Coroutine[None, None, Sequence[Sequence[Answer]]]]


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
class Job(Generic[Item, Answer]):
    """One request: what of it waits, what is computed, and who waits for it. is_background: nobody does."""

    future: asyncio.Future[Outcome[Answer]]
    function: BatchFunction[Item, Answer]
    waiting: "deque[Piece[Item, Answer]]"
    answers: list[Sequence[Answer]]
    num_missing: int
    enqueued_at: float
    started_at: float = 0.0
    batch_images: int = 0
    is_background: bool = False

    @classmethod
    def of(
        cls,
        images: Item,
        function: BatchFunction[Item, Answer],
        future: asyncio.Future[Outcome[Answer]],
        num_pieces: int,
        is_background: bool = False,
    ) -> "Job[Item, Answer]":
        """Cut a request into pieces as even as can be."""
        enqueued_at = time.perf_counter()
        job = cls(future, function, deque(), [()] * num_pieces, num_pieces, enqueued_at, is_background=is_background)
        bounds = [len(images) * i // num_pieces for i in range(num_pieces + 1)]
        for index in range(num_pieces):
            part = images if num_pieces == 1 else images[bounds[index] : bounds[index + 1]]
            job.waiting.append(Piece(job, index, part))  # type: ignore[arg-type]  # a slice is of its whole's type
        return job

    def fail(self, error: Exception) -> None:
        """Answer with an error, unless there is an answer."""
        if not self.future.done():
            self.future.set_exception(error)

    def take_answers(self, index: int, answers: Sequence[Answer], batch_images: int) -> None:
        """Note the answers of a piece; with the last of them the request is answered."""
        self.answers[index] = answers
        self.num_missing -= 1
        self.batch_images = max(self.batch_images, batch_images)
        if not self.num_missing and not self.future.done():
            now = time.perf_counter()
            flat = [answer for piece in self.answers for answer in piece]
            wait_s, inference_s = self.started_at - self.enqueued_at, now - self.started_at
            self.future.set_result(Outcome(flat, wait_s, inference_s, self.batch_images))


@dataclass(eq=False)
class Piece(Generic[Item, Answer]):
    """Up to a batch's worth of one request's images; most requests are one piece."""

    job: Job[Item, Answer]
    index: int
    images: Item


@dataclass(eq=False)
class TurnQueue(Generic[Item, Answer]):
    """Requests that wait, each with a piece or more.

    max_batch_images: images in one batch, and in one piece at most. max_batch_requests: requests in one batch.

    One piece of a request is taken for a batch, and the rest of it goes to the end: requests of one piece are served in
    order of arrival, and none waits for all pieces of another. Background requests wait in a line of their own, which
    nobody else notices: the queue is true if others wait, and its images are theirs.
    """

    max_batch_images: int
    max_batch_requests: float = math.inf
    num_images: int = field(default=0, init=False)
    _jobs: deque[Job[Item, Answer]] = field(default_factory=deque, init=False)
    _background: deque[Job[Item, Answer]] = field(default_factory=deque, init=False)

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def __iter__(self) -> Iterator[Job[Item, Answer]]:
        return chain(self._jobs, self._background)

    @property
    def max_background_images(self) -> int:
        """Images in one background batch: few, as a request that comes may wait for all of it."""
        return max(1, self.max_batch_images // _BACKGROUND_PART)

    @property
    def has_background(self) -> bool:
        return bool(self._background)

    def append(self, job: Job[Item, Answer]) -> None:
        if job.is_background:
            self._background.append(job)
            return
        self._jobs.append(job)
        self.num_images += _num_waiting(job)

    def discard(self, job: Job[Item, Answer]) -> None:
        """Take what is left of a request out, if anything is."""
        if job in self._background:
            self._background.remove(job)
        elif job in self._jobs:
            self._jobs.remove(job)
            self.num_images -= _num_waiting(job)

    def clear(self) -> None:
        self._jobs.clear()
        self._background.clear()
        self.num_images = 0

    def take_batch(self) -> list[Piece[Item, Answer]]:
        """Take a piece of each request in order as long as they fit; a piece always fits an empty batch.

        Of background requests where no other waits: never both in one batch, which would take longer.
        """
        if not self._jobs:
            batch, _ = self._take(self._background, self.max_background_images)
            return batch
        batch, num_taken = self._take(self._jobs, self.max_batch_images)
        self.num_images -= num_taken
        return batch

    def _take(self, jobs: deque[Job[Item, Answer]], most: int) -> tuple[list[Piece[Item, Answer]], int]:
        batch: list[Piece[Item, Answer]] = []
        to_the_end: list[Job[Item, Answer]] = []
        room = most
        now = time.perf_counter()
        while jobs and len(jobs[0].waiting[0].images) <= room and len(batch) < self.max_batch_requests:
            job = jobs.popleft()
            piece = job.waiting.popleft()
            room -= len(piece.images)
            job.started_at = job.started_at or now
            batch.append(piece)
            if job.waiting:
                to_the_end.append(job)
        jobs.extend(to_the_end)
        return batch, most - room

    def num_pieces(self, num_images: int, num_free: int) -> int:
        """Return the number of pieces that a request of so many images becomes.

        The fewest that there can be: one that fits a batch is not split while others wait. num_free: sessions that do
        nothing, so that nobody waits: then each gets an equal share, also of a request that fits a batch.
        """
        fewest = max(1, math.ceil(num_images / self.max_batch_images))
        return max(1, min(num_images, math.ceil(fewest / num_free) * num_free)) if num_free else fewest

    def num_ahead(self, num_images: int) -> int:
        """Return for how many images a request that comes now would wait before its last batch, its own included."""
        turns = self.num_pieces(num_images, 0)
        others = sum(len(piece.images) for job in self._jobs for piece in islice(job.waiting, turns))
        return others + num_images * (turns - 1) // turns


def _num_waiting(job: Job[Item, Answer]) -> int:
    return sum(len(piece.images) for piece in job.waiting)
