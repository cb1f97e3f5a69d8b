"""A pipeline by its costs: requests that come when they will, stages with queues, and cores that all of it shares.

Detector and classifier batch as the service does, by `TurnQueue` itself: a batch starts as soon as a session is free,
and a request's crops are shared out among sessions that do nothing. The other stages are threads that take one request
after the other. Whatever computes has a core to itself while there are enough, else all slow down alike. Not in it:
refusals, deadlines, and what else the machine does.
"""

import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from benchmarks.pipeline.measured import STAGES, Costs, Shape
from runtime.serving.turn_queue import Job, Piece, TurnQueue

WARM_UP_SHARE = 0.1  # of the requests, which come before the queues are as full as they get
_Batch = list[Piece[Any, Any]]


@dataclass(frozen=True)
class Simulated:
    """What requests took, in milliseconds. stages_ms: of each stage, with the wait for it."""

    total_ms: list[float]
    stages_ms: dict[str, list[float]]


@dataclass(eq=False)
class _Work:
    """Something that computes. left_ms: on a core of its own."""

    left_ms: float
    done: Callable[[], None]


@dataclass(eq=False)
class _Request:
    came_ms: float
    entered_ms: float = 0.0
    missing: int = 0
    took_ms: dict[str, float] = field(default_factory=dict)


def draw(quantiles_ms: Sequence[float], rng: random.Random) -> float:
    """Return a value drawn from evenly spaced quantiles, between two of them as the case may be."""
    place = rng.random() * (len(quantiles_ms) - 1)
    low = min(int(place), len(quantiles_ms) - 2)
    return quantiles_ms[low] + (place - low) * (quantiles_ms[low + 1] - quantiles_ms[low])


def simulate(costs: Costs, shape: Shape, rate_per_s: float, num_requests: int = 2000, seed: int = 0) -> Simulated:
    """Let so many requests come at a rate (Poisson) and say what each took; the first tenth is not counted."""
    return _Simulation(costs, shape, seed).run(rate_per_s, num_requests)


class _Simulation:
    def __init__(self, costs: Costs, shape: Shape, seed: int) -> None:
        self.costs, self.shape = costs, shape
        self.rng = random.Random(seed)  # noqa: S311 - arrival times, not secrets
        self.now_ms = 0.0
        self.working: list[_Work] = []
        self.ended: list[_Request] = []
        self.threads = {"decode": _Threads(shape.decode_threads), "crop": _Threads(shape.decode_threads)}
        self.threads["encode"] = _Threads(1)  # the event loop
        self.models = {
            stage: _Model(TurnQueue(shape.max_batch_images), shape.sessions) for stage in ("detect", "classify")
        }

    def run(self, rate_per_s: float, num_requests: int) -> Simulated:
        times, came_ms = deque[float](), 0.0
        for _ in range(num_requests):
            came_ms += self.rng.expovariate(rate_per_s / 1e3)
            times.append(came_ms)
        while times or self.working:
            slowness = max(1.0, len(self.working) / self.shape.cores)
            first = min(self.working, key=lambda work: work.left_ms, default=None)
            next_ms = self.now_ms + first.left_ms * slowness if first else math.inf
            if times and times[0] <= next_ms:
                self._advance(times[0], slowness)
                self._enter("decode", _Request(times.popleft()))
            elif first:
                self._advance(next_ms, slowness)
                self.working.remove(first)
                first.done()
        counted = sorted(self.ended, key=lambda request: request.came_ms)[int(WARM_UP_SHARE * num_requests) :]
        totals = [sum(request.took_ms.values()) for request in counted]
        return Simulated(totals, {stage: [request.took_ms[stage] for request in counted] for stage in STAGES})

    def _advance(self, to_ms: float, slowness: float) -> None:
        for work in self.working:
            work.left_ms -= (to_ms - self.now_ms) / slowness
        self.now_ms = to_ms

    def _work(self, ms: float, done: Callable[[], None]) -> None:
        self.working.append(_Work(max(ms, 1e-6), done))

    def _enter(self, stage: str, request: _Request) -> None:
        request.entered_ms = self.now_ms
        if stage in self.models:
            self._submit(stage, request)
        else:
            self.threads[stage].waiting.append(request)
            self._start_thread(stage)

    def _leave(self, stage: str, request: _Request) -> None:
        request.took_ms[stage] = self.now_ms - request.entered_ms
        place = STAGES.index(stage) + 1
        if place < len(STAGES):
            self._enter(STAGES[place], request)
        else:
            self.ended.append(request)

    def _start_thread(self, stage: str) -> None:
        threads = self.threads[stage]
        while threads.waiting and threads.num_busy < threads.num:
            threads.num_busy += 1
            request = threads.waiting.popleft()

            def end(request: _Request = request) -> None:
                threads.num_busy -= 1
                self._leave(stage, request)
                self._start_thread(stage)

            self._work(self._thread_ms(stage), end)

    def _thread_ms(self, stage: str) -> float:
        ms = draw(self.costs.quantiles_ms[stage], self.rng)
        return ms + draw(self.costs.quantiles_ms["other"], self.rng) if stage == "encode" else ms

    def _submit(self, stage: str, request: _Request) -> None:
        model = self.models[stage]
        images = range(1 if stage == "detect" else self.shape.crops)
        num_pieces = model.queue.num_pieces(len(images), model.num_sessions - model.num_busy)
        request.missing = num_pieces
        job: Job[Any, Any] = Job.of(images, cast(Any, None), cast(Any, request), num_pieces)
        model.queue.append(job)
        self._start_batches(stage)

    def _start_batches(self, stage: str) -> None:
        model = self.models[stage]
        while model.queue and model.num_busy < model.num_sessions:
            model.num_busy += 1
            batch = model.queue.take_batch()

            def end(batch: _Batch = batch) -> None:
                model.num_busy -= 1
                self._end_batch(stage, batch)
                self._start_batches(stage)

            self._work(self._batch_ms(stage, sum(len(piece.images) for piece in batch)), end)

    def _batch_ms(self, stage: str, num_images: int) -> float:
        costs = self.costs
        is_detector = stage == "detect"
        first_ms = costs.detect_ms if is_detector else costs.classify_ms
        growth = costs.detect_growth if is_detector else costs.classify_growth
        return first_ms * draw(costs.quantiles_ms[stage], self.rng) * (1 + growth * (num_images - 1))

    def _end_batch(self, stage: str, batch: _Batch) -> None:
        for piece in batch:
            request = cast(_Request, piece.job.future)
            request.missing -= 1
            if not request.missing:
                self._leave(stage, request)


@dataclass(eq=False)
class _Threads:
    num: int
    num_busy: int = 0
    waiting: deque[_Request] = field(default_factory=deque)


@dataclass(eq=False)
class _Model:
    queue: TurnQueue[Any, Any]
    num_sessions: int
    num_busy: int = 0
