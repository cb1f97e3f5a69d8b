"""Filters that look at pixels, beside the event loop: what each says in time, and what happens where it does not."""

import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from runtime.answers.classification import Prediction
from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.image_filters.looking import Area, ImageFile, ImageStep
from runtime.serving.hook_threads import HookThreads
from runtime.serving.pipeline.time_left import together

P = TypeVar("P", bound=Prediction)
logger = logging.getLogger("vision.filters")


class LookedAt(NamedTuple, Generic[P]):
    """Answers after filters have looked, in order, and what of each image is blurred where it is drawn."""

    answers: Sequence[P]
    blurred: Sequence[Sequence[Area]]


async def look_at_images(
    steps: Sequence[ImageStep], files: Sequence[ImageFile], answers: Sequence[P], threads: HookThreads, left_s: float
) -> LookedAt[P]:
    """Have filters look at a request's images, several images at a time, within `left_s` seconds.

    Raises RequestRefused naming an image whose answer is withheld, or where it must be as a filter failed: of several
    the one that is found first.
    """
    until = time.perf_counter() + left_s
    looked = await together(
        [
            _look_at(steps, file, answer, index, threads, until)
            for index, (file, answer) in enumerate(zip(files, answers, strict=True))
        ]
    )
    return LookedAt([answer for answer, _ in looked], [areas for _, areas in looked])


async def _look_at(
    steps: Sequence[ImageStep], file: ImageFile, answer: P, index: int, threads: HookThreads, until: float
) -> tuple[P, list[Area]]:
    areas: list[Area] = []
    for step in steps:
        left_s = until - time.perf_counter()
        timeout_s = step.stated.timeout_ms / 1e3
        try:
            seen = await threads.run(partial(step.look_at, file, answer), min(left_s, timeout_s))
        except RequestRefused as refusal:
            # With the request's time, or all threads, at an end nobody has anything to answer.
            if refusal.code is not RequestErrorCode.DEADLINE_EXCEEDED or left_s <= timeout_s:
                raise
            logger.warning("the filter %s took longer than %d ms", step.stated.path, step.stated.timeout_ms)
            answer = _unchecked(step, answer, index)
        except (Exception, SystemExit):  # a filter's `sys.exit` must not end the service
            logger.exception("the filter %s failed", step.stated.path)
            answer = _unchecked(step, answer, index)
        else:
            if seen.withheld:
                raise RequestRefused(RequestErrorCode.WITHHELD, seen.withheld, index)
            answer = seen.answer
            areas.extend(seen.blurred)
    return answer, areas


def _unchecked(step: ImageStep, answer: P, index: int) -> P:
    """Return the answer that is given though a filter has not looked. Raises RequestRefused where none is."""
    path = step.stated.path
    if step.stated.if_unchecked == "withhold":
        message = f"the filter {path} did not look at this picture, and there is no answer without it"
        raise RequestRefused(RequestErrorCode.NOT_CHECKED, message, index)
    return answer.model_copy(update={"marks": (*answer.marks, f"unchecked: {path}")})
