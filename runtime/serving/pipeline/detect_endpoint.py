"""`/detect`: what is in the images of one request, as one answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from runtime.answers.pipeline import PipelineResult
from runtime.answers.refusals import RequestRefused
from runtime.serving.bentoml_app import BatchCallback
from runtime.serving.disconnect import unless_disconnected
from runtime.serving.intake.body_forms import JSON
from runtime.serving.intake.images import read_sent
from runtime.serving.intake.wanted_answer import read_wanted_answer
from runtime.serving.pipeline.pipeline import Looked, Pipeline
from runtime.serving.pipeline.sent_pictures import SentPicture
from runtime.serving.pipeline.time_left import TimeLeft
from runtime.serving.pipeline.trace_id import trace_id_of
from runtime.serving.prometheus.metrics import ServiceMetrics
from runtime.serving.request_record import RequestRecord, current_record
from runtime.serving.served_model import ServedModel

_RESULTS = TypeAdapter(list[PipelineResult])


@dataclass(frozen=True)
class DetectEndpoint:
    """Answers the requests to `/detect`; what holds for every request is the detector's handler's affair."""

    pipeline: Pipeline

    @property
    def served(self) -> ServedModel:
        return self.pipeline.detector.served

    @property
    def metrics(self) -> ServiceMetrics:
        return self.pipeline.detector.metrics

    def refuses_now(self) -> bool:
        """As `RequestHandler.refuses_now`."""
        return self.pipeline.detector.refuses_now()

    def note(self, record: RequestRecord, refusal: RequestRefused) -> Response:
        """As `RequestHandler.note`."""
        return self.pipeline.detector.note(record, refusal)

    async def answer(self, request: Request, compute: BatchCallback) -> Response:
        """Return the answer to one request, also where it is refused: then a status, whose body is written outside.

        compute: BentoML's way to the detector, called with the images of the requests of a batch.
        """
        record = current_record()
        return await self.pipeline.detector.refusing(self._answer(request, compute, record), record)

    async def _answer(self, request: Request, compute: BatchCallback, record: RequestRecord) -> Response:
        detector = self.pipeline.detector
        read_wanted_answer(request, "detection")
        with detector.arriving(record):
            decode = partial(detector.run, detector.decoders, record)
            sent = await read_sent(request, self.served.settings.max_images_per_request, decode)
            read = partial(SentPicture.read, reading=self.pipeline.reading)
            pictures = await decode([partial(read, data, index) for index, data in enumerate(sent)])
            record.decoded(len(pictures))
        began_at = record.received_at or record.started_at
        time_left = TimeLeft(began_at + detector.deadline_s, detector.deadline_s, record.receive)
        try:
            work = self.pipeline.look_at(pictures, compute, trace_id_of(request), time_left)
            looked = await unless_disconnected(work, record.receive)
        finally:
            for picture in pictures:
                picture.close()
        note_stages(record, looked)
        with record.encoding():
            body = _RESULTS.dump_json(list(looked.results))
        return Response(body, media_type=JSON)


def note_stages(record: RequestRecord, looked: Looked) -> None:
    """Write the times of a request's stages to its record: of several pictures those of the slowest in each."""
    record.queue_s, record.detect_s = looked.outcome.wait_s, looked.outcome.inference_s
    record.batch_images = looked.outcome.batch_images

    def slowest(times: Sequence[float]) -> float:
        return max(times) / 1e3

    record.crop_s = slowest([result.timings.crop_ms for result in looked.results])
    record.classify_s = slowest([result.timings.classify_ms for result in looked.results])
    record.mask_s = slowest([result.timings.mask_ms for result in looked.results])
