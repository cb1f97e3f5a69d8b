"""A picture of many tiles among other requests, with middleware, batcher and decoders as they are served."""

import asyncio
import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from runtime.answers.outputs import Row
from runtime.answers.refusals import RequestErrorCode
from runtime.model.image import ImageArray
from runtime.serving.batching import Batcher
from runtime.serving.prometheus.metrics import ServiceMetrics
from runtime.serving.request_batching import RequestHandler
from runtime.serving.request_record import CLIENT_GONE
from tests.onnx_segmenter import draw_spots, segmentation_contract
from tests.runtime.serving.test_request_batching import LONG_MS, app_of, call, make_handler

TURNS = 10_000  # of the loop: far more than anything here takes, with threads that decode


@dataclass
class Gated:
    """A model whose batches end when they are released; it marks what is red."""

    batches: list[list[int]] = field(default_factory=list)
    gates: list[asyncio.Event] = field(default_factory=list)

    async def __call__(self, items: Sequence[ImageArray]) -> list[list[Row]]:
        self.batches.append([len(item) for item in items])
        gate = asyncio.Event()
        self.gates.append(gate)
        await gate.wait()
        return [[row_of(image) for image in item] for item in items]


def row_of(image: ImageArray) -> Row:
    values = np.full(3, 1 / 3, np.float32)
    red = np.asarray(image[..., 0] > image[..., 2], np.float32)
    maps: Row = {"region_map": np.full(red.shape, 2, np.uint8), "foreground": red}
    return {"probabilities": values, "logits": values, **maps}


def body_of(width: int, height: int, **wanted: object) -> bytes:
    """A picture of one red spot in its middle, with what is wanted."""
    picture = io.BytesIO()
    spot = ("red", (width / 4, height / 4, width * 3 / 4, height * 3 / 4))
    draw_spots(width, height, [spot]).save(picture, "PNG")
    return json.dumps({"image_b64": base64.b64encode(picture.getvalue()).decode(), **wanted}).encode()


async def until(condition: Any) -> None:
    for _ in range(TURNS):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("waited in vain")


def queued(handler: RequestHandler) -> int:
    assert isinstance(handler.batcher, Batcher)
    return handler.batcher.queued_images


def segmenter(deadline_ms: int = LONG_MS) -> RequestHandler:
    """One session, batches of four, 32 images may wait."""
    contract, reasons = segmentation_contract(), (*RequestErrorCode, CLIENT_GONE)
    metrics = ServiceMetrics(contract.classes, reasons, CollectorRegistry(), regions=contract.regions)
    return make_handler(metrics, deadline_ms=deadline_ms, contract=contract)


@pytest.fixture
def handler() -> RequestHandler:
    return segmenter()


LARGE = body_of(256, 192, tiles=64, overlap=0)  # 16 tiles: four batches
SMALL = body_of(64, 48)


def test_lone_request_is_answered_between_the_tiles_of_a_large_picture(handler: RequestHandler) -> None:
    model = Gated()

    async def scenario() -> tuple[Any, Any]:
        app = app_of(handler, model)
        large = asyncio.create_task(call(app, LARGE, stays=True))
        await until(lambda: model.batches == [[4]])
        assert queued(handler) == 12, "each tile is an image that waits"
        lone = asyncio.create_task(call(app, SMALL, stays=True))
        await until(lambda: queued(handler) == 13)
        for batch in range(3):
            model.gates[batch].set()
            await until(lambda number=batch: len(model.batches) > number + 1)
        await until(lone.done)
        assert not large.done()
        for batch in (3, 4):
            await until(lambda number=batch: len(model.gates) > number)
            model.gates[batch].set()
        return await large, await lone

    (large_status, large), (lone_status, lone) = asyncio.run(scenario())
    assert model.batches == [[4], [4], [1], [4], [4]]
    assert (large_status, lone_status) == (200, 200)
    for [answer], (width, height) in ((large, (256, 192)), (lone, (64, 48))):
        [region] = answer["regions"]
        assert (answer["width"], answer["height"]) == (width, height)
        assert region["area_share"] == pytest.approx(np.pi / 16, rel=0.1)


def test_tiles_share_a_batch_with_other_requests(handler: RequestHandler) -> None:
    model = Gated()

    async def scenario() -> None:
        app = app_of(handler, model)
        first = asyncio.create_task(call(app, SMALL, stays=True))
        await until(lambda: model.batches == [[1]])
        # 3 x 3 tiles: three batches of three, which have room for one more.
        nine = asyncio.create_task(call(app, body_of(192, 144, tiles=64, overlap=0), stays=True))
        await until(lambda: queued(handler) == 9)
        last = asyncio.create_task(call(app, SMALL, stays=True))
        await until(lambda: queued(handler) == 10)
        for batch in range(4):
            await until(lambda number=batch: len(model.gates) > number)
            model.gates[batch].set()
        assert [status for status, _ in await asyncio.gather(first, nine, last)] == [200] * 3

    asyncio.run(scenario())
    assert model.batches == [[1], [3, 1], [3], [3]]


def test_tiles_count_where_the_queue_is_bounded(handler: RequestHandler) -> None:
    model = Gated()

    async def scenario() -> list[tuple[int, Any]]:
        app = app_of(handler, model)
        asked = [asyncio.create_task(call(app, LARGE, stays=True)) for _ in range(2)]
        await until(lambda: queued(handler) == 28)
        refused = await call(app, LARGE, stays=True)  # 28 + 16, and 32 may wait
        fits = asyncio.create_task(call(app, SMALL, stays=True))
        await until(lambda: queued(handler) == 29)
        for batch in range(9):
            await until(lambda number=batch: len(model.gates) > number)
            model.gates[batch].set()
        return [refused, *await asyncio.gather(*asked, fits)]

    refused, *answered = asyncio.run(scenario())
    assert (refused[0], refused[1]["error"]["code"]) == (503, "overloaded")
    assert refused[1]["error"]["message"] == "28 images wait, at most 32 may; try again later"
    assert [status for status, _ in answered] == [200] * 3


def test_deadline_is_that_of_all_tiles_and_those_that_wait_are_not_computed() -> None:
    handler, model = segmenter(deadline_ms=1000), Gated()

    async def scenario() -> None:
        large = asyncio.create_task(call(app_of(handler, model), LARGE, stays=True))
        await until(lambda: len(model.gates) == 1)
        model.gates[0].set()
        status, answer = await large
        assert (status, answer["error"]["code"]) == (504, "deadline_exceeded")
        assert queued(handler) == 0
        model.gates[1].set()
        await handler.close()

    asyncio.run(scenario())
    assert model.batches == [[4], [4]]
