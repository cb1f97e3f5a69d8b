"""One image of a job to its answer: the way of any image, behind all requests."""

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, Self

from runtime.answers.classification import Prediction, to_predictions
from runtime.answers.outputs import Row, stack_rows
from runtime.answers.pipeline import PipelineResult
from runtime.answers.refusals import AnyCode, RequestErrorCode, RequestRefused
from runtime.answers.results import only_predictions
from runtime.answers.tiled import to_tiled_segmentation
from runtime.model.contract import SegmentationContract
from runtime.model.preprocess import Placement
from runtime.model.roles import Role
from runtime.serving.error_bodies import internal_problem, problem
from runtime.serving.fetching.fetcher import Fetcher
from runtime.serving.hook_threads import HookHangsError
from runtime.serving.intake.images import Reader
from runtime.serving.intake.wanted_parts import Parts, WantedParts
from runtime.serving.jobs.records import Claim
from runtime.serving.pipeline.lines import failed_line, result_line
from runtime.serving.pipeline.pipeline import Pipeline
from runtime.serving.pipeline.sent_pictures import SentPicture
from runtime.serving.pipeline.time_left import TimeLeft
from runtime.serving.request_batching import RequestHandler
from runtime.serving.request_threads import RequestThreads
from runtime.serving.served_model import SessionThreads

logger = logging.getLogger("vision.jobs")

IMAGE_S = 600.0  # for one image from when it is there; the wait behind requests is a part of it
TASKS: dict[str, Role] = {"predict": "classification", "segment": "segmentation", "detect": "detection"}
# What another moment may mend, and what may be the image's doing.
_TO_TRY_LATER: frozenset[AnyCode] = frozenset({RequestErrorCode.OVERLOADED, RequestErrorCode.DEADLINE_EXCEEDED})
_TO_TRY_AGAIN: frozenset[AnyCode] = frozenset(
    {RequestErrorCode.UNAVAILABLE, RequestErrorCode.FILTERS_HANG, RequestErrorCode.NOT_CHECKED}
)
# Why a model behind the detector has no answer, where it waited too long behind requests.
_MISSING_FOR_NOW: frozenset[str] = frozenset({"deadline", "overloaded"})


class Line(NamedTuple):
    """What is said of an image, as JSON: `index` with `result` or `error`."""

    text: str
    is_failed: bool

    @classmethod
    def of_error(cls, index: int, error: Mapping[str, object]) -> Self:
        """Say why an image has no answer."""
        return cls(failed_line(index, error), True)


class TryAgainError(Exception):
    """An image that cannot be answered now.

    was_tried: whether it counts as an attempt. line: what is said if it is not tried again.
    """

    def __init__(self, was_tried: bool, line: Line, why: str) -> None:
        super().__init__(why)
        self.was_tried = was_tried
        self.line = line


@dataclass(frozen=True)
class ImageWork:
    """Answers images of jobs, in threads of its own and, behind those who wait, in the batches of all.

    by_task: the handlers of the tasks that there are, by the name of their endpoint. handlers: of all models.
    """

    by_task: Mapping[str, RequestHandler]
    handlers: Collection[RequestHandler]
    pipeline: Pipeline | None
    fetcher: Fetcher
    threads: RequestThreads
    sessions: Mapping[str, SessionThreads]

    @classmethod
    def of(cls, by_role: Mapping[Role, RequestHandler], pipeline: Pipeline | None) -> Self:
        """Work with the handlers that there are."""
        by_task = {task: by_role[role] for task, role in TASKS.items() if role in by_role}
        settings = next(iter(by_role.values())).served.settings
        num_images = settings.job_images_in_flight
        fetcher = replace(Fetcher.of(settings), max_at_once=num_images)
        threads = RequestThreads(min(num_images, settings.decode_threads), "job-decode")
        sessions = {task: SessionThreads(handler.served) for task, handler in by_task.items()}
        return cls(by_task, by_role.values(), pipeline, fetcher, threads, sessions)

    @property
    def is_ready(self) -> bool:
        """Whether an image that is taken in hand now finds everybody who works on it."""
        return all(handler.is_ready for handler in self.handlers)

    def close(self) -> None:
        """Let threads end. Safe to call twice."""
        self.threads.close()
        for threads in self.sessions.values():
            threads.close()

    async def line(self, claim: Claim) -> Line:
        """Answer an image, or say why it cannot be. Raises TryAgainError where that may change."""
        index, request_id = claim.place, claim.request_id
        try:
            result = await self._answer(claim)
        except RequestRefused as refusal:
            failed = Line.of_error(index, problem(refusal.at(index), request_id))
            if refusal.code in _TO_TRY_LATER | _TO_TRY_AGAIN:
                # A filter that hangs keeps its thread: tried for ever, one image would take all of them.
                was_tried = refusal.code in _TO_TRY_AGAIN or isinstance(refusal, HookHangsError)
                raise TryAgainError(was_tried, failed, str(refusal)) from refusal
            return failed
        except Exception:
            logger.exception("image %d of a job failed; request %s", index, request_id)
            return Line.of_error(index, internal_problem(index, request_id))
        line = Line(result_line(index, result), False)
        if isinstance(result, PipelineResult) and {result.classified, result.masked} & _MISSING_FOR_NOW:
            raise TryAgainError(True, line, f"classified: {result.classified}, masked: {result.masked}")
        return line

    async def _answer(self, claim: Claim) -> Prediction:
        handler = self.by_task[claim.task]
        try:
            if claim.task == "detect":
                assert self.pipeline is not None  # it is there with the detector
                return await self._detect(claim, self.pipeline)
            return await self._look_at(claim, handler)
        except RequestRefused as refusal:
            if refusal.code not in _TO_TRY_LATER | _TO_TRY_AGAIN:
                handler.metrics.refused(refusal.code.value)
            raise

    async def _detect(self, claim: Claim, pipeline: Pipeline) -> Prediction:
        async with self.fetcher.encoded(claim.image) as encoded:
            time_left = _time_left()
            read = partial(SentPicture.read, encoded, claim.place, pipeline.reading)
            picture = await time_left.run(self.threads, read)
        try:
            looked = await pipeline.look_at([picture], self.sessions[claim.task].compute, claim.trace_id, time_left)
        finally:
            picture.close()
        return looked.results[0]

    async def _look_at(self, claim: Claim, handler: RequestHandler) -> Prediction:
        served = handler.served
        parts = WantedParts().over(served.contract)
        async with self.fetcher.encoded(claim.image) as encoded:
            time_left = _time_left()
            read = partial(Reader(served.contract, served.settings, parts), encoded, claim.place)
            pixels, places, file = await time_left.run(self.threads, read)
        files = [file] if served.image_filters.at(is_drawn=False) else []
        del encoded, read, file  # what was fetched is not kept while it waits, unless filters look at it
        compute = self.sessions[claim.task].compute
        outcome = await handler.batcher.submit(pixels, compute, time_left.left_s, time_left.is_background)
        say = partial(_say, handler, outcome.answers, places, parts)
        [answer] = only_predictions([await time_left.run(self.threads, say)])
        handler.metrics.predicted([answer])
        filtered = await handler.filter([answer], time_left.left_s)
        [looked] = (await handler.look(filtered, files, time_left.left_s)).answers
        return looked


def _say(handler: RequestHandler, rows: list[Row], places: list[Placement], parts: Parts) -> Prediction | None:
    contract, identity = handler.served.contract, handler.served.identity
    outputs = stack_rows(rows)
    if isinstance(contract, SegmentationContract):
        return to_tiled_segmentation(outputs, places, contract, identity, parts.roi)
    return to_predictions(outputs, contract, identity)[0]


def _time_left() -> TimeLeft:
    return TimeLeft(time.perf_counter() + IMAGE_S, IMAGE_S, is_background=True)
