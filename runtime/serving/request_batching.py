"""Where HTTP requests meet the batcher: admission before decoding, deadlines, clients that go away, refusals."""

import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from runtime.answers.filters import FilterChain, FilterFailedError
from runtime.answers.results import ImageAnswer, ModelOutputError, Prediction, only_predictions
from runtime.model.image import ImageArray
from runtime.serving.batching import Batcher, DeadlineExceededError, Outcome, OverloadedError
from runtime.serving.bentoml_app import BatchCallback
from runtime.serving.disconnect import ClientGoneError, unless_disconnected
from runtime.serving.error_bodies import note_refusal
from runtime.serving.fronts.front_batcher import FrontBatcher
from runtime.serving.fronts.inference_client import InferenceUnavailableError
from runtime.serving.hook_threads import HooksHangError, HookThreads
from runtime.serving.prometheus.metrics import ServiceMetrics, service_metrics
from runtime.serving.refusals import STATUS, RequestErrorCode, RequestRefused
from runtime.serving.request_record import CLIENT_GONE, RequestRecord, current_record
from runtime.serving.served_model import ServedModel
from runtime.serving.settings import Device

# As BentoML would write it, but once: BentoML validates the predictions again, dumps them to look at their type, and
# dumps them a second time.
_ANSWER = TypeAdapter(list[Prediction])
# Beyond it a batch gains no throughput on a CPU and only makes its first image wait: docs/BATCHING.md.
_BATCH_IMAGES: dict[Device, int] = {"cpu": 4, "cuda": 64}
HANG_RETRY_AFTER_S = 30  # a restart's time; a hook may also come back
_REASONS = (*(code.value for code in STATUS), CLIENT_GONE)


@dataclass(frozen=True)
class RequestBatching:
    """A dispatcher for BentoML with the rules of `batcher`.

    deadline_s: from the end of a request's body. `batcher` calls BentoML with what BentoML gave it; nothing of
    BentoML's way from there to `predict` and back is changed. `filters` get what comes back, one request at a time;
    hooks in threads of their own, so that one that hangs takes nothing else with it until all threads hang.
    """

    batcher: Batcher[Any, ImageAnswer] | FrontBatcher
    deadline_s: float
    metrics: ServiceMetrics
    filters: FilterChain = field(default_factory=FilterChain)
    hook_threads: HookThreads = field(default_factory=HookThreads)

    @classmethod
    def of(cls, served: ServedModel, inference_services: Sequence[str] = ()) -> Self:
        """Batch in this process, or have the services of these names do it."""
        metrics = metrics_of(served)
        batcher = FrontBatcher.of(served, inference_services, metrics) if inference_services else local_batcher(served)
        return cls(batcher, served.settings.deadline_ms / 1e3, metrics, served.filters)

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

    @contextmanager
    def admitting(self) -> Iterator[RequestRecord]:
        """Refuse the current request before its body is read if it could not be served; count it while it is decoded.

        It counts from the end of its body: clients that upload slowly keep nobody out. Yields the request's record;
        a RequestRefused that is raised inside is noted there, and so are a client that left and a deadline that passed.
        Raises RequestRefused.
        """
        record = current_record()
        num_arrived = 0

        def count() -> None:
            nonlocal num_arrived
            num_arrived = 1
            self.batcher.num_arriving += 1

        try:
            self._refuse_if_full()
            record.on_received = count
            yield record
            if record.decode_s is not None:
                self.metrics.decode.observe(record.decode_s)
        except ClientGoneError as exc:
            refusal = _departed(exc, record)
            self.note(record, refusal)
            raise refusal from None
        except DeadlineExceededError as exc:
            refusal = RequestRefused(RequestErrorCode.DEADLINE_EXCEEDED, str(exc))
            self.note(record, refusal)
            raise refusal from None
        except RequestRefused as refusal:
            self.note(record, refusal)
            raise
        finally:
            record.on_received = None
            self.batcher.num_arriving -= num_arrived

    def refuses_now(self) -> bool:
        """Say whether the current request would be refused now, and note the refusal if so."""
        try:
            self._refuse_if_full()
        except RequestRefused as refusal:
            self.note(current_record(), refusal)
            return True
        return False

    def _refuse_if_full(self) -> None:
        try:
            self.batcher.refuse_if_full(self.deadline_s)
        except OverloadedError as exc:
            raise _overloaded(exc) from exc
        if self.hook_threads.all_hang:
            raise _hooks_hang()

    def __call__(self, callback: BatchCallback) -> Callable[[ImageArray], Coroutine[None, None, Any]]:
        """BentoML's interface: called for each request, returns what to await with its images."""

        async def answer(images: ImageArray) -> Any:
            record = current_record()
            try:
                outcome = await self._submit(images, callback, record)
                predictions = await self._filter(_only_predictions(outcome.answers), record)
            except RequestRefused as refusal:
                self.note(record, refusal)
                raise
            record.queue_s, record.inference_s = outcome.wait_s, outcome.inference_s
            record.batch_images = outcome.batch_images
            self.metrics.queue_wait.observe(outcome.wait_s)
            return Response(_ANSWER.dump_json(predictions), media_type="application/json")

        return answer

    def note(self, record: RequestRecord, refusal: RequestRefused) -> None:
        """Say why a request is refused: to its answer, its log line and the metrics."""
        note_refusal(Request(record.scope), refusal)
        record.refusal = record.refusal or refusal.code.value
        self.metrics.refused(record.refusal)

    async def _filter(self, answers: list[Prediction], record: RequestRecord) -> list[Prediction]:
        if not self.filters.steps:
            return answers
        try:
            if self.filters.has_hooks:
                answers = await self.hook_threads.run(partial(self.filters.apply, answers), self._left_s(record))
            else:
                answers = self.filters.apply(answers)
        except FilterFailedError as exc:
            raise RequestRefused(RequestErrorCode.FILTER_FAILED, str(exc), exc.index) from exc
        except HooksHangError as exc:
            raise _hooks_hang() from exc
        except TimeoutError as exc:
            message = "a filter of the service did not end within the deadline"
            raise RequestRefused(RequestErrorCode.DEADLINE_EXCEEDED, message) from exc
        self.metrics.filtered(answers)
        return answers

    def _left_s(self, record: RequestRecord) -> float:
        return self.deadline_s - (time.perf_counter() - (record.received_at or record.started_at))

    async def _submit(self, images: ImageArray, callback: BatchCallback, record: RequestRecord) -> Outcome[ImageAnswer]:
        work = self.batcher.submit(images, callback, self._left_s(record))
        try:
            # A watcher costs a task; a batch that starts at once runs to its end anyway.
            if self.batcher.has_free_session or record.received_at is None:
                return await work
            return await unless_disconnected(work, record.receive)
        except ClientGoneError as exc:
            raise _departed(exc, record) from None
        except OverloadedError as exc:
            raise _overloaded(exc) from exc
        except DeadlineExceededError as exc:
            raise RequestRefused(RequestErrorCode.DEADLINE_EXCEEDED, str(exc)) from exc


def _hooks_hang() -> RequestRefused:
    message = "the service's filters hang and it must be restarted; try again later"
    return RequestRefused(RequestErrorCode.FILTERS_HANG, message, retry_after_s=HANG_RETRY_AFTER_S)


def _departed(error: ClientGoneError, record: RequestRecord) -> RequestRefused:
    """Note it; the answer is for BentoML alone, as nobody will read it."""
    record.refusal = CLIENT_GONE
    return RequestRefused(RequestErrorCode.DEADLINE_EXCEEDED, str(error))


def _only_predictions(answers: Sequence[ImageAnswer]) -> list[Prediction]:
    try:
        return only_predictions(answers)
    except ModelOutputError as exc:
        raise RequestRefused(RequestErrorCode.MODEL_OUTPUT_INVALID, str(exc), exc.index) from exc


def _overloaded(error: OverloadedError) -> RequestRefused:
    is_gone = isinstance(error, InferenceUnavailableError)
    code = RequestErrorCode.UNAVAILABLE if is_gone else RequestErrorCode.OVERLOADED
    return RequestRefused(code, str(error), retry_after_s=error.retry_after_s)


def local_batcher(served: ServedModel) -> Batcher[Any, Any]:
    """Return a batcher for the sessions in this process: as suits the device, unless the settings say otherwise."""
    predictor, settings = served.predictor, served.settings
    assert predictor is not None
    metrics = metrics_of(served)
    return Batcher(
        num_sessions=len(predictor.sessions),
        max_batch_images=settings.max_batch_images or _BATCH_IMAGES[predictor.device],
        max_queued_images=settings.max_queued_images,
        on_batch=metrics.batch_done,
        on_queue=metrics.queue_images.set,
    )


def metrics_of(served: ServedModel) -> ServiceMetrics:
    return service_metrics(served.contract.classes, _REASONS)
