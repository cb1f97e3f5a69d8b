"""The endpoints of a pipeline: what holds for each of them, whatever form its answer has."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from runtime.answers.refusals import RequestRefused
from runtime.serving.bentoml_app import BatchCallback
from runtime.serving.pipeline.pipeline import Pipeline
from runtime.serving.prometheus.metrics import ServiceMetrics
from runtime.serving.request_record import RequestRecord, current_record
from runtime.serving.served_model import ServedModel

Respond = Callable[[Pipeline, Request, BatchCallback, RequestRecord], Coroutine[Any, Any, Response]]
"""Answers one request of a pipeline, or raises RequestRefused or ClientGoneError."""


@dataclass(frozen=True)
class PipelineEndpoint:
    """Answers the requests to one path of a pipeline; admission and refusals are the affair of its detector's handler.

    respond: what makes the answer.
    """

    pipeline: Pipeline
    respond: Respond

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
        return await self.pipeline.detector.refusing(self.respond(self.pipeline, request, compute, record), record)
