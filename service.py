"""The HTTP edge: `bentoml serve` from the repository, or from the Bento that `bentoml build` makes of it.

    curl -F images=@tile.jpg -F images=@other.png localhost:3000/predict

Settings are the environment variables `VISION_*` of `runtime/settings.py`.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import bentoml
from starlette.requests import Request

from runtime.bentoml_app import check_bentoml
from runtime.contract import ContractError
from runtime.edge import EdgeService
from runtime.error_bodies import RefusalLogFilter
from runtime.image import ImageArray
from runtime.intake import read_images, warm_up_decoding
from runtime.model_reference import ModelUnavailable, VisionModel, find_model
from runtime.request_batching import RequestBatching
from runtime.request_record import log_to_stdout
from runtime.results import ModelIdentity, Prediction, to_predictions
from runtime.session import Predictor
from runtime.settings import ServingSettings, SettingsError

CARD_PATH = Path(__file__).parent / "artifacts" / "MODEL_CARD.md"
# Of BentoML's own rules, which only run with VISION_BATCHING=bentoml.
MAX_BATCH_SIZE = 32  # images
MAX_LATENCY_MS = 10_000  # a request that would wait longer is answered with 503
NUM_THREADS = 1024  # of BentoML's calls into the model: no limit; how many run at once is the sessions' affair
NO_TELEMETRY = {"name": "BENTOML_DO_NOT_TRACK", "value": "True"}  # BentoML takes no other word than "true"


class PredictInput(bentoml.IODescriptor):  # type: ignore[misc]  # BentoML's SDK package carries no types
    """Multipart form with one or more image files (JPEG, PNG, WebP, BMP or TIFF) in the field `images`."""

    images: list[Path]

    @classmethod
    async def from_http_request(cls, request: Request, _serde: object) -> Self:
        """Decode and resize before the batch, so that a bad image is an answer to its own request alone."""
        vision = bentoml.get_current_service()
        with vision.batching.admitting() as record:
            images = await read_images(request, vision.predictor.contract, vision.settings, vision.decoders)
            record.decoded(len(images))
        # `predict` gets pixels where clients and OpenAPI see files.
        prepared: Self = cls.model_construct(images=images)
        return prepared


def load_predictor(bento: bentoml.Bento | None) -> tuple[Predictor, ModelIdentity, ServingSettings]:
    """Load and check what is served: the model that `bento` was built with, else the tag in `VISION_MODEL`.

    Raises ModelUnavailable saying what is wrong and what to run.
    """
    try:
        settings = ServingSettings.read()
        tag = settings.model if bento is None else _pinned_tag(bento, settings)
        model = find_model(tag)
        predictor = Predictor.load(Path(model.path), settings.device, settings.threads, settings.sessions)
        predictor.warm_up()
    except (ContractError, SettingsError) as exc:
        raise ModelUnavailable(f"cannot serve: {exc}") from exc
    identity = ModelIdentity(name=model.tag.name, version=model.tag.version or "", sha256=predictor.sha256)
    return predictor, identity, settings


def _pinned_tag(bento: bentoml.Bento, settings: ServingSettings) -> str:
    tags = [str(info.tag) for info in bento.info.all_models]
    if settings.model not in (*tags, ServingSettings.model_fields["model"].default):
        raise SettingsError(f"VISION_MODEL={settings.model}, but this Bento holds {tags[0]}; unset it")
    return tags[0]


@bentoml.service(
    name="vision",
    service_class=EdgeService,
    threads=NUM_THREADS,
    logging={"access": {"enabled": False}},  # `runtime/request_record.py` writes a line that says more
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
        self.predictor, self.identity, self.settings = load_predictor(Vision.bento)  # type: ignore[attr-defined]
        log_to_stdout()
        warm_up_decoding()
        self.batching = RequestBatching.of(self.predictor, self.settings)
        self.decoders = ThreadPoolExecutor(self.settings.decode_threads, thread_name_prefix="decode")

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    def refuse_to_start_without_model() -> None:
        """Check once, before any worker starts: a worker that fails would be restarted for ever."""
        _, _, settings = load_predictor(Vision.bento)  # type: ignore[attr-defined]
        if settings.batching == "work-conserving":
            check_bentoml()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def close(self) -> None:
        await self.batching.batcher.close()
        self.decoders.shutdown(wait=True)

    @bentoml.api(  # type: ignore[untyped-decorator]
        batchable=True, input_spec=PredictInput, max_batch_size=MAX_BATCH_SIZE, max_latency_ms=MAX_LATENCY_MS
    )
    def predict(self, images: ImageArray) -> list[Prediction]:
        """Classify one or more images; the answer is a list in the order sent."""
        probs, logits = self.predictor.predict(images)
        predictions = to_predictions(probs, logits, self.predictor.contract, self.identity)
        self.batching.metrics.predicted(predictions)
        return predictions
