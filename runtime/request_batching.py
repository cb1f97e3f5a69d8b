"""Where HTTP requests meet the batcher: admission before decoding, deadlines, clients that go away, refusals."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from runtime.batching import Batcher, DeadlineExceededError, Outcome, OverloadedError
from runtime.bentoml_app import BatchCallback
from runtime.error_bodies import note_refusal
from runtime.image import ImageArray
from runtime.metrics import ServiceMetrics, service_metrics
from runtime.refusals import STATUS, RequestErrorCode, RequestRefused
from runtime.request_record import CLIENT_GONE, RequestRecord, current_record
from runtime.results import Prediction
from runtime.session import Predictor
from runtime.settings import Device, ServingSettings

# As BentoML would write it, but once: BentoML validates the predictions again, dumps them to look at their type, and
# dumps them a second time.
_ANSWER = TypeAdapter(list[Prediction])
# Beyond it a batch gains no throughput on a CPU and only makes its first image wait: docs/BATCHING.md.
_BATCH_IMAGES: dict[Device, int] = {"cpu": 4, "cuda": 64}
_REASONS = (*(code.value for code in STATUS), CLIENT_GONE)


@dataclass(frozen=True)
class RequestBatching:
    """A dispatcher for BentoML with the rules of `batcher`.

    deadline_s: from the end of a request's body. `batcher` calls BentoML with what BentoML gave it; nothing of
    BentoML's way from there to `predict` and back is changed.
    """

    batcher: Batcher[Any, Prediction]
    deadline_s: float
    metrics: ServiceMetrics

    @classmethod
    def of(cls, predictor: Predictor, settings: ServingSettings) -> Self:
        """Batches as large and as many at once as suit the device, unless the settings say otherwise."""
        metrics = service_metrics(predictor.contract.classes, _REASONS)
        batcher: Batcher[Any, Prediction] = Batcher(
            num_sessions=len(predictor.sessions),
            max_batch_images=settings.max_batch_images or _BATCH_IMAGES[predictor.device],
            max_queued_images=settings.max_queued_images,
            on_batch=metrics.batch_done,
            on_queue=metrics.queue_images.set,
        )
        return cls(batcher, settings.deadline_ms / 1e3, metrics)

    @contextmanager
    def admitting(self) -> Iterator[RequestRecord]:
        """Refuse the current request before its body is read if it could not be served; count it while it is decoded.

        It counts from the end of its body: clients that upload slowly keep nobody out. Yields the request's record;
        a RequestRefused that is raised inside is noted there. Raises RequestRefused.
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
        except RequestRefused as refusal:
            self._note(record, refusal)
            raise
        finally:
            record.on_received = None
            self.batcher.num_arriving -= num_arrived

    def refuses_now(self) -> bool:
        """Say whether the current request would be refused now, and note the refusal if so."""
        try:
            self._refuse_if_full()
        except RequestRefused as refusal:
            self._note(current_record(), refusal)
            return True
        return False

    def _refuse_if_full(self) -> None:
        try:
            self.batcher.refuse_if_full(self.deadline_s)
        except OverloadedError as exc:
            raise _overloaded(exc) from exc

    def __call__(self, callback: BatchCallback) -> Callable[[ImageArray], Coroutine[None, None, Any]]:
        """BentoML's interface: called for each request, returns what to await with its images."""

        async def answer(images: ImageArray) -> Any:
            record = current_record()
            try:
                outcome = await self._submit(images, callback, record)
            except RequestRefused as refusal:
                self._note(record, refusal)
                raise
            record.queue_s, record.inference_s = outcome.wait_s, outcome.inference_s
            record.batch_images = outcome.batch_images
            self.metrics.queue_wait.observe(outcome.wait_s)
            return Response(_ANSWER.dump_json(outcome.answers), media_type="application/json")

        return answer

    def _note(self, record: RequestRecord, refusal: RequestRefused) -> None:
        """Say why a request is refused: to its answer, its log line and the metrics."""
        note_refusal(Request(record.scope), refusal)
        record.refusal = record.refusal or refusal.code.value
        self.metrics.refused(record.refusal)

    async def _submit(self, images: ImageArray, callback: BatchCallback, record: RequestRecord) -> Outcome[Prediction]:
        left_s = self.deadline_s - (time.perf_counter() - (record.received_at or record.started_at))
        work = self.batcher.submit(images, callback, left_s)
        try:
            # A watcher costs a task; a batch that starts at once runs to its end anyway.
            if self.batcher.has_free_session or record.received_at is None:
                return await work
            return await _unless_disconnected(work, record)
        except OverloadedError as exc:
            raise _overloaded(exc) from exc
        except DeadlineExceededError as exc:
            raise RequestRefused(RequestErrorCode.DEADLINE_EXCEEDED, str(exc)) from exc


def _overloaded(error: OverloadedError) -> RequestRefused:
    return RequestRefused(RequestErrorCode.OVERLOADED, str(error), retry_after_s=error.retry_after_s)


async def _unless_disconnected(
    work: Coroutine[None, None, Outcome[Prediction]], record: RequestRecord
) -> Outcome[Prediction]:
    """Await `work` until it is done or the client is gone, which raises RequestRefused that nobody will read."""
    task = asyncio.current_task()
    assert task is not None
    is_gone = False

    def abandon() -> None:
        nonlocal is_gone
        is_gone = task.cancel()

    watcher = asyncio.create_task(_until_disconnected(record.receive, abandon))
    try:
        return await work
    except asyncio.CancelledError:
        if not is_gone or task.uncancel():
            raise
        record.refusal = CLIENT_GONE
        raise RequestRefused(RequestErrorCode.DEADLINE_EXCEEDED, "the client closed the connection") from None
    finally:
        watcher.cancel()


async def _until_disconnected(receive: Receive, abandon: Callable[[], None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    abandon()
