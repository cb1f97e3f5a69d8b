"""The image for CPUs is small, runs with nothing to write but /tmp, not as root, and ends without losing a request.

`make test-container` runs it, with podman; what it prints belongs in docs/CONTAINERIZE.md.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from benchmarks.load.server_process import free_port
from tests.bento_project import Project, copy_project, write_pictures
from tests.service.drain_load import NUM_CLIENTS, Load
from tests.service.slow_model import register_slow_model
from tests.service.waiting import wait_for

pytestmark = pytest.mark.skipif("BENTO_VISION_TEST_CONTAINER" not in os.environ, reason="`make test-container` runs it")

IMAGE, CONTAINER = "localhost/vision-test:cpu", f"vision-test-{os.getpid()}"
MAX_BYTES = 450e6
GRACE_S = 1.0
NOT_THERE = ("gcc", "cc", "g++", "make", "git", "uv")


def podman(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()


def in_container(*command: str) -> int:
    return subprocess.run(["podman", "exec", CONTAINER, *command], capture_output=True).returncode


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy_project(tmp_path_factory.mktemp("image"))
    register_slow_model(project)
    built = project.build()
    assert built.returncode == 0, built.stderr
    return project


@pytest.fixture(scope="module")
def image(project: Project) -> str:
    options = ("--backend", "podman", "--opt", "network=host", "--opt", "format=docker", "-t", IMAGE)
    began_s = time.monotonic()
    command = [sys.executable, "-m", "bentoml", "containerize", "vision:latest", *options]
    # From where temporary files lie, as the Makefile does: BentoML reads no Dockerfile from outside the current folder.
    folder = tempfile.gettempdir()
    done = subprocess.run(command, cwd=folder, env=project.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    sys.stdout.write(f"\nbuilt in {time.monotonic() - began_s:.0f} s\n")
    return IMAGE


@contextmanager
def running(image: str) -> Iterator[int]:
    """Run the image as a careful operator would; yields the port once it is ready."""
    port = free_port()
    settings = {
        "BENTOML_HOST": "127.0.0.1", "BENTOML_PORT": port, "VISION_SESSIONS": 1, "VISION_DEADLINE_MS": 60000,
        "VISION_DRAIN_GRACE_S": GRACE_S,
    }  # fmt: skip
    variables = [word for name, value in settings.items() for word in ("-e", f"{name}={value}")]
    guards = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=host")
    began_s = time.monotonic()
    podman("run", "-d", "--name", CONTAINER, *guards, *variables, image)
    try:
        wait_for(lambda: is_ready(port) or not is_running(), "the container")
        assert is_running(), podman("logs", CONTAINER)
        sys.stdout.write(f"ready after {time.monotonic() - began_s:.1f} s\n")
        yield port
    finally:
        podman("rm", "-f", CONTAINER)


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=60).status_code == 200
    except httpx.TransportError:
        return False


def is_running() -> bool:
    return podman("inspect", CONTAINER, "--format", "{{.State.Running}}") == "true"


def test_image_is_small_and_holds_no_compiler_and_no_training_package(image: str) -> None:
    size = int(podman("image", "inspect", image, "--format", "{{.Size}}"))
    base = int(podman("image", "inspect", "python:3.11-slim", "--format", "{{.Size}}"))
    sys.stdout.write(f"{size / 1e6:.0f} MB, of which {base / 1e6:.0f} MB are the base image\n")
    assert size < MAX_BYTES
    inside = "import importlib.util as u, shutil; print([n for n in {} if shutil.which(n)], u.find_spec('torch'))"
    said = podman("run", "--rm", "--network=host", "--entrypoint", "python", image, "-c", inside.format(NOT_THERE))
    assert said == "[] None"
    assert podman("image", "inspect", image, "--format", "{{.User}}") == "1034"


def test_read_only_container_answers_and_ends_without_losing_a_request(image: str, tmp_path: Path) -> None:
    picture = write_pictures(tmp_path)["green"].read_bytes()
    with running(image) as port:
        answer = httpx.post(f"http://127.0.0.1:{port}/predict", content=picture, timeout=60)
        assert answer.json()[0]["label"] == "green"
        assert in_container("touch", "/tmp/x") == 0
        for path in ("/x", "/home/bentoml/x", "/app/.venv/x"):
            assert in_container("touch", path) != 0
        check = podman("inspect", CONTAINER, "--format", "{{index .Config.Healthcheck.Test 1}}")
        assert in_container("sh", "-c", check) == 0
        load = Load(port, picture)
        load.start()
        wait_for(lambda: len(load.outcomes) > NUM_CLIENTS, "answers")
        asked_s = time.monotonic()
        podman("kill", "--signal", str(int(signal.SIGTERM)), CONTAINER)
        wait_for(lambda: not is_running(), "its end")
        took_s = time.monotonic() - asked_s
        counts = load.assert_none_lost_since(asked_s, GRACE_S)
        sys.stdout.write(f"ended {took_s:.1f} s after SIGTERM: {counts}\n")
        assert podman("inspect", CONTAINER, "--format", "{{.State.ExitCode}}") == "0"
