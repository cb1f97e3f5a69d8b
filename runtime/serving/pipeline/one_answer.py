"""`/detect`: what is in the images of one request, as one answer."""

from collections.abc import Sequence
from functools import partial

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from runtime.answers.pipeline import PipelineResult
from runtime.serving.bentoml_app import BatchCallback
from runtime.serving.disconnect import unless_disconnected
from runtime.serving.intake.body_forms import JSON
from runtime.serving.intake.images import read_sent
from runtime.serving.intake.wanted_answer import read_wanted_answer
from runtime.serving.pipeline.pipeline import Looked, Pipeline
from runtime.serving.pipeline.sent_pictures import SentPicture
from runtime.serving.pipeline.time_left import TimeLeft
from runtime.serving.pipeline.trace_id import trace_id_of
from runtime.serving.request_record import RequestRecord

_RESULTS = TypeAdapter(list[PipelineResult])


async def answer_list(pipeline: Pipeline, request: Request, compute: BatchCallback, record: RequestRecord) -> Response:
    """Answer a request to `/detect`: a list in the order of its images, the first of which may refuse it.

    Raises RequestRefused that names the first image that cannot be answered.
    """
    detector = pipeline.detector
    read_wanted_answer(request, "detection")
    with detector.arriving(record):
        pictures = await _read_pictures(pipeline, request, record)
        record.decoded(len(pictures))
    began_at = record.received_at or record.started_at
    time_left = TimeLeft(began_at + detector.deadline_s, detector.deadline_s)
    try:
        work = pipeline.look_at(pictures, compute, trace_id_of(request), time_left)
        looked = await unless_disconnected(work, record.receive)
    finally:
        for picture in pictures:
            picture.close()
    _note_stages(record, looked)
    with record.encoding():
        body = _RESULTS.dump_json(list(looked.results))
    return Response(body, media_type=JSON)


async def _read_pictures(pipeline: Pipeline, request: Request, record: RequestRecord) -> list[SentPicture]:
    """Read and decode what was sent. Their files are not kept any longer than that, but by pictures without room."""
    detector = pipeline.detector
    decode = partial(detector.run, detector.decoders, record)
    sent = await read_sent(request, detector.served.settings.max_images_per_request, decode)
    read = partial(SentPicture.read, reading=pipeline.reading)
    return await decode([partial(read, data, index) for index, data in enumerate(sent)])


def _note_stages(record: RequestRecord, looked: Looked) -> None:
    """Write the times of a request's stages to its record: of several pictures those of the slowest in each."""
    record.queue_s, record.detect_s = looked.outcome.wait_s, looked.outcome.inference_s
    record.batch_images = looked.outcome.batch_images

    def slowest(times: Sequence[float]) -> float:
        return max(times) / 1e3

    record.crop_s = slowest([result.timings.crop_ms for result in looked.results])
    record.classify_s = slowest([result.timings.classify_ms for result in looked.results])
    record.mask_s = slowest([result.timings.mask_ms for result in looked.results])
