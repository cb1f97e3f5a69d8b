"""One cluster for a worker's Slurm tests, and checkouts of the project to submit from."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, running_cluster, why_not

REPOSITORY = Path(__file__).parent.parent.parent
OWN = (".git", "artifacts", "data", "logs", "mlruns", "mlflow.db")  # of a checkout: not shared with the repository's
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "OUT_OF_MEMORY"}
JOB_TIMEOUT_S = 1800  # far above any job here: a job that hangs fails the test, a slow machine does not


@dataclass(frozen=True)
class Project:
    """A folder that looks like a checkout, with data, artifacts and logs of its own, and a cluster to submit to."""

    folder: Path
    cluster: Cluster

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        environment = {**self.cluster.environment, "BENTOML_HOME": str(self.folder / "bentoml")}
        environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{self.folder / 'mlflow.db'}"
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)
        assert not check or done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done

    def submit(self, *arguments: str) -> str:
        return self.run("sbatch", "--parsable", *arguments).stdout.strip()

    def fields(self, job: str) -> dict[str, str]:
        """What Slurm says of a job or of one task of an array."""
        words = self.run("scontrol", "show", "job", "-o", job).stdout.split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def finish(self, job: str) -> str:
        """Wait until a job has ended for good and return its state."""
        self.wait(lambda: self.state(job) in ENDED, f"job {job}")
        return self.state(job)

    def wait_requeued(self, job: str, restarts: int = 1) -> None:
        """Wait until Slurm has put a job back into the queue for the time given."""

        def is_requeued() -> bool:
            fields = self.fields(job)
            if fields["Restarts"] == str(restarts):
                return True
            assert fields["JobState"] not in ENDED, f"{fields['JobState']} instead of requeued\n{self.logs()}"
            return False

        self.wait(is_requeued, f"the requeue of job {job}")

    def state(self, job: str) -> str:
        return self.fields(job)["JobState"]

    def wait(self, is_so: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + JOB_TIMEOUT_S
        while not is_so():
            assert time.monotonic() < deadline, f"waited too long for {what}\n{self.logs()}\n{self.cluster.logs()}"
            time.sleep(0.2)

    def logs(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text()[-4000:]}" for log in sorted(self.folder.glob("logs/*")))


@contextmanager
def hold_readers(project: Project, fifo: Path) -> Iterator[int]:
    """Wait until a process reads a FIFO, and have it wait for what is written to the descriptor that this gives."""
    writers: list[int] = []

    def is_read() -> bool:
        with suppress(OSError):  # nobody reads
            writers.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        return bool(writers)

    project.wait(is_read, f"somebody to read {fifo}")
    try:
        yield writers[0]
    finally:
        os.close(writers[0])


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if reason := why_not():
        pytest.skip(f"SLURM IS NOT TESTED HERE: {reason}")
    with running_cluster() as running:
        yield running


@pytest.fixture
def project(cluster: Cluster, tmp_path: Path) -> Iterator[Project]:
    """A checkout for one test."""
    yield _checkout(tmp_path, cluster)
    _clear(cluster)


@pytest.fixture(scope="module")
def module_project(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A checkout for the tests of one file, which build on each other's files."""
    yield _checkout(tmp_path_factory.mktemp("module"), cluster)
    _clear(cluster)


def _checkout(parent: Path, cluster: Cluster) -> Project:
    folder = parent / "project"
    folder.mkdir()
    # Copied, for BentoML packs no links; what is no part of the project, such as caches, stays where it is.
    for entry in REPOSITORY.iterdir():
        if entry.is_dir() and not entry.name.startswith(".") and entry.name not in OWN:
            shutil.copytree(entry, folder / entry.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif entry.is_file() and entry.name not in OWN:
            shutil.copy2(entry, folder)
    (folder / ".venv").symlink_to(REPOSITORY / ".venv")
    (folder / "logs").mkdir()
    return Project(folder, cluster)


def _clear(cluster: Cluster) -> None:
    """Leave a cluster as the next test wants it: all nodes there, no job."""
    subprocess.run(["scancel", "--me", "--quiet"], env=cluster.environment, timeout=120)
    for node in cluster.dead_nodes():
        cluster.start_node(node)
    cluster.wait_idle()


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
