"""The HTTP edge: `bentoml serve` from the repository, or from the Bento that `bentoml build` makes of it.

    curl -F images=@tile.jpg -F images=@other.png localhost:3000/predict

Settings are the environment variables `VISION_*` of `runtime/serving/settings.py`.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self, cast

import bentoml
from starlette.requests import Request

from runtime.answers.results import Prediction, only_predictions, to_predictions
from runtime.model.image import ImageArray
from runtime.serving.bentoml_app import bentoml_home, check_bentoml
from runtime.serving.decoders import Decoders
from runtime.serving.edge import EdgeService
from runtime.serving.error_bodies import RefusalLogFilter
from runtime.serving.intake.images import read_images
from runtime.serving.model_reference import VisionModel
from runtime.serving.prometheus.metrics_folder import make_metrics_folder
from runtime.serving.request_batching import RequestBatching
from runtime.serving.request_record import log_to_stdout
from runtime.serving.served_model import load_served_model

CARD_PATH = Path(__file__).parent / "artifacts" / "MODEL_CARD.md"
# Of BentoML's own rules, which only run with VISION_BATCHING=bentoml.
MAX_BATCH_SIZE = 32  # images
MAX_LATENCY_MS = 10_000  # a request that would wait longer is answered with 503
NUM_THREADS = 1024  # of BentoML's calls into the model: no limit; how many run at once is the sessions' affair
NO_TELEMETRY = {"name": "BENTOML_DO_NOT_TRACK", "value": "True"}  # BentoML takes no other word than "true"


@dataclass(frozen=True)
class _Pixels:
    """What BentoML reads of a request's input: names and values. A pydantic model that is not validated costs more."""

    images: ImageArray
    model_fields: ClassVar = ("images",)


class PredictInput(bentoml.IODescriptor):  # type: ignore[misc]  # BentoML's SDK package carries no types
    """Multipart form with one or more image files (JPEG, PNG, WebP, BMP or TIFF) in the field `images`."""

    images: list[Path]

    @classmethod
    async def from_http_request(cls, request: Request, _serde: object) -> Self:
        """Decode and resize before the batch, so that a bad image is an answer to its own request alone."""
        vision = bentoml.get_current_service()
        with vision.batching.admitting() as record:
            served = vision.served
            images = await read_images(request, served.contract, served.settings, vision.decoders, record)
            record.decoded(len(images))
        # `predict` gets pixels where clients and OpenAPI see files.
        return cast(Self, _Pixels(images))


@bentoml.service(
    name="vision",
    service_class=EdgeService,
    threads=NUM_THREADS,
    logging={"access": {"enabled": False}},  # `runtime/serving/request_record.py` writes a line that says more
    envs=[NO_TELEMETRY],
)
class Vision:
    """Classifies images with the model that the model card describes.

    `/livez` and `/readyz` answer once `__init__` is through, which loads the model, checks it and warms it up: BentoML
    takes no connection before. A client that asks earlier waits.
    """

    model = VisionModel(CARD_PATH)

    def __init__(self) -> None:
        logging.getLogger("bentoml._internal.server.http_app").addFilter(RefusalLogFilter())
        inference = [service.name for service in Vision.inference_services]  # type: ignore[attr-defined]
        self.served = load_served_model(Vision.bento, computes=not inference)  # type: ignore[attr-defined]
        log_to_stdout()
        self.batching = RequestBatching.of(self.served, inference)
        self.decoders = Decoders(self.served.settings.decode_threads)
        # BentoML looks it up twice a request, and its descriptor inspects the signature each time: 0.1 ms.
        vars(self)["predict"] = self.predict

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    def refuse_to_start_without_model() -> None:
        """Check once, before any worker starts: a worker that fails would be restarted for ever."""
        served = load_served_model(Vision.bento)  # type: ignore[attr-defined]
        if served.settings.batching == "work-conserving":
            check_bentoml()
        if served.settings.front_workers:
            # Processes that start later, too, serve this model and not one that is registered meanwhile.
            os.environ["VISION_MODEL"] = f"{served.identity.name}:{served.identity.version}"

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    def keep_metrics_apart() -> None:
        make_metrics_folder(bentoml_home())

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def wait_for_inference(self) -> None:
        await self.batching.start()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def close(self) -> None:
        await self.batching.close()
        self.decoders.close()

    async def __is_ready__(self) -> bool:
        return self.batching.is_ready

    async def __is_alive__(self) -> bool:
        return self.batching.is_alive

    @bentoml.api(  # type: ignore[untyped-decorator]
        batchable=True, input_spec=PredictInput, max_batch_size=MAX_BATCH_SIZE, max_latency_ms=MAX_LATENCY_MS
    )
    def predict(self, images: ImageArray) -> list[Prediction]:
        """Classify one or more images; the answer is a list in the order sent."""
        assert self.served.predictor is not None  # a front's batcher does not call this
        probs, logits = self.served.predictor.predict(images)
        answers = to_predictions(probs, logits, self.served.contract, self.served.identity)
        self.batching.metrics.predicted(answers)
        if self.served.settings.batching == "bentoml":
            return self.served.filters.apply(only_predictions(answers))
        # A request at a time, once its images are out of their batches, invalid output is refused and the filters run.
        return cast(list[Prediction], answers)
