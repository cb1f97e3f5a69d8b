"""Requests to a pipeline in which something is missing or full, with real models and the middleware as it is served."""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.answers.filters import FilterChain
from runtime.answers.outputs import Row
from runtime.answers.pipeline import PipelineResult
from runtime.answers.results import ModelIdentity
from runtime.model.contract import CONTRACT_FILE, ONNX_FILE, ModelContract
from runtime.model.image import ImageArray
from runtime.model.roles import Role
from runtime.model.session import Predictor
from runtime.serving.error_bodies import ErrorBodyMiddleware
from runtime.serving.handlers import Handlers
from runtime.serving.request_record import RequestRecordMiddleware
from runtime.serving.served_model import ServedModel
from runtime.serving.settings import ServingSettings
from tests.onnx_segmenter import segmentation_contract, segmenter_graph
from tests.service.detecting_models import (
    BLUE,
    DEEP,
    crop_contract,
    crop_graph,
    detection_contract,
    detector_graph,
    draw_objects,
)

TWO = draw_objects({0: DEEP, 3: BLUE})
Models = dict[Role, tuple[ModelContract, Predictor]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    detector, classifier, segmenter = detection_contract(), crop_contract(), segmentation_contract()
    graphs: dict[Role, tuple[ModelContract, onnx.ModelProto]] = {
        "detection": (detector, detector_graph(detector)),
        "crop-classification": (classifier, crop_graph(classifier)),
        "segmentation": (segmenter, segmenter_graph(segmenter)),
    }
    loaded: Models = {}
    for role, (contract, graph) in graphs.items():
        folder = tmp_path_factory.mktemp(role)
        (folder / CONTRACT_FILE).write_text(contract.to_json())
        onnx.save(graph, folder / ONNX_FILE)
        loaded[role] = contract, Predictor.load(Path(folder), "cpu", 1)
    return loaded


def ask(
    models: Models, roles: Sequence[Role], *pictures: bytes, change: Callable[[Handlers], object] = lambda _: None,
    **settings: Any,
) -> list[PipelineResult]:  # fmt: skip
    """Serve the models of these roles, ask about pictures, and return what is said of them."""

    async def scenario() -> httpx.Response:
        handlers = handlers_of(models, roles, **settings)
        change(handlers)
        transport = httpx.ASGITransport(app_of(handlers))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            response = await client.post("/detect", files=[("images", data) for data in pictures])
        await handlers.close()
        return response

    response = asyncio.run(scenario())
    assert response.status_code == 200, response.text
    return [PipelineResult.model_validate(answer) for answer in response.json()]


def handlers_of(models: Models, roles: Sequence[Role], **settings: Any) -> Handlers:
    served = {
        role: ServedModel(
            models[role][0],
            ModelIdentity(name=role, version="1", sha256="0" * 64),
            ServingSettings(**settings),
            FilterChain(),
            models[role][1],
        )
        for role in roles
    }
    return Handlers.of(served)


def app_of(handlers: Handlers, api: str = "detect") -> ASGIApp:
    endpoint = handlers.by_api[api]

    async def compute(items: Sequence[ImageArray]) -> list[list[Row]]:
        return [endpoint.served.compute(item) for item in items]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await endpoint.answer(Request(scope, receive), compute)
        await response(scope, receive, send)

    return RequestRecordMiddleware(ErrorBodyMiddleware(app))


def test_without_a_classifier_every_detection_says_so(models: Models) -> None:
    found, nothing = ask(models, ["detection"], TWO, draw_objects({}))
    assert (found.classified, found.masked) == ("no_classifier", "no_segmenter")
    assert (len(found.detections), found.classifications) == (2, [])
    assert [entry.reason for entry in found.unclassified] == ["no_classifier"] * 2
    assert [model.stage for model in found.models] == ["detect"]
    assert all(detection.mask_rle is None for detection in found.detections)
    assert (nothing.classified, nothing.unclassified) == ("no_classifier", [])


def test_crops_beyond_the_queues_bound_are_not_classified(models: Models) -> None:
    """Of two pictures with four crops each, which come at once, one finds the queue full."""
    four = draw_objects(dict.fromkeys(range(4), DEEP))
    roles: list[Role] = ["detection", "crop-classification"]
    answers = ask(models, roles, *[four] * 6, max_queued_crops=4, sessions=1, max_batch_images=1)
    outcomes = {answer.classified for answer in answers}
    assert outcomes == {"done", "overloaded"}
    full = next(answer for answer in answers if answer.classified == "overloaded")
    assert [entry.reason for entry in full.unclassified] == ["overloaded"] * 4


def test_pictures_without_room_in_memory_are_answered_alike(models: Models) -> None:
    roles: list[Role] = ["detection", "crop-classification", "segmentation"]
    [roomy], [cramped] = (ask(models, roles, TWO, max_decoded_bytes=size) for size in (2**20, 0))
    assert roomy.classified == "done"
    assert (roomy.detections, roomy.classifications) == (cramped.detections, cramped.classifications)


def test_room_is_given_back(models: Models) -> None:
    rooms = []
    ask(models, ["detection", "crop-classification"], TWO, TWO, change=lambda handlers: rooms.append(handlers))
    [handlers] = rooms
    assert handlers.pipeline
    assert handlers.pipeline.reading.room.taken_bytes == 0


def test_segmenter_that_fails_costs_the_masks_and_nothing_else(
    models: Models, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_items: Sequence[ImageArray]) -> list[list[Row]]:
        raise RuntimeError("out of memory")

    def break_segmenter(handlers: Handlers) -> None:
        assert handlers.pipeline
        assert handlers.pipeline.masks
        handlers.pipeline.masks.sessions.compute = broken  # type: ignore[assignment, method-assign]

    roles: list[Role] = ["detection", "crop-classification", "segmentation"]
    [answer] = ask(models, roles, TWO, change=break_segmenter)
    assert (answer.masked, answer.classified, len(answer.classifications)) == ("failed", "done", 2)
    assert [detection.mask_rle for detection in answer.detections] == [None, None]
    assert "outlining failed" in caplog.text


def test_stream_says_of_an_image_that_the_service_failed_as_any_answer_would(models: Models) -> None:
    async def scenario() -> httpx.Response:
        handlers = handlers_of(models, ["detection"])
        assert handlers.pipeline
        object.__setattr__(handlers.pipeline, "models", "none")  # no result can be made with it
        transport = httpx.ASGITransport(app_of(handlers, "detect_batch"))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            response = await client.post("/detect_batch", files=[("images", b"no picture"), ("images", TWO)])
        await handlers.close()
        return response

    response = asyncio.run(scenario())
    refused, failed = sorted(map(json.loads, response.text.splitlines()), key=lambda line: line["index"])
    request_id = response.headers["x-request-id"]
    assert (refused["error"]["code"], refused["error"]["index"]) == ("unsupported_format", 0)
    assert failed == {
        "index": 1,
        "error": {
            "code": "internal_server_error",
            "message": "the service failed; its log has the cause under this request id",
            "index": 1,
            "request_id": request_id,
        },
    }


def test_client_that_goes_while_crops_are_classified_ends_the_work(models: Models) -> None:
    async def scenario() -> tuple[Message, int]:
        handlers = handlers_of(models, ["detection", "crop-classification", "segmentation"])
        asked, is_over = asyncio.Event(), asyncio.Event()
        messages: list[Message] = [{"type": "http.request", "body": TWO, "more_body": False}]
        sent: list[Message] = []

        async def hang(_items: Sequence[ImageArray]) -> list[list[Row]]:
            asked.set()
            await is_over.wait()
            raise RuntimeError("nobody waits for it")

        async def receive() -> Message:
            if messages:
                return messages.pop()
            await asked.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        assert handlers.pipeline
        assert handlers.pipeline.crops
        handlers.pipeline.crops.sessions.compute = hang  # type: ignore[assignment, method-assign]
        headers = [(b"content-type", b"image/png")]
        scope = {"type": "http", "method": "POST", "path": "/detect", "query_string": b"", "headers": headers}
        await asyncio.wait_for(app_of(handlers)(scope, receive, send), 30)
        taken_bytes = handlers.pipeline.reading.room.taken_bytes
        is_over.set()
        await handlers.close()
        return sent[0], taken_bytes

    start, taken_bytes = asyncio.run(scenario())
    assert (start["status"], taken_bytes) == (504, 0), "200 without classifications if it were the deadline"


def test_segmenter_is_not_asked_where_nothing_is_found(models: Models) -> None:
    calls: list[int] = []

    def count(handlers: Handlers) -> None:
        assert handlers.pipeline
        assert handlers.pipeline.masks
        real = handlers.pipeline.masks.sessions.compute

        async def counted(items: Sequence[ImageArray]) -> list[list[Row]]:
            calls.append(sum(map(len, items)))
            return await real(items)

        handlers.pipeline.masks.sessions.compute = counted  # type: ignore[method-assign]

    nothing, found = ask(models, ["detection", "segmentation"], draw_objects({}), TWO, change=count)
    assert (nothing.masked, found.masked, calls) == ("done", "done", [1])
    assert all(np.any(detection.mask_rle is not None) for detection in found.detections)
