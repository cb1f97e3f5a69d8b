"""Filters that look at pixels as they are served: answers withheld, marked and blurred, and filters that fail."""

import asyncio
import io
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.types import Message

from runtime.answers.outputs import Row
from runtime.answers.refusals import RequestErrorCode
from runtime.answers.results import Prediction
from runtime.image_filters.looking import ImageFilters, ImageStep, Look, Seen
from runtime.model.contract import ModelContract
from runtime.model.image import ImageArray
from runtime.model.stated_filters import ImageFilter
from runtime.serving.handlers import Handlers
from runtime.serving.prometheus.metrics import ServiceMetrics
from runtime.serving.request_batching import RequestHandler
from tests.onnx_fixture import tiny_contract
from tests.onnx_segmenter import segmentation_contract
from tests.runtime.serving.test_pipeline_requests import TWO, Models, ask, models
from tests.runtime.serving.test_request_batching import app_of, body_of, call, infer, make_handler, metrics, refusals

__all__ = ["metrics", "models"]  # fixtures

LATE_MS = 50
FAILS, RUNS_OUT, LATE, DARK, MARKED = 250, 251, 240, 0, 200  # red of pictures of one colour


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


def looking_at_red(gate: threading.Event) -> Look:
    def look(pixels: ImageArray, answer: Prediction) -> Seen[Prediction]:
        red = int(pixels[0, 0, 0])
        if red == FAILS:
            raise ValueError("secret")
        if red == RUNS_OUT:
            next(iter(()))
        if red == LATE:
            gate.wait(60)
        if red == MARKED:
            return Seen(answer.model_copy(update={"marks": (*answer.marks, "bright")}))
        return Seen(answer, withheld="too dark" if red == DARK else "")

    return look


def filters_of(look: Look, contract: ModelContract | None = None, **fields: Any) -> ImageFilters:
    stated = ImageFilter.model_validate({"path": "hooks.looks:look", **fields})
    return ImageFilters((ImageStep(stated, look, contract or tiny_contract()),))


def with_filters(handler: RequestHandler, filters: ImageFilters) -> RequestHandler:
    return replace(handler, served=replace(handler.served, image_filters=filters))


def answer_to(handler: RequestHandler, *reds: int) -> tuple[int, Any]:
    return asyncio.run(call(app_of(handler, infer), body_of(*reds), stays=True))


def test_answer_that_is_withheld_names_its_image_and_marks_are_in_the_answer(
    metrics: ServiceMetrics, gate: threading.Event
) -> None:
    handler = with_filters(make_handler(metrics), filters_of(looking_at_red(gate)))
    status, answers = answer_to(handler, 1, MARKED)
    assert (status, [answer["marks"] for answer in answers]) == (200, [[], ["bright"]])
    status, refused = answer_to(handler, 1, DARK)
    assert (status, refused["error"]["code"], refused["error"]["index"]) == (422, "withheld", 1)
    assert refused["error"]["message"] == "image 1: too dark"
    assert refusals(metrics) == {RequestErrorCode.WITHHELD: 1}


@pytest.mark.parametrize("red", [FAILS, RUNS_OUT, LATE])
def test_filter_that_fails_or_is_late_gives_no_answer_or_one_that_says_so(
    metrics: ServiceMetrics, gate: threading.Event, red: int
) -> None:
    look = looking_at_red(gate)
    timeout_ms = LATE_MS if red == LATE else 60_000
    closed = with_filters(make_handler(metrics), filters_of(look, timeout_ms=timeout_ms))
    status, refused = answer_to(closed, red)
    assert (status, refused["error"]["code"], refused["error"]["index"]) == (503, "not_checked", 0)
    assert "secret" not in str(refused)
    opened = with_filters(make_handler(metrics), filters_of(look, timeout_ms=timeout_ms, if_unchecked="answer"))
    status, [answer] = answer_to(opened, red)
    assert (status, answer["marks"]) == (200, ["unchecked: hooks.looks:look"])


def test_filter_that_outlives_the_request_is_its_deadline(metrics: ServiceMetrics, gate: threading.Event) -> None:
    handler = make_handler(metrics, deadline_ms=300)
    status, refused = answer_to(with_filters(handler, filters_of(looking_at_red(gate), timeout_ms=60_000)), LATE)
    assert (status, refused["error"]["code"]) == (504, "deadline_exceeded")


def striped(size: tuple[int, int] = (64, 48)) -> bytes:
    """Columns that are black and white by turns."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, ::2] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


async def segment(items: Sequence[ImageArray]) -> list[list[Row]]:
    maps: Row = {"region_map": np.ones((48, 64), np.uint8), "foreground": np.zeros((48, 64), np.float32)}
    probabilities = np.full(3, 1 / 3, np.float32)
    return [[{"probabilities": probabilities, "logits": probabilities} | maps for _ in item] for item in items]


def overlay_of(handler: RequestHandler, query: bytes) -> tuple[int, bytes]:
    messages: list[Message] = [{"type": "http.request", "body": striped(), "more_body": False}]
    answer: list[Message] = []

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    async def send(message: Message) -> None:
        answer.append(message)

    async def scenario() -> None:
        scope = {
            "type": "http", "method": "POST", "path": "/segment", "query_string": query,
            "headers": [(b"content-type", b"image/png")],
        }  # fmt: skip
        await app_of(handler, segment)(scope, receive, send)

    asyncio.run(scenario())
    return answer[0]["status"], answer[1]["body"]


def test_what_a_filter_blurs_shows_nothing_in_the_overlay_and_the_rest_is_as_it_was(metrics: ServiceMetrics) -> None:
    seen: list[tuple[int, ...]] = []

    def look(pixels: ImageArray, answer: Prediction) -> Seen[Prediction]:
        seen.append(pixels.shape)
        return Seen(answer, blurred=[(16, 12, 48, 36)])

    contract = segmentation_contract()
    plain = make_handler(metrics, contract=contract)
    handler = with_filters(plain, filters_of(look, contract, when="overlay"))
    (_, before), (status, after) = (overlay_of(one, b"overlay=1") for one in (plain, handler))
    assert (status, seen) == (200, [(48, 64, 3)])
    pixels, was = (np.asarray(Image.open(io.BytesIO(data)).convert("L"), np.float64) for data in (after, before))
    scale = pixels.shape[0] // 48
    inside = np.zeros_like(pixels, bool)
    inside[12 * scale : 36 * scale, 16 * scale : 48 * scale] = True
    assert was[inside].std() > 100
    assert pixels[inside].std() < 20
    assert (pixels[~inside] == was[~inside]).all()
    assert overlay_of(handler, b"")[0] == 200
    assert len(seen) == 1, "an answer in JSON shows no picture"


def test_pipeline_withholds_what_its_detectors_filter_withholds(models: Models) -> None:
    shapes: list[tuple[int, ...]] = []

    def look(pixels: ImageArray, answer: Prediction) -> Seen[Prediction]:
        shapes.append(pixels.shape)
        return Seen(answer.model_copy(update={"marks": ("seen",)}))

    def change(look: Look) -> Callable[[Handlers], None]:
        def add(handlers: Handlers) -> None:
            assert handlers.pipeline
            detector = handlers.pipeline.detector
            filters = filters_of(look, detector.served.contract)
            pipeline = replace(
                handlers.pipeline,
                detector=with_filters(detector, filters),
                reading=replace(handlers.pipeline.reading, keeps_files=True),
            )
            handlers.by_api["detect"] = replace(handlers.by_api["detect"], pipeline=pipeline)  # type: ignore[type-var]

        return add

    [result] = ask(models, ["detection", "crop-classification"], TWO, change=change(look))
    assert (result.marks, shapes, len(result.classifications)) == (("seen",), [(72, 96, 3)], 2)
    with pytest.raises(AssertionError, match=r"withheld.*not this one"):
        ask(models, ["detection"], TWO, change=change(lambda _, answer: Seen(answer, withheld="not this one")))
