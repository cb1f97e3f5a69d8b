"""What stands behind the detector: the classifier of crops and the segmenter, neither of which can fail a request."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from runtime.answers.box_masks import with_masks
from runtime.answers.classification import Prediction, to_predictions
from runtime.answers.detection import Detection
from runtime.answers.outputs import stack_rows
from runtime.answers.pipeline import Classification, Failure, Unclassified
from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.answers.results import only_predictions
from runtime.answers.segmentation import Segmentation, to_segmentations
from runtime.model.contract import ClassificationContract, SegmentationContract
from runtime.model.crops import crop_box, is_too_small
from runtime.model.tiles import PixelBox
from runtime.serving.pipeline.sent_pictures import SentPicture
from runtime.serving.pipeline.time_left import TimeLeft
from runtime.serving.request_batching import RequestHandler
from runtime.serving.request_threads import RequestThreads
from runtime.serving.served_model import SessionThreads

logger = logging.getLogger("vision.pipeline")

_FAILURES: dict[RequestErrorCode, Failure] = {
    RequestErrorCode.DEADLINE_EXCEEDED: "deadline",
    RequestErrorCode.OVERLOADED: "overloaded",
}


@dataclass
class _Attempt:
    """What became of asking a model that may fail: `failure` says how, None if it did not."""

    failure: Failure | None = None


@contextmanager
def _allowed_to_fail(what: str) -> Iterator[_Attempt]:
    """Note a failure instead of raising it; what nobody foresaw is logged. A client that leaves cancels the work."""
    attempt = _Attempt()
    try:
        yield attempt
    except RequestRefused as refusal:
        code = refusal.code
        attempt.failure = _FAILURES.get(code, "failed") if isinstance(code, RequestErrorCode) else "failed"
        if attempt.failure == "failed":
            logger.warning("%s failed: %s", what, refusal)
    except Exception:
        logger.exception("%s failed", what)
        attempt.failure = "failed"


class CropAnswers(NamedTuple):
    """What became of a picture's detections; times in seconds, `classify_s` with the wait and `inference_s` without."""

    classifications: Sequence[Classification] = ()
    unclassified: Sequence[Unclassified] = ()
    failure: Failure | None = None
    crop_s: float = 0.0
    classify_s: float = 0.0
    inference_s: float = 0.0


@dataclass(frozen=True)
class CropStage:
    """Cuts what was found out of its picture and has it classified.

    The crops of all pictures of all requests wait in one queue, the handler's, and share its batches.
    """

    handler: RequestHandler
    sessions: SessionThreads
    cutters: RequestThreads

    async def classify(self, picture: SentPicture, detections: Sequence[Detection], time_left: TimeLeft) -> CropAnswers:
        """Say of each detection what it is, or why that is not said."""
        contract = self.handler.served.contract
        assert isinstance(contract, ClassificationContract)
        size = picture.inputs[0][1].picture
        boxes = [crop_box((d.box.x1, d.box.y1, d.box.x2, d.box.y2), contract.crop_margin, size) for d in detections]
        asked = [index for index, box in enumerate(boxes) if not is_too_small(box)]
        small = [Unclassified(detection_index=i, reason="too_small") for i, b in enumerate(boxes) if is_too_small(b)]
        if not asked:
            return CropAnswers(unclassified=small)
        times = _CropTimes()
        said: Sequence[Prediction | None] = []
        with _allowed_to_fail("classifying crops") as attempt:
            said = await self._ask(picture, [boxes[index] for index in asked], time_left, times)
        if attempt.failure:
            lost = [Unclassified(detection_index=index, reason=attempt.failure) for index in asked]
            return CropAnswers([], _in_order(small + lost), attempt.failure, *times.measured())
        answers = list(zip(asked, said, strict=True))
        unknown = [Unclassified(detection_index=index, reason="not_finite") for index, one in answers if one is None]
        classifications = [_classification(index, one) for index, one in answers if one is not None]
        return CropAnswers(classifications, _in_order(small + unknown), None, *times.measured())

    async def _ask(
        self, picture: SentPicture, boxes: Sequence[PixelBox], time_left: TimeLeft, times: "_CropTimes"
    ) -> list[Prediction | None]:
        handler, contract = self.handler, self.handler.served.contract
        pixels = await time_left.run(self.cutters, partial(picture.crops, boxes, contract))
        times.cut_at = time.perf_counter()
        outcome = await handler.batcher.submit(pixels, self.sessions.compute, time_left.left_s, time_left.is_background)
        times.inference_s = outcome.inference_s
        time_left.note_wait(handler.metrics, outcome.wait_s)
        answers = to_predictions(stack_rows(outcome.answers), contract, handler.served.identity)
        handler.metrics.predicted(answers)
        filtered = iter(await handler.filter([one for one in answers if one is not None], time_left.left_s))
        return [None if one is None else next(filtered) for one in answers]


@dataclass
class _CropTimes:
    began_at: float = field(default_factory=time.perf_counter)
    cut_at: float | None = None
    inference_s: float = 0.0

    def measured(self) -> tuple[float, float, float]:
        """Return what cutting, classifying and the model took; of what was given up, until then."""
        now = time.perf_counter()
        if self.cut_at is None:
            return now - self.began_at, 0.0, 0.0
        return self.cut_at - self.began_at, now - self.cut_at, self.inference_s


def _classification(index: int, answer: Prediction) -> Classification:
    return Classification(
        detection_index=index,
        class_id=answer.class_id,
        class_name=answer.label,
        score=answer.probability,
        abstained=answer.abstained,
    )


def _in_order(entries: list[Unclassified]) -> list[Unclassified]:
    return sorted(entries, key=lambda entry: entry.detection_index)


class MaskAnswers(NamedTuple):
    """Detections with what a segmenter saw in their boxes."""

    detections: Sequence[Detection]
    failure: Failure | None = None
    mask_s: float = 0.0


@dataclass(frozen=True)
class MaskStage:
    """Has a picture with detections segmented, in one queue with the requests to /segment, and cuts their masks."""

    handler: RequestHandler
    sessions: SessionThreads
    encoders: RequestThreads

    async def outline(self, picture: SentPicture, detections: Sequence[Detection], time_left: TimeLeft) -> MaskAnswers:
        """Give detections their masks, as far as they have one."""
        if not detections:
            return MaskAnswers(detections)
        began_at = time.perf_counter()
        with _allowed_to_fail("outlining") as attempt:
            segmentation = await self._ask(picture, time_left)
            detections = await time_left.run(self.encoders, partial(with_masks, detections, segmentation))
        return MaskAnswers(detections, attempt.failure, time.perf_counter() - began_at)

    async def _ask(self, picture: SentPicture, time_left: TimeLeft) -> Segmentation:
        handler, (pixels, place) = self.handler, picture.inputs[1]
        contract = handler.served.contract
        assert isinstance(contract, SegmentationContract)
        outcome = await handler.batcher.submit(
            pixels[None], self.sessions.compute, time_left.left_s, time_left.is_background
        )
        time_left.note_wait(handler.metrics, outcome.wait_s)
        outputs = stack_rows(outcome.answers)
        outline = partial(to_segmentations, outputs, [place], contract, handler.served.identity)
        answers = only_predictions(await time_left.run(self.encoders, outline))
        handler.metrics.predicted(answers)
        filtered = await handler.filter(answers, time_left.left_s)
        [segmentation] = (await handler.look(filtered, [picture.file], time_left.left_s)).answers
        assert isinstance(segmentation, Segmentation)
        return segmentation
