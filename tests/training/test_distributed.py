"""Real runs under torchrun (gloo): any number of processes trains the same and measures the same."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from training.checkpoint import Checkpoint

REPOSITORY = Path(__file__).parent.parent.parent


def torchrun(num_processes: int, *arguments: str, status: int = 0) -> str:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_processes}"]
    done = subprocess.run([*command, *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert (done.returncode == 0) == (status == 0), done.stderr[-3000:]
    return done.stderr


@pytest.fixture(scope="module")
def results(tiny_tiles_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, Any]]]:
    """What every process of runs with 1, 2 and 3 processes computed."""
    found = {}
    for num_processes in (1, 2, 3):
        out = tmp_path_factory.mktemp(f"n{num_processes}")
        torchrun(num_processes, "-m", "tests.training.one_step", str(tiny_tiles_dir / "manifest.csv"), str(out))
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


@pytest.mark.slow
def test_a_batch_that_three_processes_cannot_share_stops_all_with_one_message(
    tiny_tiles_dir: Path, params_file: Path, tmp_path: Path
) -> None:
    params_file.write_text(params_file.read_text().replace("batch_size: 12", "batch_size: 16"))
    manifest = str(tiny_tiles_dir / "manifest.csv")
    arguments = ["--manifest", manifest, "--params", str(params_file), "--out", str(tmp_path / "out")]
    stderr = torchrun(3, "-m", "training.train", *arguments, status=1)
    assert stderr.count("which 3 processes cannot share evenly") == 1
    assert "Traceback" not in stderr.split("torch/distributed", maxsplit=1)[0]
