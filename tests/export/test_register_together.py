"""Jobs that end at the same time register at the same time: each pair is whole, and the newest is one of them."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from export.register import Sources
from runtime.model.hashing import file_sha256
from tests.onnx_fixture import write_sources

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parent.parent.parent
NUM_JOBS = 3
WAIT_TIMEOUT_S = 600  # far above what three starts take: a job that hangs fails the test, a slow machine does not


def test_models_that_are_registered_at_once_are_all_there_and_whole(tmp_path: Path) -> None:
    home = tmp_path / "home"
    sources = [write_sources(tmp_path / f"job{number}", scale=8.0 + number) for number in range(NUM_JOBS)]
    with registering(sources, home) as jobs:
        said = [job.communicate() for job in jobs]
    assert [job.returncode for job in jobs] == [0] * NUM_JOBS, said
    classifiers, checkpoints = (home / "models" / name for name in ("vision-classifier", "vision-checkpoint"))
    versions = {path.name for path in classifiers.iterdir() if path.is_dir()}
    assert versions == {path.name for path in checkpoints.iterdir() if path.is_dir()}
    found = {file_sha256(classifiers / version / "model.onnx") for version in versions}
    assert found == {file_sha256(one.export_dir / "model.onnx") for one in sources}
    assert (classifiers / "latest").read_text() == (checkpoints / "latest").read_text()
    assert (classifiers / "latest").read_text() in versions
    assert not [path for path in (home / "tmp").iterdir() if path.is_dir()]


@contextmanager
def registering(sources: list[Sources], home: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Start a job for each, and let them go on together once each waits for the store's lock, which is held here."""
    (home / "tmp").mkdir(parents=True)
    jobs = []
    try:
        with (home / "tmp/vision-register.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            jobs = [start(one, home) for one in sources]
            deadline = time.monotonic() + WAIT_TIMEOUT_S
            while not all(waits_for_a_lock(job) for job in jobs):
                assert time.monotonic() < deadline, "no job asks for the lock"
                time.sleep(0.05)
        yield jobs
    finally:
        for job in jobs:
            job.kill()
            job.communicate()


def start(one: Sources, home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "export.register"),
            *("--checkpoint", str(one.checkpoint), "--export", str(one.export_dir)),
            *("--evaluation", str(one.evaluation_dir), "--card", str(one.card)),
            *("--predictions", str(one.predictions), "--data", str(one.data_dir)),
            *("--comparison", str(home / "comparison")),
        ],
        cwd=REPOSITORY, env={**os.environ, "BENTOML_HOME": str(home)}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def waits_for_a_lock(job: subprocess.Popen[str]) -> bool:
    """As the kernel has it. A job that has ended did not wait."""
    assert job.poll() is None, job.communicate()
    locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return any(fields[1] == "->" and fields[5] == str(job.pid) for fields in locks)
