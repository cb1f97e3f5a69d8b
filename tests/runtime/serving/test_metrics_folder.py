"""Each server's metrics lie in a folder of its own, which is there as long as any of its processes lives."""

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.serving.prometheus import metrics_folder
from runtime.serving.prometheus.metrics_folder import FOLDER_VARIABLE, ROOT_NAME, make_metrics_folder

ROOT = Path(__file__).parents[3]
MAKE = "from pathlib import Path; from runtime.serving.prometheus.metrics_folder import *; import os, sys; "
SERVER = MAKE + "print(make_metrics_folder(Path(sys.argv[1])), flush=True); input()"
WORKER = MAKE + "use_metrics_folder(); print(os.environ['PROMETHEUS_MULTIPROC_DIR'], flush=True); input()"
COPY = MAKE + "print(make_metrics_folder(Path(sys.argv[1])), flush=True)\nif os.fork(): os.wait(); os._exit(0)"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Folders made in this process are forgotten, as if it had ended."""
    monkeypatch.setenv(FOLDER_VARIABLE, "")
    locks: list[int] = []
    monkeypatch.setattr(metrics_folder, "_locks", locks)
    monkeypatch.setattr("atexit.register", lambda *_: None)
    yield
    for lock in locks:
        os.close(lock)


def start(words: str, *arguments: object, **variables: str) -> tuple["subprocess.Popen[str]", Path]:
    """Start a process that says which folder it uses and lives until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", words, *map(str, arguments)], cwd=ROOT, env={**os.environ, **variables}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def end(process: "subprocess.Popen[str]") -> None:
    process.communicate()
    assert process.returncode is not None


def test_folders_of_two_servers_are_apart_and_the_first_stays(tmp_path: Path) -> None:
    first = make_metrics_folder(tmp_path)
    (first / "counter_1.db").touch()
    second = make_metrics_folder(tmp_path)
    assert first != second
    assert first.parent == second.parent == tmp_path / ROOT_NAME
    assert (first / "counter_1.db").exists()
    assert os.environ[FOLDER_VARIABLE] == str(second)


def test_a_server_removes_its_folder_at_its_end_and_a_copy_of_its_process_does_not(tmp_path: Path) -> None:
    server, folder = start(SERVER, tmp_path)
    assert folder.is_dir()
    end(server)
    assert not folder.exists()
    copied, folder = start(COPY, tmp_path)
    end(copied)
    assert folder.is_dir()


def test_what_a_killed_server_left_is_removed_once_none_of_its_processes_lives(tmp_path: Path) -> None:
    server, folder = start(SERVER, tmp_path)
    worker, same = start(WORKER, **{FOLDER_VARIABLE: str(folder)})
    assert same == folder
    (folder / "counter_1.db").touch()
    server.kill()
    end(server)
    make_metrics_folder(tmp_path)
    assert (folder / "counter_1.db").exists()  # a worker lives on, whoever started it
    worker.kill()
    end(worker)
    make_metrics_folder(tmp_path)
    assert not folder.exists()


def test_a_folder_that_nobody_had_time_to_lock_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / ROOT_NAME / "server-x"
    folder.mkdir(parents=True)
    make_metrics_folder(tmp_path)
    assert not folder.exists()


def test_other_files_beside_them_are_left_alone(tmp_path: Path) -> None:
    other = tmp_path / ROOT_NAME / "mine"
    other.mkdir(parents=True)
    make_metrics_folder(tmp_path)
    assert other.is_dir()


def test_home_that_cannot_be_written_is_replaced_by_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = make_metrics_folder(tmp_path / "home")
    assert folder.parent == tmp_path / f"{ROOT_NAME}_{os.getuid()}"


def test_home_on_a_file_system_without_locks_is_replaced_and_left_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, flock = tmp_path / "home", fcntl.flock

    def refuse_in_home(file: int, kind: int) -> None:
        if Path(f"/proc/self/fd/{file}").readlink().is_relative_to(home):
            raise OSError("no locks available")
        flock(file, kind)

    monkeypatch.setattr("fcntl.flock", refuse_in_home)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert make_metrics_folder(home).parent == tmp_path / f"{ROOT_NAME}_{os.getuid()}"
    assert list((home / ROOT_NAME).iterdir()) == []


def test_a_process_that_no_server_started_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    metrics_folder.use_metrics_folder()
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
