"""Real runs under torchrun (gloo): any number of processes trains the same and measures the same."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runtime.model.cores import usable_cores
from tests.forking_python import forking_python
from training import launch
from training.run.checkpoint import Checkpoint

REPOSITORY = Path(__file__).parents[3]
TIMEOUT_S = 1800  # far above any run here


def torchrun(num_processes: int, *arguments: str) -> None:
    words = ["torch.distributed.run", "--standalone", f"--nproc-per-node={num_processes}", *arguments]
    done = forking_python().run(words, REPOSITORY, os.environ, TIMEOUT_S)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def results(tiny_tiles_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, Any]]]:
    """What every process of runs with 1, 2 and 3 processes computed."""
    found = {}
    for num_processes in (1, 2, 3):
        out = tmp_path_factory.mktemp(f"n{num_processes}")
        torchrun(num_processes, "-m", "tests.training.run.one_step", str(tiny_tiles_dir / "manifest.csv"), str(out))
        found[num_processes] = [json.loads(path.read_text()) for path in sorted(out.iterdir())]
        assert len(found[num_processes]) == num_processes
    return found


@pytest.mark.slow
def test_one_two_and_three_processes_measure_the_same(results: dict[int, list[dict[str, Any]]]) -> None:
    alone = results[1][0]
    assert sum(map(sum, alone["confusion"])) == 29
    assert len({tuple(row) for row in alone["confusion"]}) > 1
    for rank in [rank for ranks in results.values() for rank in ranks]:
        assert rank["confusion"] == alone["confusion"]
        assert rank["metrics"] == alone["metrics"]
        assert rank["losses"] == pytest.approx(alone["losses"], abs=1e-4)


@pytest.mark.slow
def test_one_two_and_three_processes_learn_the_same_from_a_batch(results: dict[int, list[dict[str, Any]]]) -> None:
    alone = results[1][0]["gradient"]
    assert max(map(abs, alone)) > 1e-3
    for rank in [rank for ranks in results.values() for rank in ranks]:
        assert rank["gradient"] == pytest.approx(alone, abs=1e-4 * max(map(abs, alone)))


@pytest.mark.slow
def test_a_run_of_two_processes_is_logged_once_and_ends_with_a_checkpoint(
    tiny_tiles_dir: Path, params_file: Path, tmp_path: Path
) -> None:
    arguments = [
        "--manifest",
        str(tiny_tiles_dir / "manifest.csv"),
        "--params",
        str(params_file),
        "--out",
        str(tmp_path),
    ]
    torchrun(2, "-m", "training.train", *arguments)
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2]
    checkpoint = Checkpoint.load(tmp_path / "checkpoint.pt")
    assert checkpoint.contract.lineage.mlflow_run_id == records[0]["run_id"] != ""
    assert checkpoint.metrics["val_macro_f1"] == max(record["val_macro_f1"] for record in records)


def _launch(num_processes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NPROC": str(num_processes)}
    return forking_python().run(["training.launch", *arguments], REPOSITORY, environment, TIMEOUT_S)


@pytest.mark.slow
def test_a_batch_that_processes_cannot_share_stops_all_with_one_message_and_no_traceback(
    tiny_tiles_dir: Path, params_file: Path, tmp_path: Path
) -> None:
    params_file.write_text(params_file.read_text().replace("batch_size: 12", "batch_size: 13"))
    manifest = str(tiny_tiles_dir / "manifest.csv")
    done = _launch(2, "training.train", "--manifest", manifest, "--params", str(params_file), "--out", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.count("which 2 processes cannot share evenly") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("who", ["all", "alone"])
def test_an_error_is_said_once_whichever_processes_meet_it(who: str) -> None:
    done = _launch(2, "tests.training.run.failing", who)
    assert done.returncode == 2
    assert done.stderr.count("failing: a picture is gone") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_crash_that_nobody_explained_is_shown_in_full() -> None:
    done = _launch(1, "no.such.module")
    assert done.returncode == 1
    assert "No module named 'no'" in done.stderr
    assert "ChildFailedError" in done.stderr


def test_a_wrong_number_of_processes_is_refused() -> None:
    environment = {**os.environ, "NPROC": "two"}
    done = forking_python().run(["training.launch", "training.train"], REPOSITORY, environment, TIMEOUT_S)
    assert done.returncode == 2
    assert "got NPROC=two" in done.stderr


SAY_THREADS = (
    "import torch; from training.process.distributed import worker\nwith worker(): print(torch.get_num_threads())"
)


@pytest.mark.parametrize(("asked", "expected"), [("1", 1), (None, usable_cores())])
def test_process_takes_the_threads_asked_for_or_all_cores(asked: str | None, expected: int) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment |= {"CUDA_VISIBLE_DEVICES": ""} | ({"OMP_NUM_THREADS": asked} if asked else {})
    said = subprocess.run([sys.executable, "-c", SAY_THREADS], cwd=REPOSITORY, env=environment, capture_output=True)
    assert int(said.stdout) == expected


def test_a_wrong_number_of_restarts_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NPROC", "1")
    for words in (["--max-restarts", "training.train"], ["--max-restarts", "-1", "training.train"], ["--max-restarts"]):
        assert launch.main(words) == 2
        assert "usage: NPROC=1 python -m training.launch [--max-restarts N] MODULE" in capsys.readouterr().err
