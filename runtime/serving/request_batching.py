"""Where HTTP requests meet the batcher: one request from its body to its answer, and all that can be said instead."""

import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from runtime.answers.outputs import Row
from runtime.answers.refusals import STATUS, RequestErrorCode, RequestRefused
from runtime.answers.results import Prediction, only_predictions
from runtime.image_filters.looking import ImageFile
from runtime.model.contract import SegmentationContract
from runtime.model.devices import Device
from runtime.model.image import ImageArray
from runtime.model.roles import Role, role_of
from runtime.serving.answer_making import make_answers, write_answer
from runtime.serving.batching import SHARED, Batcher, BatchingWay
from runtime.serving.bentoml_app import BatchCallback
from runtime.serving.disconnect import ClientGoneError, unless_disconnected
from runtime.serving.error_bodies import note_refusal
from runtime.serving.fronts.front_batcher import FrontBatcher
from runtime.serving.hook_threads import HookThreads
from runtime.serving.image_filtering import LookedAt, look_at_images
from runtime.serving.intake.images import read_images
from runtime.serving.intake.wanted_answer import read_wanted_answer
from runtime.serving.prometheus.metrics import ServiceMetrics, service_metrics
from runtime.serving.request_record import CLIENT_GONE, RequestRecord, current_record
from runtime.serving.request_threads import RequestThreads
from runtime.serving.served_model import ServedModel
from runtime.serving.turn_queue import Outcome

T = TypeVar("T")
P = TypeVar("P", bound=Prediction)
# Beyond it a batch gains no throughput on a CPU and only makes its first image wait: docs/BATCHING.md.
BATCH_IMAGES: dict[Device, int] = {"cpu": 4, "cuda": 64}
# Images in one batch, 0 for as many as otherwise, and how it is made; a request's crops are 1000 at most.
_CROP_BATCHING = {
    "shared": (0, SHARED),
    "request": (1000, BatchingWay(max_requests=1, splits=False)),
    "window": (32, BatchingWay(splits=False, window_s=0.010)),
}
ENCODED_TOO_LATE = "the deadline passed before the answer was made"
_PREFIXES: dict[Role, str] = {
    "classification": "vision",
    "crop-classification": "vision_crop",
    "segmentation": "vision_segment",
    "detection": "vision_detect",
}
_REASONS = (*(code.value for code in STATUS), CLIENT_GONE)


@dataclass(frozen=True)
class RequestHandler:
    """Answers the requests to one served model.

    A request's images are read and decoded, computed in batches with those of others, and then answered and filtered on
    their own. Hooks of the filters run in threads of their own, so that one that hangs takes nothing else with it until
    all threads hang. Outlining has other threads than decoding: what is computed is not held up by what has just come.
    """

    served: ServedModel
    batcher: Batcher[ImageArray, Row] | FrontBatcher
    decoders: RequestThreads
    encoders: RequestThreads
    metrics: ServiceMetrics
    hook_threads: HookThreads = field(default_factory=HookThreads)

    @classmethod
    def of(cls, served: ServedModel, decoders: RequestThreads, inference_services: Sequence[str] = ()) -> Self:
        """Batch in this process, or have the services of these names do it. decoders: shared with other handlers."""
        batcher = FrontBatcher.of(served, inference_services) if inference_services else local_batcher(served)
        encoders = RequestThreads(served.settings.decode_threads, "encode", ENCODED_TOO_LATE)
        return cls(served, batcher, decoders, encoders, metrics_of(served))

    async def start(self) -> None:
        """Wait for those who compute; must be called on the loop that serves."""
        if isinstance(self.batcher, FrontBatcher):
            await self.batcher.start()

    @property
    def is_ready(self) -> bool:
        can_compute = not isinstance(self.batcher, FrontBatcher) or self.batcher.is_ready
        return can_compute and not self.hook_threads.all_hang

    @property
    def is_alive(self) -> bool:
        can_compute = not isinstance(self.batcher, FrontBatcher) or self.batcher.is_alive
        return can_compute and self.hook_threads.is_alive

    async def close(self) -> None:
        """Refuse what waits, let running batches end. Safe to call twice."""
        await self.batcher.close()
        self.hook_threads.close()
        self.decoders.close()
        self.encoders.close()

    def refuses_now(self) -> bool:
        """Say whether the current request, whose body is not read, would be refused now, and note the refusal if so."""
        try:
            self.batcher.refuse_if_full(self.deadline_s)
            self.hook_threads.refuse_if_all_hang()
        except RequestRefused as refusal:
            self.note(current_record(), refusal)
            return True
        return False

    async def answer(self, request: Request, compute: BatchCallback) -> Response:
        """Return the answer to one request, also where it is refused: then a status, whose body is written outside.

        compute: BentoML's way to the batchable API, called with the images of the requests of a batch.
        """
        record = current_record()
        return await self.refusing(self._answer(request, compute, record), record)

    async def refusing(self, work: Coroutine[None, None, Response], record: RequestRecord) -> Response:
        """Await a request's answer, or say why there is none."""
        try:
            return await work
        except ClientGoneError as exc:
            # The answer is for BentoML alone, as nobody will read it.
            record.refusal = CLIENT_GONE
            return self.note(record, RequestRefused(RequestErrorCode.DEADLINE_EXCEEDED, str(exc)))
        except RequestRefused as refusal:
            return self.note(record, refusal)

    def note(self, record: RequestRecord, refusal: RequestRefused) -> Response:
        """Say why a request is refused: to its answer, its log line and the metrics."""
        note_refusal(record.scope, refusal)
        record.refusal = record.refusal or refusal.code.value
        self.metrics.refused(record.refusal)
        return Response(status_code=refusal.status)

    @property
    def deadline_s(self) -> float:
        """Seconds that a request has, from the end of its body."""
        return self.served.settings.deadline_ms / 1e3

    async def _answer(self, request: Request, compute: BatchCallback, record: RequestRecord) -> Response:
        served = self.served
        wanted = read_wanted_answer(request, served.contract.task)
        with self.arriving(record):
            decode = partial(self.run, self.decoders, record)
            looks = bool(served.image_filters.at(wanted.form == "overlay"))
            images = await read_images(request, served.contract, served.settings, wanted, decode, looks)
            record.decoded(len(images.places), len(images.pixels) if images.parts.tiles else None)
        if images.parts.tiles:
            self.metrics.cut(map(len, images.places))
        outcome = await self._compute(images.pixels, compute, record)
        encode = partial(self.run, self.encoders, record)
        answers = await make_answers(outcome.answers, images, served, record, encode)
        self.metrics.predicted(answers)
        predictions = await self.filter(only_predictions(answers), self.left_s(record))
        looked = await self.look(predictions, images.encoded, self.left_s(record), wanted.form == "overlay")
        blurred = [area for areas in looked.blurred for area in areas]
        response = await write_answer(looked.answers, wanted, images.encoded, served, record, encode, blurred)
        record.queue_s, record.inference_s = outcome.wait_s, outcome.inference_s
        record.batch_images = outcome.batch_images
        self.metrics.queue_wait.observe(outcome.wait_s)
        if self.metrics.encode and record.encode_s is not None:
            self.metrics.encode.observe(record.encode_s)
        return response

    async def run(
        self, threads: RequestThreads, record: RequestRecord, functions: Sequence[Callable[[], T]]
    ) -> list[T]:
        """Call each function in a thread while the request waits for it."""
        return await threads.run(functions, self.left_s(record), record.receive)

    @contextmanager
    def arriving(self, record: RequestRecord) -> Iterator[None]:
        """Count a request while it is decoded, from the end of its body: clients that upload slowly keep nobody out."""
        num_arrived = 0

        def count() -> None:
            nonlocal num_arrived
            num_arrived = 1
            self.batcher.num_arriving += 1

        record.on_received = count
        try:
            yield
            assert record.decode_s is not None
            self.metrics.decode.observe(record.decode_s)
        finally:
            record.on_received = None
            self.batcher.num_arriving -= num_arrived

    async def _compute(self, images: ImageArray, compute: BatchCallback, record: RequestRecord) -> Outcome[Row]:
        work = self.batcher.submit(images, compute, self.left_s(record))
        # A watcher costs a task; a batch that starts at once runs to its end anyway.
        if self.batcher.has_free_session or record.received_at is None:
            return await work
        return await unless_disconnected(work, record.receive)

    async def filter(self, answers: Sequence[P], left_s: float) -> Sequence[P]:
        """Return what the model's filters make of its answers, which stay of their type, within `left_s` seconds.

        Raises RequestRefused if a filter fails or does not end.
        """
        filters = self.served.filters
        if not filters.steps:
            return answers
        if filters.has_hooks:
            answers = await self.hook_threads.run(partial(filters.apply, answers), left_s)
        else:
            answers = filters.apply(answers)
        self.metrics.filtered(answers)
        return answers

    async def look(
        self, answers: Sequence[P], files: Sequence[bytes], left_s: float, is_drawn: bool = False
    ) -> LookedAt[P]:
        """Have the model's image filters look at the images that `answers` are of; see `look_at_images`.

        is_drawn: whether the answer is drawn on its image.
        """
        steps = self.served.image_filters.at(is_drawn)
        if not steps:
            return LookedAt(answers, [])
        max_pixels, max_value = self.served.settings.max_pixels, self.served.contract.max_value
        images = [ImageFile(data, max_pixels, max_value) for data in files]
        return await look_at_images(steps, images, answers, self.hook_threads, left_s)

    def left_s(self, record: RequestRecord) -> float:
        """Return the seconds that the request still has."""
        return self.deadline_s - (time.perf_counter() - (record.received_at or record.started_at))


def local_batcher(served: ServedModel) -> Batcher[Any, Any]:
    """Return a batcher for the sessions in this process: as suits the device, unless the settings say otherwise."""
    predictor, settings = served.predictor, served.settings
    assert predictor is not None
    metrics = metrics_of(served)
    is_of_crops = role_of(served.contract) == "crop-classification"
    most, way = _CROP_BATCHING[settings.crop_batching if is_of_crops else "shared"]
    return Batcher(
        num_sessions=len(predictor.sessions),
        max_batch_images=most or settings.max_batch_images or BATCH_IMAGES[predictor.device],
        max_queued_images=settings.max_queued_crops if is_of_crops else settings.max_queued_images,
        on_batch=metrics.batch_done,
        on_queue=metrics.queue_images.set,
        way=way,
    )


def metrics_of(served: ServedModel) -> ServiceMetrics:
    """Return this process's metrics of a model; those of a classifier of pictures have the plain names."""
    contract = served.contract
    regions = contract.regions if isinstance(contract, SegmentationContract) else ()
    return service_metrics(contract.classes, _REASONS, _PREFIXES[role_of(contract)], regions)
