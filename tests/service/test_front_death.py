"""What it costs when an inference worker or a front is killed: clear 503s, nothing left behind, and it comes back."""

import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from demo import serving
from tests.bento_project import copy_project
from tests.service.requests import code_and_index
from tests.service.slow_model import register_slow_model
from tests.service.test_batching import files
from tests.service.waiting import PATIENCE_S, num_queued, wait_for, wait_until_idle

pytestmark = pytest.mark.slow

SETTINGS = {
    "VISION_FRONT_WORKERS": "2",
    "VISION_SESSIONS": "1",
    "VISION_MAX_BATCH_IMAGES": "1",
    "VISION_DEADLINE_MS": "60000",  # no deadline hides that somebody waits
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    project = copy_project(tmp_path_factory.mktemp("death"))
    register_slow_model(project)
    with serving("service:Vision", project.folder, {**project.environment, **SETTINGS}) as url:
        yield url


def children_of_server(url: str) -> dict[str, list[Path]]:
    """Processes of the server in /proc, by BentoML's name of the service they run."""
    port = str(urlsplit(url).port).encode()
    found: dict[str, list[Path]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone in between
            if {b"serve", port} <= set((process / "cmdline").read_bytes().split(b"\0")):
                for child in (process / "task" / process.name / "children").read_text().split():
                    words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                    if b"--service-name" in words:  # not one that has ended and is not yet reaped
                        name = words[words.index(b"--service-name") + 1].decode()
                        found.setdefault(name, []).append(Path(f"/proc/{child}"))
    return found


def open_files(process: Path) -> list[str]:
    links = []
    for link in (process / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed in between
            links.append(str(link.readlink()))
    return links


def has_started(front: Path) -> bool:
    return any(name.endswith(".load") for name in open_files(front))


def num_ties(fronts: list[Path]) -> int:
    """Sockets and load pages that fronts hold; other files a front opens when it first needs them."""
    names = [name for front in fronts for name in open_files(front)]
    return sum(name.startswith("socket:") or name.endswith(".load") for name in names)


@contextmanager
def stopped(process_id: int) -> Iterator[None]:
    """The server's first process, which starts workers again, waits meanwhile: else all may be over unseen."""
    os.kill(process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process_id, signal.SIGCONT)


def parent_of(process: Path) -> int:
    return int(re.findall(r"^PPid:\s*(\d+)$", (process / "status").read_text(), re.MULTILINE)[0])


def refusal(url: str) -> httpx.Response:
    """Ask until a front refuses. One that does not know yet that its worker died lets the request wait for the next."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        with suppress(httpx.ReadTimeout):
            response = httpx.post(f"{url}/predict", files=files(), timeout=5)
            assert response.status_code == 503, "nobody is there to compute"
            return response
    raise AssertionError("no front noticed that the worker died")


def test_inference_worker_that_is_killed_costs_503s_and_comes_back(url: str) -> None:
    wait_until_idle(url)
    processes = children_of_server(url)
    assert {name: len(found) for name, found in processes.items()} == {"vision": 2, "vision-inference-0": 1}
    [worker] = processes["vision-inference-0"]
    fronts = processes["vision"]
    wait_for(lambda: all(map(has_started, fronts)), "both fronts to find the worker")
    ties_before = num_ties(fronts)
    with ThreadPoolExecutor(6) as pool:
        in_flight = [pool.submit(httpx.post, f"{url}/predict", files=files(4), timeout=300) for _ in range(6)]
        wait_for(lambda: num_queued(url) > 0, "a queue")
        with stopped(parent_of(worker)):
            os.kill(int(worker.name), signal.SIGKILL)
            responses = [refusal(url)]
        responses += [future.result() for future in in_flight]
    lost = [response for response in responses if response.status_code != 200]
    assert len(lost) > 1  # those that the worker had, too
    for response in lost:
        assert (response.status_code, *code_and_index(response)) == (503, "inference_unavailable", None)
        assert int(response.headers["retry-after"]) >= 1
    wait_for(lambda: httpx.get(f"{url}/readyz", timeout=PATIENCE_S).status_code == 200, "readiness")
    assert httpx.post(f"{url}/predict", files=files(), timeout=PATIENCE_S).status_code in {
        503,
        200,
    }  # a front may be behind
    wait_until_idle(url)
    # Connections that are kept are closed after some seconds.
    wait_for(lambda: num_ties(fronts) <= ties_before + 2, "the fronts to let go of the dead worker")
    assert num_queued(url) == 0
    [again] = children_of_server(url)["vision-inference-0"]
    assert again != worker


def test_front_that_is_killed_is_started_again_and_the_worker_stays(url: str) -> None:
    wait_until_idle(url)
    processes = children_of_server(url)
    killed = processes["vision"][0]
    os.kill(int(killed.name), signal.SIGKILL)
    wait_for(lambda: len(set(children_of_server(url).get("vision", [])) - {killed}) == 2, "another front")
    for _ in range(4):
        assert httpx.post(f"{url}/predict", files=files(), timeout=PATIENCE_S).status_code == 200
    assert children_of_server(url)["vision-inference-0"] == processes["vision-inference-0"]
