"""Admission and departure, with the middleware and the batcher as they are served and a client played by the test."""

import asyncio
import base64
import io
import json
import threading
from collections.abc import Sequence
from contextlib import closing

import numpy as np
import pytest
from PIL import Image
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from runtime.answers.filters import FilterChain
from runtime.answers.results import ImageAnswer, InvalidOutput, ModelIdentity, Prediction, to_predictions
from runtime.model.contract import ModelContract
from runtime.model.image import ImageArray
from runtime.model.preprocess import read_for_model
from runtime.serving.batching import Batcher
from runtime.serving.decoders import Decoders
from runtime.serving.hook_threads import HookThreads
from runtime.serving.intake.images import read_images
from runtime.serving.prometheus.metrics import ServiceMetrics
from runtime.serving.refusals import RequestErrorCode, RequestRefused
from runtime.serving.request_batching import RequestBatching
from runtime.serving.request_record import CLIENT_GONE, RequestRecordMiddleware, current_record
from runtime.serving.settings import ServingSettings
from tests.onnx_fixture import tiny_contract

SCOPE: Scope = {"type": "http", "method": "POST", "path": "/predict", "headers": []}
IMAGE = np.zeros((1, 2, 2, 3), np.uint8)


@pytest.fixture
def metrics() -> ServiceMetrics:
    return ServiceMetrics(("red",), (*RequestErrorCode, CLIENT_GONE), CollectorRegistry())


def make_batching(metrics: ServiceMetrics, queue: int = 1) -> RequestBatching:
    batcher: Batcher[ImageArray, ImageAnswer] = Batcher(1, 4, queue)
    return RequestBatching(batcher, deadline_s=60, metrics=metrics)


def test_slow_upload_keeps_nobody_out_and_a_request_that_is_decoded_does(metrics: ServiceMetrics) -> None:
    batching = make_batching(metrics, queue=1)
    seen: list[int] = []

    async def decode(_scope: Scope, receive: Receive, _send: Send) -> None:
        with batching.admitting():
            seen.append(batching.batcher.num_arriving)
            while (await receive())["more_body"]:
                seen.append(batching.batcher.num_arriving)
            seen.append(batching.batcher.num_arriving)
            with pytest.raises(RequestRefused) as refused, batching.admitting():
                pass
            assert refused.value.code == RequestErrorCode.OVERLOADED
            assert refused.value.retry_after_s
        seen.append(batching.batcher.num_arriving)

    asyncio.run(call(RequestRecordMiddleware(decode), [True, True, False]))
    assert seen == [0, 0, 0, 1, 0]


def test_client_that_goes_away_frees_its_place_and_the_one_behind_it_is_served(metrics: ServiceMetrics) -> None:
    batching = make_batching(metrics, queue=2)
    gate = asyncio.Event()
    batches: list[int] = []

    async def infer(items: Sequence[ImageArray]) -> list[list[Prediction]]:
        batches.append(len(items))
        await gate.wait()
        return [[] for _ in items]

    async def wait_in_queue(_scope: Scope, receive: Receive, _send: Send) -> None:
        with batching.admitting():
            await receive()
        try:
            await batching(infer)(IMAGE)
        except RequestRefused:
            assert current_record().refusal == CLIENT_GONE
            raise

    async def scenario() -> None:
        blocker = asyncio.create_task(batching.batcher.submit(IMAGE, infer, 60))
        await asyncio.sleep(0)
        with pytest.raises(RequestRefused, match="closed the connection"):
            await call(RequestRecordMiddleware(wait_in_queue), [False])  # and then it disconnects
        assert isinstance(batching.batcher, Batcher)
        assert batching.batcher.queued_images == 0
        assert not blocker.done()
        gate.set()
        with pytest.raises(RuntimeError, match="answered"):  # `infer` has no answers for its image
            await blocker

    asyncio.run(scenario())
    assert batches == [1]


def test_client_that_leaves_in_the_middle_of_its_body_is_no_malformed_request(metrics: ServiceMetrics) -> None:
    batching = make_batching(metrics)

    async def read(scope: Scope, receive: Receive, _send: Send) -> None:
        request = Request({**scope, "headers": [(b"content-type", b"image/png")]}, receive)
        with closing(Decoders(1)) as decoders, batching.admitting() as record:
            await read_images(request, tiny_contract(), ServingSettings(), decoders, record)

    with pytest.raises(RequestRefused, match="closed the connection before its body ended"):
        asyncio.run(call(RequestRecordMiddleware(read), [True]))  # and then it disconnects
    assert refusals(metrics) == {CLIENT_GONE: 1}


def test_deadline_that_passes_while_images_are_decoded_is_answered_and_the_rest_is_not_decoded(
    metrics: ServiceMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[bytes] = []

    def read_and_count(data: bytes, contract: ModelContract, max_pixels: int) -> ImageArray:
        begun.append(data)
        return read_for_model(data, contract, max_pixels)

    monkeypatch.setattr("runtime.serving.intake.images.read_for_model", read_and_count)
    batching, settings = make_batching(metrics), ServingSettings(deadline_ms=50, max_images_per_request=32)
    picture = io.BytesIO()
    Image.new("L", (7000, 5000)).save(picture, "PNG")  # a tenth of a second each
    body = json.dumps({"images_b64": [base64.b64encode(picture.getvalue()).decode()] * 32}).encode()

    async def read(scope: Scope, receive: Receive, _send: Send) -> None:
        request = Request({**scope, "headers": [(b"content-type", b"application/json")]}, receive)
        with batching.admitting() as record:
            await read_images(request, tiny_contract(), settings, decoders, record)

    with closing(Decoders(1)) as decoders, pytest.raises(RequestRefused) as refused:
        asyncio.run(call(RequestRecordMiddleware(read), [False], body, stays=True))
    assert refused.value.code == RequestErrorCode.DEADLINE_EXCEEDED
    assert refusals(metrics) == {RequestErrorCode.DEADLINE_EXCEEDED: 1}
    assert len(begun) < 32
    assert batching.batcher.num_arriving == 0


def test_output_that_is_not_finite_fails_its_own_request_and_the_batch_is_not_computed_again(
    metrics: ServiceMetrics,
) -> None:
    batching = make_batching(metrics, queue=8)
    batches: list[int] = []

    async def infer(items: Sequence[ImageArray]) -> list[list[ImageAnswer]]:
        batches.append(len(items))
        await asyncio.sleep(0)  # so that the others gather behind the first
        return [[answer_of(value) for value in item[:, 0, 0, 0]] for item in items]

    async def ask(*values: int) -> object:
        async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
            found.append(await batching(infer)(np.repeat(np.array(values, np.uint8), 12).reshape(-1, 2, 2, 3)))

        found: list[object] = []
        try:
            await call(RequestRecordMiddleware(app), [False])
        except RequestRefused as refusal:
            return refusal
        return found[0]

    async def scenario() -> tuple[object, ...]:
        return await asyncio.gather(ask(1), ask(1), ask(1, OVERFLOWS), ask(1))

    first, second, refusal, third = asyncio.run(scenario())
    assert batches == [1, 3]
    assert all(isinstance(answer, Response) for answer in (first, second, third))
    assert isinstance(refusal, RequestRefused)
    assert (refusal.code, refusal.error_code, refusal.index) == ("model_output_invalid", 422, 1)
    assert str(refusal).startswith("image 1: the model's output for this picture is not finite")


def test_hooks_that_all_hang_are_an_answer_before_decoding_and_tell_the_orchestrator(
    metrics: ServiceMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()

    def hang(prediction: Prediction) -> Prediction:
        gate.wait(60)
        return prediction

    async def infer(items: Sequence[ImageArray]) -> list[list[ImageAnswer]]:
        return [[answer_of(1) for _ in item] for item in items]

    batcher: Batcher[ImageArray, ImageAnswer] = Batcher(1, 4, 8)
    filters = FilterChain((("hooks:hang", hang),), has_hooks=True)
    batching = RequestBatching(batcher, 0.2, metrics, filters, HookThreads(1))

    async def ask(_scope: Scope, _receive: Receive, _send: Send) -> None:
        with batching.admitting():
            pass
        await batching(infer)(IMAGE)

    async def scenario() -> None:
        with pytest.raises(RequestRefused, match="did not end within the deadline") as first:
            await call(RequestRecordMiddleware(ask), [False], stays=True)
        assert first.value.code == RequestErrorCode.DEADLINE_EXCEEDED
        assert (batching.is_ready, batching.is_alive) == (False, True)
        with pytest.raises(RequestRefused, match="filters hang") as second:
            await call(RequestRecordMiddleware(ask), [False], stays=True)
        assert (second.value.code, second.value.error_code) == ("filters_hang", 503)
        assert second.value.retry_after_s
        monkeypatch.setattr("runtime.serving.hook_threads.DEAD_AFTER_S", 0.0)
        assert not batching.is_alive
        await batching.close()

    try:
        asyncio.run(scenario())
    finally:
        gate.set()
    assert refusals(metrics) == {RequestErrorCode.DEADLINE_EXCEEDED: 1, RequestErrorCode.FILTERS_HANG: 1}


OVERFLOWS = 255


def answer_of(value: int) -> ImageAnswer:
    probs = np.full((1, 3), np.nan if value == OVERFLOWS else 1 / 3, np.float32)
    [answer] = to_predictions(probs, probs, tiny_contract(), ModelIdentity(name="m", version="1", sha256="0" * 64))
    assert isinstance(answer, InvalidOutput) == (value == OVERFLOWS)
    return answer


def refusals(metrics: ServiceMetrics) -> dict[str, float]:
    """How many of each reason there were."""
    counts = {reason: counter._value.get() for reason, counter in metrics._refusals.items()}
    return {reason: count for reason, count in counts.items() if count}


async def call(app: RequestRecordMiddleware, more_body: list[bool], body: bytes = b"x", stays: bool = False) -> None:
    """Send a body in chunks and, unless the client stays, disconnect."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": more} for more in more_body]

    async def receive() -> Message:
        if stays and not messages:
            await asyncio.Event().wait()
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        pass

    await app(dict(SCOPE), receive, send)
