"""The HTTP edge: `bentoml serve` from the repository, or from the Bento that `bentoml build` makes of it.

    curl -F images=@tile.jpg -F images=@other.png localhost:3000/predict
    curl -F images=@tile.jpg localhost:3000/segment
    curl -F images=@tile.jpg localhost:3000/detect

Settings are the environment variables `VISION_*` of `runtime/serving/settings.py`.
"""

import os
from pathlib import Path

import bentoml
from pydantic import RootModel

from runtime.answers.outputs import Row
from runtime.answers.pipeline import PipelineResult
from runtime.answers.results import Prediction
from runtime.answers.segmentation import Segmentation
from runtime.model.image import ImageArray
from runtime.serving.bentoml_app import bentoml_home, check_bentoml
from runtime.serving.edge import EdgeService, ImageFiles
from runtime.serving.handlers import Handlers
from runtime.serving.prometheus.metrics_folder import make_metrics_folder
from runtime.serving.request_record import log_to_stdout
from runtime.serving.served_model import load_served_models
from runtime.serving.settings import ServingSettings

CARD_PATH = Path(__file__).parent / "artifacts" / "MODEL_CARD.md"
NUM_THREADS = 1024  # of BentoML's calls into the model: no limit; how many run at once is the sessions' affair
NO_TELEMETRY = {"name": "BENTOML_DO_NOT_TRACK", "value": "True"}  # BentoML takes no other word than "true"


@bentoml.service(
    name="vision",
    service_class=EdgeService,
    threads=NUM_THREADS,
    logging={"access": {"enabled": False}},  # `runtime/serving/request_record.py` writes a line that says more
    envs=[NO_TELEMETRY],
)
class Vision:
    """Says what is in images, with the models that the model card describes: one, or one of each task.

    `/livez` and `/readyz` answer once `__init__` is through, which loads the models, checks them and warms them up:
    BentoML takes no connection before. A client that asks earlier waits. An API whose model is not there is not there.
    """

    card_path = CARD_PATH

    def __init__(self) -> None:
        inference = [service.name for service in Vision.inference_services]  # type: ignore[attr-defined]
        served = load_served_models(Vision.bento, computes=not inference)  # type: ignore[attr-defined]
        log_to_stdout()
        self.handlers = Handlers.of(served, inference)
        # BentoML looks them up twice a request, and its descriptor inspects the signature each time: 0.1 ms.
        vars(self).update(
            predict=self.predict, segment=self.segment, detect=self.detect, detect_batch=self.detect_batch
        )

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    def refuse_to_start_without_model() -> None:
        """Check once, before any worker starts: a worker that fails would be restarted for ever."""
        served = load_served_models(Vision.bento).values()  # type: ignore[attr-defined]
        check_bentoml()
        if any(model.settings.front_workers for model in served):
            # Processes that start later, too, serve these models and not one that is registered meanwhile.
            os.environ["VISION_MODEL"] = ",".join(f"{m.identity.name}:{m.identity.version}" for m in served)

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    def end_in_order() -> None:
        from runtime.serving.shutdown.supervisor import drain_on_stop  # of the first process alone

        settings = ServingSettings.read()
        drain_on_stop(settings.drain_grace_s, settings.drain_timeout_s)

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    def keep_metrics_apart() -> None:
        make_metrics_folder(bentoml_home())

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def wait_for_inference(self) -> None:
        await self.handlers.start()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def close(self) -> None:
        await self.handlers.close()

    async def __is_ready__(self) -> bool:
        return self.handlers.is_ready and not Vision.drain.is_draining  # type: ignore[attr-defined]

    async def __is_alive__(self) -> bool:
        return self.handlers.is_alive

    # They get the pixels of a batch. What comes before and after it concerns one request: `RequestHandler.answer` and,
    # behind a detector, `PipelineEndpoint.answer`.

    @bentoml.api(  # type: ignore[untyped-decorator]
        batchable=True, input_spec=ImageFiles, output_spec=RootModel[list[Prediction]]
    )
    def predict(self, images: ImageArray) -> list[Row]:
        """Classify one or more images; the answer is a list in the order sent."""
        return self.handlers.by_api["predict"].served.compute(images)

    @bentoml.api(  # type: ignore[untyped-decorator]
        batchable=True, input_spec=ImageFiles, output_spec=RootModel[list[Segmentation]]
    )
    def segment(self, images: ImageArray) -> list[Row]:
        """Outline what is in one or more images; the answer is a list in the order sent."""
        return self.handlers.by_api["segment"].served.compute(images)

    @bentoml.api(  # type: ignore[untyped-decorator]
        batchable=True, input_spec=ImageFiles, output_spec=RootModel[list[PipelineResult]]
    )
    def detect(self, images: ImageArray) -> list[Row]:
        """Find objects in one or more images and name them; the answer is a list in the order sent."""
        return self.handlers.by_api["detect"].served.compute(images)

    @bentoml.api(  # type: ignore[untyped-decorator]
        batchable=True, input_spec=ImageFiles, output_spec=RootModel[list[PipelineResult]]
    )
    def detect_batch(self, images: ImageArray) -> list[Row]:
        """Find objects in many images and name them; the answer is a line for each, as soon as it is known."""
        return self.handlers.by_api["detect_batch"].served.compute(images)
