"""Pictures to what is in them: detect, cut, classify, outline, and one answer of it all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Self

import numpy as np

from runtime.answers.classification import ModelIdentity, Prediction
from runtime.answers.detection import Detections, to_detections
from runtime.answers.outputs import Row, stack_rows
from runtime.answers.pipeline import PipelineResult, Stage, StageModel, StageTimes, Unclassified
from runtime.answers.results import only_predictions
from runtime.model.contract import DetectionContract
from runtime.model.image import ImageArray
from runtime.model.roles import Role
from runtime.serving.bentoml_app import BatchCallback
from runtime.serving.fetching.fetcher import Fetcher
from runtime.serving.pipeline.sent_pictures import PictureRoom, Reading, SentPicture
from runtime.serving.pipeline.stages import CropAnswers, CropStage, MaskAnswers, MaskStage
from runtime.serving.pipeline.time_left import TimeLeft, together
from runtime.serving.prometheus.pipeline_metrics import PipelineMetrics, pipeline_metrics
from runtime.serving.request_batching import RequestHandler
from runtime.serving.served_model import SessionThreads
from runtime.serving.turn_queue import Outcome


class Looked(NamedTuple):
    """What the pipeline says of pictures, in order, and how long the detector let them wait and took for them."""

    results: Sequence[PipelineResult]
    outcome: Outcome[Row]


@dataclass(frozen=True)
class Pipeline:
    """A detector, and the classifier of crops and the segmenter where they are served.

    Each has a queue over all requests. The detector alone can fail a request: what another does not say is missing in
    the answer, which says why.
    """

    detector: RequestHandler
    crops: CropStage | None
    masks: MaskStage | None
    reading: Reading
    metrics: PipelineMetrics
    models: list[StageModel]
    fetcher: Fetcher

    @classmethod
    def of(cls, handlers: Mapping[Role, RequestHandler], fetcher: Fetcher) -> Self:
        """Put the handlers of a detector and of those that are there beside it into a pipeline.

        fetcher: of the images of lists that are addresses.
        """
        detector, classifier = handlers["detection"], handlers.get("crop-classification")
        segmenter = handlers.get("segmentation")
        whole = [detector, segmenter] if segmenter else [detector]
        settings, contract = detector.served.settings, detector.served.contract
        assert isinstance(contract, DetectionContract)
        room = PictureRoom(settings.max_decoded_bytes)
        contracts = tuple(handler.served.contract for handler in whole)
        looks = any(handler.served.image_filters.at(is_drawn=False) for handler in whole)
        reading = Reading(contracts, classifier is not None, settings.max_pixels, room, looks)
        stages: dict[Stage, RequestHandler | None] = {"detect": detector, "classify": classifier, "mask": segmenter}
        return cls(
            detector,
            CropStage(classifier, SessionThreads(classifier.served), detector.encoders) if classifier else None,
            MaskStage(segmenter, SessionThreads(segmenter.served), detector.encoders) if segmenter else None,
            reading,
            pipeline_metrics(contract.objects),
            [_stage_model(stage, handler.served.identity) for stage, handler in stages.items() if handler],
            fetcher,
        )

    def close(self) -> None:
        """Let threads end. Safe to call twice."""
        for stage in (self.crops, self.masks):
            if stage:
                stage.sessions.close()

    async def look_at(
        self, pictures: Sequence[SentPicture], compute: BatchCallback, trace_id: str, time_left: TimeLeft
    ) -> Looked:
        """Say what is in pictures, in order, as the detector's filters leave it.

        compute: BentoML's way to the detector. Raises RequestRefused, naming the first picture of which the detector's
        output is not finite.
        """
        pixels = await self._stacked(pictures, time_left)
        outcome = await self.detector.batcher.submit(pixels, compute, time_left.left_s, time_left.is_background)
        time_left.note_wait(self.detector.metrics, outcome.wait_s)
        found = only_predictions(self._detections(pictures, outcome))
        self.detector.metrics.predicted(found)
        finished = await together(
            [
                self._finish(picture, answer, outcome, trace_id, time_left)
                for picture, answer in zip(pictures, found, strict=True)
            ]
        )
        filtered = await self.detector.filter(finished, time_left.left_s)
        looked = await self.detector.look(filtered, [picture.file for picture in pictures], time_left.left_s)
        results = looked.answers
        self.metrics.answered(results)
        return Looked(results, outcome)

    async def _stacked(self, pictures: Sequence[SentPicture], time_left: TimeLeft) -> ImageArray:
        """Return the detector's inputs of pictures as one array; several are copied in a thread."""
        inputs = [picture.inputs[0][0] for picture in pictures]
        if len(inputs) == 1:
            return inputs[0][None]
        return await time_left.run(self.detector.decoders, partial(np.stack, inputs))

    def _detections(self, pictures: Sequence[SentPicture], outcome: Outcome[Row]) -> list[Detections | None]:
        served = self.detector.served
        assert isinstance(served.contract, DetectionContract)
        places = [picture.inputs[0][1] for picture in pictures]
        return to_detections(stack_rows(outcome.answers), places, served.contract, served.identity)

    async def _finish(
        self, picture: SentPicture, found: Prediction, outcome: Outcome[Row], trace_id: str, time_left: TimeLeft
    ) -> PipelineResult:
        assert isinstance(found, Detections)
        later = time_left.share(self.detector.served.settings.classify_share)
        crops, masks = await self._ask_the_others(picture, found, later)
        unclassified = list(crops.unclassified)
        if not self.crops:
            unclassified = [
                Unclassified(detection_index=index, reason="no_classifier") for index in range(len(found.detections))
            ]
        return PipelineResult(
            **{**dict(found), "detections": list(masks.detections)},
            image_id=picture.image_id,
            trace_id=trace_id,
            classifications=list(crops.classifications),
            unclassified=unclassified,
            classified=crops.failure or ("done" if self.crops else "no_classifier"),
            masked=masks.failure or ("done" if self.masks else "no_segmenter"),
            inference_ms=_ms(outcome.inference_s + crops.inference_s),
            timings=StageTimes(
                decode_ms=_ms(picture.decode_s),
                queue_ms=_ms(outcome.wait_s),
                detect_ms=_ms(outcome.inference_s),
                crop_ms=_ms(crops.crop_s),
                classify_ms=_ms(crops.classify_s),
                mask_ms=_ms(masks.mask_s),
            ),
            models=self.models,
        )

    async def _ask_the_others(
        self, picture: SentPicture, found: Detections, time_left: TimeLeft
    ) -> tuple[CropAnswers, MaskAnswers]:
        """Classify and outline side by side, with what is there for it."""
        crops, masks = CropAnswers(), MaskAnswers(found.detections)

        async def classify() -> None:
            nonlocal crops
            if self.crops:
                crops = await self.crops.classify(picture, found.detections, time_left)

        async def outline() -> None:
            nonlocal masks
            if self.masks:
                masks = await self.masks.outline(picture, found.detections, time_left)

        await together([classify(), outline()])
        return crops, masks


def _stage_model(stage: Stage, identity: ModelIdentity) -> StageModel:
    return StageModel(**dict(identity), stage=stage)


def _ms(seconds: float) -> float:
    return round(max(0.0, seconds) * 1e3, 3)
