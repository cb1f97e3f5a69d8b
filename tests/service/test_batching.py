"""Waiting, overload, deadlines and departures with a real server whose model takes about 0.1 s an image."""

import asyncio
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest

from benchmarks.load.server_process import STOP_TIMEOUT_S
from demo import serving
from tests.bento_project import Project, copy_project
from tests.service.metrics_page import read_metrics, total
from tests.service.requests import png, stage_times_ms
from tests.service.slow_model import IMAGE_S, register_slow_model
from tests.service.waiting import PATIENCE_S, num_queued, wait_for, wait_until_idle

pytestmark = pytest.mark.slow

DEADLINE_S = 3
MANY = 200  # images: far more than the deadline allows
LONE_REQUESTS = 5
ORIGIN = "https://app.example.com"
SETTINGS = {
    "VISION_SESSIONS": "1",
    "VISION_MAX_BATCH_IMAGES": "1",
    "VISION_MAX_QUEUED_IMAGES": str(MANY),
    "VISION_MAX_IMAGES_PER_REQUEST": str(MANY),
    "VISION_DEADLINE_MS": str(DEADLINE_S * 1000),
    "VISION_CORS_ORIGINS": ORIGIN,
}
BLOCKER = 40  # images: they keep the one session busy for as long as a test has something to do meanwhile
IN_FLIGHT = 16  # images: long enough to be seen, and far from STOP_TIMEOUT_S
PATIENT = {"VISION_DEADLINE_MS": str(PATIENCE_S * 1000)}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy_project(tmp_path_factory.mktemp("batching"))
    register_slow_model(project)
    return project


@pytest.fixture(scope="module")
def environment(project: Project) -> dict[str, str]:
    return {**project.environment, **SETTINGS}


@pytest.fixture(scope="module")
def url(project: Project, environment: dict[str, str]) -> Iterator[str]:
    with serving("service:Vision", project.folder, environment) as url:
        yield url


@pytest.fixture(scope="module")
def patient(project: Project, environment: dict[str, str]) -> Iterator[tuple[str, Callable[[], None]]]:
    """A server where requests may wait for long: its address, and what stops it, for the last of its tests to call."""
    with ExitStack() as running:
        yield running.enter_context(serving("service:Vision", project.folder, environment | PATIENT)), running.close


def files(num_images: int = 1) -> list[tuple[str, bytes]]:
    return [("images", png())] * num_images


def computed(url: str) -> float:
    """Images that went through the model."""
    return total(read_metrics(url), "vision_batch_images_sum")


def test_overload_is_refused_at_once_and_every_request_is_answered(url: str) -> None:
    async def burst(num_requests: int) -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=num_requests)
        page = {"Origin": ORIGIN}
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S, limits=limits, headers=page) as client:
            return list(await asyncio.gather(*(client.post("/predict", files=files()) for _ in range(num_requests))))

    wait_until_idle(url)
    responses = asyncio.run(burst(MANY + 40))
    statuses = Counter(response.status_code for response in responses)
    assert set(statuses) <= {200, 503, 504}
    assert statuses[200] > 1
    assert statuses[503] >= 20
    stages = [stage_times_ms(response) for response in responses if response.status_code == 200]
    # The deadline counts from the end of the body, however long a hundred bodies took to be read. Without it the last
    # of a full queue would wait for all before it.
    slowest = max(times["total"] - times["read"] for times in stages)
    assert slowest < MANY / 2 * statistics.median(times["inference"] for times in stages)
    for response in responses:
        if response.status_code == 503:
            assert response.json()["error"]["code"] == "overloaded"
            assert int(response.headers["retry-after"]) >= 1
        # Without it a browser's page would learn of no refusal, but of a broken network.
        assert response.headers["access-control-allow-origin"] == ORIGIN
    wait_until_idle(url)
    lone = [stage_times_ms(httpx.post(f"{url}/predict", files=files())) for _ in range(LONE_REQUESTS)]
    assert min(times["queue"] for times in lone) < 50  # nothing of the burst's waiting is left


def test_request_past_its_deadline_is_answered_with_504_and_the_rest_of_it_is_not_computed(url: str) -> None:
    wait_until_idle(url)
    before = computed(url)
    response = httpx.post(f"{url}/predict", files=files(MANY), timeout=PATIENCE_S)
    assert (response.status_code, response.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert DEADLINE_S - 0.1 < response.elapsed.total_seconds() < MANY / 2 * IMAGE_S
    wait_until_idle(url)
    assert computed(url) - before < MANY


def test_request_of_a_client_that_went_away_leaves_the_queue(patient: tuple[str, Callable[[], None]]) -> None:
    """One that has only finished sending looks the same to the server, and is answered."""
    url, _ = patient
    with ThreadPoolExecutor() as pool:
        before = computed(url)
        blocker = pool.submit(httpx.post, f"{url}/predict", files=files(BLOCKER), timeout=PATIENCE_S)
        wait_for(lambda: num_queued(url) > 0, "the blocker")
        half_closed = pool.submit(ask_and_finish_sending, url)
        asyncio.run(leave_once_queued(url, 2 * BLOCKER))
        gone = {"reason": "client_gone"}
        wait_for(lambda: total(read_metrics(url), "vision_refusals_total", **gone) == 1, "the departure to be noticed")
        assert num_queued(url) < 2 * BLOCKER  # as many as have gone; the blocker and the half-closed one are fewer
        assert not blocker.done()
        assert blocker.result().status_code == 200
        assert half_closed.result().startswith(b"HTTP/1.1 200 OK\r\n")
        wait_until_idle(url)
        # Of the request that went away at most what had its turn, an image for each of the blocker's, before it did.
        assert BLOCKER + 2 <= computed(url) - before < 2 * BLOCKER
        assert num_queued(url) == 0


def ask_and_finish_sending(url: str) -> bytes:
    """Send a request, close the side that sends as `nc -N` does, and return all that comes."""
    parts, body = urlsplit(url), png()
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S) as client:
        client.sendall(head.encode() + body)
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as answer:
            return answer.read()


async def leave_once_queued(url: str, num_images: int) -> None:
    """Send a request behind the blocker, of more images than the blocker's, and go away when it waits."""
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        request = asyncio.create_task(client.post(f"{url}/predict", files=files(num_images)))
        try:
            await asyncio.to_thread(wait_for, lambda: num_queued(url) >= num_images, "the request to wait")
        finally:
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)


def test_request_in_flight_is_answered_when_the_server_is_stopped(patient: tuple[str, Callable[[], None]]) -> None:
    url, stop = patient
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(httpx.post, f"{url}/predict", files=files(IN_FLIGHT), timeout=PATIENCE_S)
        wait_for(lambda: num_queued(url) > 0, "the request to wait")
        assert not answer.done()
        stopped_at = time.monotonic()
        stop()
        assert time.monotonic() - stopped_at < STOP_TIMEOUT_S  # it ended by itself
        assert answer.result().status_code == 200


UNKNOWN_BENTOML = """
import bentoml
bentoml.__version__ = "1.5.0"
import service
service.Vision.to_asgi()
"""


def test_unknown_bentoml_is_refused_and_the_message_names_the_one_to_install(project: Project) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNKNOWN_BENTOML],
        cwd=project.folder,
        env=project.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "it is version 1.5.0, we know 1.4.39. Install bentoml==1.4.39" in done.stderr
