"""The endpoints of a deployment, what answers at each, and what they share."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from starlette.requests import Request
from starlette.responses import Response

from runtime.answers.refusals import RequestRefused
from runtime.model.roles import Role
from runtime.serving.bentoml_app import BatchCallback
from runtime.serving.fetching.fetcher import Fetcher
from runtime.serving.jobs.jobs import Jobs
from runtime.serving.pipeline.endpoint import PipelineEndpoint, Respond
from runtime.serving.pipeline.lines import answer_lines
from runtime.serving.pipeline.one_answer import answer_list
from runtime.serving.pipeline.pipeline import Pipeline
from runtime.serving.prometheus.metrics import ServiceMetrics
from runtime.serving.request_batching import RequestHandler
from runtime.serving.request_record import RequestRecord
from runtime.serving.request_threads import RequestThreads
from runtime.serving.served_model import ServedModel

# What the service calls its APIs, and the model that each needs; the path is the same. An API without it is not there.
APIS: dict[str, Role] = {
    "predict": "classification",
    "segment": "segmentation",
    "detect": "detection",
    "detect_batch": "detection",
}
_OF_PIPELINE: dict[str, Respond] = {"detect": answer_list, "detect_batch": answer_lines}


class Endpoint(Protocol):
    """What answers the requests to one API: a model's handler, or an endpoint of the pipeline."""

    @property
    def served(self) -> ServedModel: ...

    @property
    def metrics(self) -> ServiceMetrics: ...

    def refuses_now(self) -> bool: ...

    def note(self, record: RequestRecord, refusal: RequestRefused, /) -> Response: ...

    def answer(self, request: Request, compute: BatchCallback) -> Any: ...


@dataclass(frozen=True)
class Handlers:
    """The endpoint of each API that is served, by the API's name, and the handler of each model, by its role.

    They share the threads that decode: it is the machine's cores that bound decoding, not an API. Each model has a
    queue of its own, so that a crowd at one does not shut another's door.
    """

    by_api: dict[str, Endpoint]
    by_role: dict[Role, RequestHandler]
    pipeline: Pipeline | None = None
    jobs: Jobs | None = None

    @classmethod
    def of(cls, served: Mapping[Role, ServedModel], inference_services: Sequence[str] = ()) -> Self:
        """Make a handler for each model. inference_services: names of those that compute, if others do."""
        settings = next(iter(served.values())).settings
        decoders = RequestThreads(settings.decode_threads)
        by_role = {role: RequestHandler.of(model, decoders, inference_services) for role, model in served.items()}
        pipeline = Pipeline.of(by_role, Fetcher.of(settings)) if "detection" in by_role else None
        by_api: dict[str, Endpoint] = {}
        for api, role in APIS.items():
            if role in by_role:
                respond = _OF_PIPELINE.get(api)
                by_api[api] = PipelineEndpoint(pipeline, respond) if pipeline and respond else by_role[role]
        jobs = Jobs.of(settings.jobs_dir, by_role, pipeline) if settings.jobs_dir else None
        return cls(by_api, by_role, pipeline, jobs)

    @property
    def is_ready(self) -> bool:
        return all(handler.is_ready for handler in self.by_role.values())

    @property
    def is_alive(self) -> bool:
        return all(handler.is_alive for handler in self.by_role.values())

    async def start(self) -> None:
        """Wait for those who compute; must be called on the loop that serves."""
        await asyncio.gather(*(handler.start() for handler in self.by_role.values()))
        if self.jobs:
            self.jobs.runner.start()

    async def close(self) -> None:
        """Refuse what waits, let running batches end. Safe to call twice."""
        if self.jobs:
            await self.jobs.close()
        await asyncio.gather(*(handler.close() for handler in self.by_role.values()))
        if self.pipeline:
            self.pipeline.close()

    def of_path(self, path: str) -> Endpoint:
        """Return who counts a request to that path: the API's, and the first for a path that is none."""
        return self.by_api.get(path.removeprefix("/").partition("/")[0]) or next(iter(self.by_api.values()))
