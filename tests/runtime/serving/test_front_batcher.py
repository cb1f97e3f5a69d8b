"""A front and two inference workers over unix sockets: who is asked, what is answered, and what a death costs.

The workers' real application and uvicorn run here on one event loop; tests/service has them as processes.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
import uvicorn

from runtime.answers.filters import FilterChain
from runtime.answers.outputs import stack_rows
from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.answers.results import ModelIdentity, to_predictions
from runtime.model.contract import OutputSpec
from runtime.model.image import ImageArray
from runtime.model.session import Predictor
from runtime.serving.fronts.front_batcher import FrontBatcher
from runtime.serving.fronts.inference_client import InferenceWorker
from runtime.serving.fronts.inference_wire import InferenceReply, LoadPage, load_page_path
from runtime.serving.fronts.inference_worker import InferenceApp
from runtime.serving.served_model import ServedModel
from runtime.serving.settings import ServingSettings
from tests.onnx_fixture import COLOURS, tiny_contract, write_tiny_model
from tests.onnx_segmenter import GREY, REGION_COLOURS, write_segmenter

RED, GREEN = (np.full((1, 16, 24, 3), COLOURS[name], np.uint8) for name in ("red", "green"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    folder = tmp_path_factory.mktemp("model")
    contract = write_tiny_model(folder, tiny_contract(classes=("red", "green", "blue")))
    predictor = Predictor.load(folder, "cpu", threads=1)
    identity = ModelIdentity(name="m", version="1", sha256=predictor.sha256)
    return ServedModel(contract, identity, ServingSettings(max_queued_images=32), FilterChain(), predictor)


def never(*_arguments: object) -> None:
    raise AssertionError("a front computes nothing")


class UnsignalledServer(uvicorn.Server):
    """Leaves signals to the tests: of several servers in a process, each restores what it found, in any order."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


@asynccontextmanager
async def serving(
    served: ServedModel, socket_path: Path, beside: Sequence[ServedModel] = ()
) -> AsyncIterator[uvicorn.Server]:
    app = InferenceApp(lambda: [served, *beside], socket_path)
    server = UnsignalledServer(uvicorn.Config(app, uds=str(socket_path), log_config=None, timeout_graceful_shutdown=5))
    task = asyncio.create_task(server.serve())
    try:
        yield server
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def connected(served: ServedModel, *paths: Path, sha256: str = "") -> AsyncIterator[FrontBatcher]:
    workers = [InferenceWorker(path, sha256 or served.identity.sha256) for path in paths]
    front = FrontBatcher(served, workers)
    starting = asyncio.create_task(front.start())
    try:
        yield front
    finally:
        starting.cancel()
        await front.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def ask(front: FrontBatcher, images: ImageArray, deadline_s: float = 20) -> list[str]:
    outcome = await front.submit(images, never, deadline_s)
    assert outcome.batch_images >= len(images)
    answers = to_predictions(stack_rows(outcome.answers), front.served.contract, front.served.identity)
    return [answer.label if answer else "" for answer in answers]


def run(scenario: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scenario

    asyncio.run(bounded())


def test_requests_are_answered_in_their_order_by_whoever_has_least_to_do(served: ServedModel, tmp_path: Path) -> None:
    async def scenario() -> None:
        paths = [tmp_path / "a.sock", tmp_path / "b.sock"]
        async with serving(served, paths[0]), serving(served, paths[1]), connected(served, *paths) as front:
            await until(lambda: all(worker.is_up for worker in front.workers))
            both = np.concatenate([GREEN, RED])
            answers = await asyncio.gather(*(ask(front, both if i % 2 else RED) for i in range(20)))
            assert answers == [["green", "red"] if i % 2 else ["red"] for i in range(20)]
            LoadPage.create(load_page_path(paths[0], served.identity.sha256)).write(20, 0.5)
            assert front._choose() is front.workers[1]
            LoadPage.create(load_page_path(paths[1], served.identity.sha256)).write(30, 0.7)
            assert front._choose() is front.workers[0]

    run(scenario())


def test_front_refuses_before_decoding_by_what_the_workers_page_says(served: ServedModel, tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "a.sock"
        async with serving(served, path), connected(served, path) as front:
            await until(lambda: front.is_ready)
            front.refuse_if_full(deadline_s=1)
            LoadPage.create(load_page_path(path, served.identity.sha256)).write(31, 2.4)
            with pytest.raises(RequestRefused, match=r"the wait would be 2.4 s") as refused:
                front.refuse_if_full(deadline_s=1)
            assert refused.value.retry_after_s == 3  # after 2 s it would be refused again
            front.refuse_if_full(deadline_s=3)
            front.num_arriving = 1
            with pytest.raises(RequestRefused, match="31 images wait, at most 32 may") as full:
                front.refuse_if_full(deadline_s=3)
            assert full.value.retry_after_s == 3

    run(scenario())


def test_worker_that_ends_is_left_out_and_taken_back(served: ServedModel, tmp_path: Path) -> None:
    async def scenario() -> None:
        path, other = tmp_path / "a.sock", tmp_path / "b.sock"
        async with serving(served, other) as going, connected(served, path, other) as front:
            async with serving(served, path):
                await until(lambda: all(worker.is_up for worker in front.workers))
            await until(lambda: not front.workers[0].is_up)
            assert await ask(front, RED) == ["red"]
            assert front.is_ready
            going.should_exit = True
            await until(lambda: not front.is_ready)
            assert front.is_alive  # it may come back
            for ask_in_vain in (lambda: ask(front, RED), lambda: asyncio.to_thread(front.refuse_if_full, 1)):
                with pytest.raises(RequestRefused, match="is being started again") as refused:
                    await ask_in_vain()
                assert (refused.value.code, refused.value.retry_after_s) == (RequestErrorCode.UNAVAILABLE, 2)
            async with serving(served, path):
                await until(lambda: front.is_ready)
                assert await ask(front, GREEN) == ["green"]

    run(scenario())


def test_worker_of_another_model_is_never_asked(served: ServedModel, tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "a.sock"
        async with serving(served, path) as server, connected(served, path, sha256="0" * 64) as front:
            await until(lambda: server.server_state.total_requests > 0)
            assert not front.is_ready
            reply = await front.workers[0].infer(RED, 1e9)
            assert (reply.status, reply.headers["x-code"]) == (503, "inference_unavailable")
            with pytest.raises(RequestRefused, match="the inference worker serves") as refused:
                front._read(reply)
            assert (refused.value.code, refused.value.retry_after_s) == (RequestErrorCode.UNAVAILABLE, 2)

    run(scenario())


def test_worker_of_two_models_answers_each_fronts_own(served: ServedModel, tmp_path: Path) -> None:
    contract = write_segmenter(tmp_path / "segmenter")
    predictor = Predictor.load(tmp_path / "segmenter", "cpu", threads=1)
    identity = ModelIdentity(name="s", version="1", sha256=predictor.sha256)
    segmenter = ServedModel(contract, identity, served.settings, FilterChain(), predictor)
    images = np.full((2, contract.height, contract.width, 3), REGION_COLOURS["red"], np.uint8)
    images[1] = GREY

    async def scenario() -> None:
        path = tmp_path / "a.sock"
        both = serving(served, path, beside=[segmenter])
        async with both, connected(served, path) as front, connected(segmenter, path) as other:
            await until(lambda: front.is_ready and other.is_ready)
            labels, outcome = await asyncio.gather(ask(front, RED), other.submit(images, never, 20))
            assert labels == ["red"]
            got, expected = stack_rows(outcome.answers), predictor.predict(images)
            assert list(got) == list(expected)
            assert all(np.array_equal(got[name], expected[name]) for name in expected)
            LoadPage.create(load_page_path(path, identity.sha256)).write(32, 0.5)
            front.refuse_if_full(deadline_s=1)
            with pytest.raises(RequestRefused, match="32 images wait"):
                other.refuse_if_full(deadline_s=1)

    run(scenario())


def test_deadline_that_has_passed_or_passes_is_no_answer(served: ServedModel, tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "a.sock"
        async with serving(served, path), connected(served, path) as front:
            await until(lambda: front.is_ready)
            for deadline_s in (0.0, 1e-6):
                with pytest.raises(RequestRefused, match="deadline") as refused:
                    await front.submit(RED, never, deadline_s)
                assert refused.value.code == RequestErrorCode.DEADLINE_EXCEEDED
            assert front.workers[0].num_in_flight == 0
            assert await ask(front, RED) == ["red"]

    run(scenario())


def test_reply_of_outputs_of_any_shape_survives_its_bytes() -> None:
    rng = np.random.default_rng(0)
    specs = {"region_map": OutputSpec((3, 5), "uint8"), "masks": OutputSpec((2, 4, 6)), "scores": OutputSpec(())}
    outputs = {name: (255 * rng.random((5, *spec.shape))).astype(spec.dtype) for name, spec in specs.items()}
    data = InferenceReply(outputs, 0.25, 0.5, 7).to_bytes()
    again = InferenceReply.from_bytes(data, specs)
    assert list(again.outputs) == list(outputs)
    assert all(np.array_equal(again.outputs[name], output) for name, output in outputs.items())
    assert {name: output.dtype for name, output in again.outputs.items()} == {n: s.dtype for n, s in specs.items()}
    assert (again.wait_s, again.inference_s, again.batch_images) == (0.25, 0.5, 7)
    with pytest.raises(ValueError, match="no whole rows of 211"):
        InferenceReply.from_bytes(data[:-4], specs)
