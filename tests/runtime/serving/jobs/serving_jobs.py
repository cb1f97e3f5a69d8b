"""Jobs served in this process by real models, with all that stands around them but BentoML."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import onnx
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runtime.answers.filters import FilterChain
from runtime.answers.outputs import Row
from runtime.answers.refusals import RequestRefused
from runtime.answers.results import ModelIdentity
from runtime.image_filters.looking import ImageFilters
from runtime.model.contract import CONTRACT_FILE, ONNX_FILE, ModelContract
from runtime.model.image import ImageArray
from runtime.model.roles import Role
from runtime.model.session import Predictor
from runtime.serving.error_bodies import ErrorBodyMiddleware
from runtime.serving.handlers import Handlers
from runtime.serving.jobs.endpoints import JobPaths
from runtime.serving.jobs.jobs import Jobs
from runtime.serving.request_record import RequestRecordMiddleware, current_record
from runtime.serving.served_model import ServedModel
from runtime.serving.settings import ServingSettings
from runtime.serving.shutdown.drain import Drain
from tests.onnx_fixture import tiny_contract, tiny_graph
from tests.onnx_segmenter import segmentation_contract, segmenter_graph
from tests.service.detecting_models import crop_contract, crop_graph, detection_contract, detector_graph

Models = dict[Role, tuple[ModelContract, Predictor]]
NO_FILTERS = ImageFilters()
PATIENCE_S = 60.0
_POLL_S = 0.005


def load_models(folder: Path) -> Models:
    detector, crops, segmenter, classifier = (
        detection_contract(),
        crop_contract(),
        segmentation_contract(),
        tiny_contract(),
    )
    graphs: dict[Role, tuple[ModelContract, onnx.ModelProto]] = {
        "classification": (classifier, tiny_graph(classifier)),
        "detection": (detector, detector_graph(detector)),
        "crop-classification": (crops, crop_graph(crops)),
        "segmentation": (segmenter, segmenter_graph(segmenter)),
    }
    loaded: Models = {}
    for role, (contract, graph) in graphs.items():
        (folder / role).mkdir()
        (folder / role / CONTRACT_FILE).write_text(contract.to_json())
        onnx.save(graph, folder / role / ONNX_FILE)
        loaded[role] = contract, Predictor.load(folder / role, "cpu", 1)
    return loaded


@dataclass(frozen=True)
class Server:
    """Handlers with a client of theirs."""

    handlers: Handlers
    client: httpx.AsyncClient

    @property
    def jobs(self) -> Jobs:
        assert self.handlers.jobs
        return self.handlers.jobs

    async def job_with(self, job_id: str, is_so: Callable[[Mapping[str, Any]], bool]) -> dict[str, Any]:
        """Return what is said of a job once it is so."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found: dict[str, Any] = (await self.client.get(f"/jobs/{job_id}")).json()
                if is_so(found):
                    return found
                await asyncio.sleep(_POLL_S)

    async def finished(self, job_id: str) -> dict[str, Any]:
        return await self.job_with(job_id, lambda job: job["state"] == "done")


@asynccontextmanager
async def serving_jobs(
    models: Models, folder: Path, *, works: bool = True, change: Callable[[Handlers], object] = lambda _: None,
    image_filters: ImageFilters = NO_FILTERS, drain: Drain | None = None, **settings: Any,
) -> AsyncIterator[Server]:  # fmt: skip
    """Serve jobs in `folder`, and the paths of the models. works: whether this process works on the jobs."""
    with_folder = ServingSettings(jobs_dir=folder, **settings)
    served = {
        role: ServedModel(contract, _identity(role), with_folder, FilterChain(), model, image_filters)
        for role, (contract, model) in models.items()
    }
    handlers = Handlers.of(served)
    change(handlers)
    if works:
        await handlers.start()
    transport = httpx.ASGITransport(_app_of(handlers, drain or Drain(0, 1)))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        try:
            yield Server(handlers, client)
        finally:
            await handlers.close()


def _identity(role: Role) -> ModelIdentity:
    return ModelIdentity(name=role, version="1", sha256="0" * 64)


def _app_of(handlers: Handlers, drain: Drain) -> RequestRecordMiddleware:
    async def models(scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = handlers.by_api.get(scope["path"].removeprefix("/"))
        response = Response(status_code=404)
        if endpoint:

            async def compute(items: Sequence[ImageArray]) -> list[list[Row]]:
                return [endpoint.served.compute(item) for item in items]

            response = await endpoint.answer(Request(scope, receive), compute)
        await response(scope, receive, send)

    def note(scope: Scope, refusal: RequestRefused) -> None:
        handlers.of_path(scope["path"]).note(current_record(), refusal)

    def jobs() -> Jobs:
        assert handlers.jobs
        return handlers.jobs

    return RequestRecordMiddleware(ErrorBodyMiddleware(JobPaths(models, jobs, note, drain.refuse_after_grace)))
