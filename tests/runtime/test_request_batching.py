"""Admission and departure, with the middleware and the batcher as they are served and a client played by the test."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Message, Receive, Scope, Send

from runtime.batching import Batcher
from runtime.image import ImageArray
from runtime.metrics import ServiceMetrics
from runtime.refusals import RequestErrorCode, RequestRefused
from runtime.request_batching import RequestBatching
from runtime.request_record import CLIENT_GONE, RequestRecordMiddleware, current_record
from runtime.results import Prediction

SCOPE: Scope = {"type": "http", "method": "POST", "path": "/predict", "headers": []}
IMAGE = np.zeros((1, 2, 2, 3), np.uint8)


@pytest.fixture
def metrics() -> ServiceMetrics:
    return ServiceMetrics(("red",), (*RequestErrorCode, CLIENT_GONE), CollectorRegistry())


def make_batching(metrics: ServiceMetrics, queue: int = 1) -> RequestBatching:
    batcher: Batcher[ImageArray, Prediction] = Batcher(1, 4, queue)
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


async def call(app: RequestRecordMiddleware, more_body: list[bool]) -> None:
    """Send a body in chunks, and disconnect."""
    messages: list[Message] = [{"type": "http.request", "body": b"x", "more_body": more} for more in more_body]

    async def receive() -> Message:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        pass

    await app(dict(SCOPE), receive, send)
