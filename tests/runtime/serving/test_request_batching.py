"""Requests with the middleware, the batcher and the decoders as they are served, and a client played by the test."""

import asyncio
import base64
import io
import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from runtime.answers.filters import FilterChain
from runtime.answers.outputs import Row
from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.answers.results import ModelIdentity, Prediction
from runtime.model.contract import ModelContract
from runtime.model.image import ImageArray
from runtime.model.preprocess import Placement, read_placed
from runtime.serving.batching import Batcher
from runtime.serving.bentoml_app import BatchCallback
from runtime.serving.error_bodies import ErrorBodyMiddleware
from runtime.serving.hook_threads import HookThreads
from runtime.serving.prometheus.metrics import ServiceMetrics
from runtime.serving.request_batching import ENCODED_TOO_LATE, RequestHandler
from runtime.serving.request_record import CLIENT_GONE, RequestRecordMiddleware, current_record
from runtime.serving.request_threads import RequestThreads
from runtime.serving.served_model import ServedModel
from runtime.serving.settings import ServingSettings
from tests.onnx_fixture import tiny_contract
from tests.onnx_segmenter import segmentation_contract

LONG_MS = 60_000
OVERFLOWS = 255  # red of a picture on which the model does


@pytest.fixture
def metrics() -> ServiceMetrics:
    return ServiceMetrics(tiny_contract().classes, (*RequestErrorCode, CLIENT_GONE), CollectorRegistry())


def make_handler(
    metrics: ServiceMetrics,
    queue: int = 32,
    deadline_ms: int = LONG_MS,
    filters: FilterChain | None = None,
    hook_threads: HookThreads | None = None,
    contract: ModelContract | None = None,
) -> RequestHandler:
    settings = ServingSettings(deadline_ms=deadline_ms)
    identity = ModelIdentity(name="m", version="1", sha256="0" * 64)
    served = ServedModel(contract or tiny_contract(), identity, settings, filters or FilterChain(), None)
    batcher: Batcher[ImageArray, Row] = Batcher(1, 4, queue)
    return RequestHandler(
        served,
        batcher,
        RequestThreads(1),
        RequestThreads(1, "encode", ENCODED_TOO_LATE),
        metrics,
        hook_threads or HookThreads(),
    )


async def infer(items: Sequence[ImageArray]) -> list[list[Row]]:
    return [[row_of(image) for image in item] for item in items]


def row_of(image: ImageArray) -> Row:
    values = np.full(3, np.nan if image[0, 0, 0] == OVERFLOWS else 1 / 3, np.float32)
    return {"probabilities": values, "logits": values}


def body_of(*reds: int, size: tuple[int, int] = (2, 2)) -> bytes:
    pictures = []
    for red in reds:
        picture = io.BytesIO()
        Image.new("RGB", size, (red, 0, 0)).save(picture, "PNG")
        pictures.append(base64.b64encode(picture.getvalue()).decode())
    return json.dumps({"images_b64": pictures}).encode()


def app_of(handler: RequestHandler, compute: BatchCallback) -> RequestRecordMiddleware:
    """What stands around a handler where it is served."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await handler.answer(Request(scope, receive), compute)
        await response(scope, receive, send)

    return RequestRecordMiddleware(ErrorBodyMiddleware(app))


def test_slow_upload_keeps_nobody_out_and_a_request_that_is_decoded_does(metrics: ServiceMetrics) -> None:
    handler = make_handler(metrics, queue=1)
    seen: list[int] = []
    refused: list[bool] = []

    async def look(_scope: Scope, receive: Receive, _send: Send) -> None:
        with handler.arriving(current_record()):
            seen.append(handler.batcher.num_arriving)
            while (await receive())["more_body"]:
                seen.append(handler.batcher.num_arriving)
            seen.append(handler.batcher.num_arriving)
            refused.append(handler.refuses_now())
            current_record().decoded(1)
        seen.append(handler.batcher.num_arriving)
        refused.append(handler.refuses_now())

    asyncio.run(call(RequestRecordMiddleware(look), b"x", chunks=3))
    assert seen == [0, 0, 0, 1, 0]
    assert refused == [True, False]
    assert refusals(metrics) == {RequestErrorCode.OVERLOADED: 1}


def test_client_that_goes_away_frees_its_place_and_the_one_behind_it_is_served(metrics: ServiceMetrics) -> None:
    handler = make_handler(metrics, queue=2)
    gate = asyncio.Event()
    batches: list[int] = []

    async def infer_later(items: Sequence[ImageArray]) -> list[list[Row]]:
        batches.append(len(items))
        await gate.wait()
        return await infer(items)

    async def scenario() -> None:
        app = app_of(handler, infer_later)
        blocker = asyncio.create_task(call(app, body_of(1), stays=True))
        while not batches:
            await asyncio.sleep(0.001)
        assert (await call(app, body_of(1)))[0] == 504  # and then it disconnects
        assert isinstance(handler.batcher, Batcher)
        assert handler.batcher.queued_images == 0
        assert not blocker.done()
        gate.set()
        assert (await blocker)[0] == 200

    asyncio.run(scenario())
    assert batches == [1]
    assert refusals(metrics) == {CLIENT_GONE: 1}


def test_client_that_leaves_in_the_middle_of_its_body_is_no_malformed_request(metrics: ServiceMetrics) -> None:
    app = app_of(make_handler(metrics), infer)
    status, answer = asyncio.run(call(app, body_of(1), is_whole=False))  # and then it disconnects
    assert (status, answer["error"]["message"]) == (504, "the client closed the connection before its body ended")
    assert refusals(metrics) == {CLIENT_GONE: 1}


@pytest.mark.slow
def test_deadline_that_passes_while_images_are_decoded_is_answered_and_the_rest_is_not_decoded(
    metrics: ServiceMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[bytes] = []

    def read_and_count(data: bytes, contract: ModelContract, max_pixels: int) -> tuple[ImageArray, Placement]:
        begun.append(data)
        return read_placed(data, contract, max_pixels)

    monkeypatch.setattr("runtime.serving.intake.images.read_placed", read_and_count)
    handler = make_handler(metrics, deadline_ms=50)
    body = body_of(*[1] * 32, size=(5000, 3000))  # a tenth of a second each
    status, answer = asyncio.run(call(app_of(handler, infer), body, stays=True))
    assert (status, answer["error"]["code"]) == (504, "deadline_exceeded")
    assert refusals(metrics) == {RequestErrorCode.DEADLINE_EXCEEDED: 1}
    handler.decoders.close()
    assert len(begun) < 32
    assert handler.batcher.num_arriving == 0


def test_output_that_is_not_finite_fails_its_own_request_and_the_batch_is_not_computed_again(
    metrics: ServiceMetrics,
) -> None:
    gate = asyncio.Event()
    batches: list[int] = []

    async def infer_later(items: Sequence[ImageArray]) -> list[list[Row]]:
        batches.append(len(items))
        await gate.wait()
        return await infer(items)

    async def scenario() -> list[tuple[int, Any]]:
        handler = make_handler(metrics)
        app = app_of(handler, infer_later)
        asked = [asyncio.create_task(call(app, body_of(1), stays=True))]
        assert isinstance(handler.batcher, Batcher)
        while not batches:
            await asyncio.sleep(0.001)
        asked += [asyncio.create_task(call(app, body, stays=True)) for body in (body_of(1, OVERFLOWS), body_of(1))]
        while handler.batcher.queued_images < 3:
            await asyncio.sleep(0.001)
        gate.set()
        return list(await asyncio.gather(*asked))

    (first, _), (second, refusal), (third, _) = asyncio.run(scenario())
    assert batches == [1, 2]
    assert (first, second, third) == (200, 422, 200)
    error = refusal["error"]
    assert (error["code"], error["index"]) == ("model_output_invalid", 1)
    assert error["message"].startswith("image 1: the model's output for this picture is not finite")
    # Also of the picture beside it, which the model knew and no answer says.
    assert metrics._predictions["red"]._value.get() == 3


def test_hooks_that_all_hang_are_an_answer_before_decoding_and_tell_the_orchestrator(
    metrics: ServiceMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()

    def hang(prediction: Prediction) -> Prediction:
        gate.wait(60)
        return prediction

    filters = FilterChain((("hooks:hang", hang),), has_hooks=True)
    handler = make_handler(metrics, deadline_ms=500, filters=filters, hook_threads=HookThreads(1))

    async def ask_first(_scope: Scope, _receive: Receive, _send: Send) -> None:
        assert handler.refuses_now()

    async def scenario() -> None:
        status, answer = await call(app_of(handler, infer), body_of(1), stays=True)
        assert (status, answer["error"]["message"]) == (504, "a filter of the service did not end within the deadline")
        assert (handler.is_ready, handler.is_alive) == (False, True)
        await call(RequestRecordMiddleware(ask_first), b"")
        with pytest.raises(RequestRefused, match="filters hang") as refused:
            handler.hook_threads.refuse_if_all_hang()
        assert (refused.value.code, refused.value.status) == ("filters_hang", 503)
        assert refused.value.retry_after_s
        monkeypatch.setattr("runtime.serving.hook_threads.DEAD_AFTER_S", 0.0)
        assert not handler.is_alive
        await handler.close()

    try:
        asyncio.run(scenario())
    finally:
        gate.set()
    assert refusals(metrics) == {RequestErrorCode.DEADLINE_EXCEEDED: 1, RequestErrorCode.FILTERS_HANG: 1}


def test_outlining_holds_up_no_other_request_and_misses_its_own_deadline_alone(
    metrics: ServiceMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, begun = threading.Event(), threading.Event()

    def outline_for_ever(*_arguments: object) -> Prediction | None:
        begun.set()
        gate.wait(60)
        raise AssertionError("nobody waits any more")

    async def infer_maps(items: Sequence[ImageArray]) -> list[list[Row]]:
        maps: Row = {"region_map": np.ones((48, 64), np.uint8), "foreground": np.zeros((48, 64), np.float32)}
        return [[row_of(image) | maps for image in item] for item in items]

    async def scenario() -> None:
        decoders = RequestThreads(1)
        segmenter = replace(make_handler(metrics, deadline_ms=500, contract=segmentation_contract()), decoders=decoders)
        classifier = replace(make_handler(metrics), decoders=decoders)
        hanging = asyncio.create_task(call(app_of(segmenter, infer_maps), body_of(1), stays=True))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        assert (await call(app_of(classifier, infer), body_of(1), stays=True))[0] == 200
        assert not hanging.done()
        status, answer = await hanging
        assert (status, answer["error"]["message"]) == (504, "the deadline passed before the answer was made")

    monkeypatch.setattr("runtime.serving.answer_making.to_tiled_segmentation", outline_for_ever)
    try:
        asyncio.run(scenario())
    finally:
        gate.set()
    assert refusals(metrics) == {RequestErrorCode.DEADLINE_EXCEEDED: 1}


def refusals(metrics: ServiceMetrics) -> dict[str, float]:
    """How many of each reason there were."""
    counts = {reason: counter._value.get() for reason, counter in metrics._refusals.items()}
    return {reason: count for reason, count in counts.items() if count}


async def call(
    app: RequestRecordMiddleware, body: bytes, chunks: int = 1, is_whole: bool = True, stays: bool = False
) -> tuple[int, Any]:
    """Send a body in chunks and, unless the client stays, disconnect. Returns status and JSON of the answer."""
    messages: list[Message] = [
        {"type": "http.request", "body": body if i == 0 else b"", "more_body": not is_whole or i < chunks - 1}
        for i in range(chunks)
    ]
    answer: list[Message] = []

    async def receive() -> Message:
        if stays and not messages:
            await asyncio.Event().wait()
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        answer.append(message)

    await app({"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "headers": []}, receive, send)
    return (answer[0]["status"], json.loads(answer[1]["body"])) if answer else (0, None)
