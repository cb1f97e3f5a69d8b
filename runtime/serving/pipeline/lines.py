"""`/detect_batch`: what is in many images, one line of JSON each, as soon as it is known."""

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from runtime.answers.classification import Prediction
from runtime.answers.pipeline import PipelineResult
from runtime.answers.refusals import RequestRefused
from runtime.serving.bentoml_app import BatchCallback
from runtime.serving.disconnect import ClientGoneError, unless_disconnected
from runtime.serving.error_bodies import current_request_id, internal_problem, problem
from runtime.serving.intake.image_list import SentImage
from runtime.serving.intake.images import read_list
from runtime.serving.intake.wanted_answer import read_wanted_answer
from runtime.serving.pipeline.pipeline import Pipeline
from runtime.serving.pipeline.sent_pictures import SentPicture
from runtime.serving.pipeline.time_left import TimeLeft
from runtime.serving.pipeline.trace_id import trace_id_of
from runtime.serving.request_record import CLIENT_GONE, RequestRecord

logger = logging.getLogger("vision.pipeline")

JSON_LINES = "application/x-ndjson"
IN_FLIGHT = 8  # images of one request that are worked on at a time: enough to fill batches, and others have their turn


def result_line(index: int, result: Prediction) -> str:
    """Return what is said of an image in a list, as JSON without the line's end. index: its place there, from 0."""
    return f'{{"index":{index},"result":{result.model_dump_json()}}}'


def failed_line(index: int, error: Mapping[str, object]) -> str:
    """Return what is said, as `result_line` does, of an image that has no answer."""
    return json.dumps({"index": index, "error": error}, separators=(",", ":"))


async def answer_lines(pipeline: Pipeline, request: Request, compute: BatchCallback, record: RequestRecord) -> Response:
    """Answer a request to `/detect_batch`: read its images, then begin to stream.

    What is wrong with the request as a whole refuses it; what is wrong with an image is said in its line.
    """
    read_wanted_answer(request, "detection")
    detector = pipeline.detector
    run = partial(detector.run, detector.decoders, record)
    sent, _ = await read_list(request, detector.served.settings.max_batch_uploads, run)
    record.num_images = len(sent)
    batch = _Batch(pipeline, compute, trace_id_of(request), current_request_id(request.scope))
    return _LinesResponse(batch.lines(deque(enumerate(sent))), record, pipeline)


@dataclass(frozen=True)
class _Batch:
    """The images of one request, each with a deadline of its own from when it is there and work on it begins."""

    pipeline: Pipeline
    compute: BatchCallback
    trace_id: str
    request_id: str

    async def lines(self, sent: deque[tuple[int, SentImage]]) -> AsyncGenerator[bytes, None]:
        """Yield one line an image, in the order in which they are done. sent: is emptied, to keep no file for long."""
        running: set[asyncio.Task[bytes]] = set()
        try:
            while sent or running:
                while sent and len(running) < IN_FLIGHT:
                    running.add(asyncio.create_task(self._line(*sent.popleft())))
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield task.result()
        finally:
            for task in running:
                task.cancel()

    async def _line(self, index: int, image: SentImage) -> bytes:
        metrics = self.pipeline.detector.metrics
        try:
            result = await self._look_at(index, image)
        except RequestRefused as refusal:
            metrics.refused(refusal.code.value)
            line = failed_line(index, problem(refusal.at(index), self.request_id))
        except Exception:
            logger.exception("image %d of a batch failed; request %s", index, self.request_id)
            line = failed_line(index, internal_problem(index, self.request_id))
        else:
            line = result_line(index, result)
        return line.encode() + b"\n"

    async def _look_at(self, index: int, image: SentImage) -> PipelineResult:
        detector = self.pipeline.detector
        async with self.pipeline.fetcher.encoded(image) as encoded:
            time_left = TimeLeft(time.perf_counter() + detector.deadline_s, detector.deadline_s)
            read = partial(SentPicture.read, encoded, index, self.pipeline.reading)
            picture = await time_left.run(detector.decoders, read)
        try:
            looked = await self.pipeline.look_at([picture], self.compute, self.trace_id, time_left)
        finally:
            picture.close()
        return looked.results[0]


class _LinesResponse(StreamingResponse):
    """Streams lines until they end or the client goes, which ends the work on those that are not done."""

    def __init__(self, lines: AsyncGenerator[bytes, None], record: RequestRecord, pipeline: Pipeline) -> None:
        super().__init__(lines, media_type=JSON_LINES)
        self._lines = lines
        self._record = record
        self._metrics = pipeline.detector.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as it is called
        record = self._record
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with aclosing(self._lines):
                await unless_disconnected(self._send_lines(send), record.receive)
        except ClientGoneError:
            record.refusal = CLIENT_GONE
            self._metrics.refused(CLIENT_GONE)
        record.total_s = time.perf_counter() - record.started_at
        if self.background is not None:
            await self.background()

    async def _send_lines(self, send: Send) -> None:
        async for line in self._lines:
            await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
