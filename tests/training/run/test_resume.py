"""A run that is killed or asked to leave, at any step, and goes on, ends with the bits of one that never was."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.training.run.interrupted_runs import assert_same, mlflow_steps, run_in
from training.process.signals import REQUEUE

# Everything that has a state: dropout and stochastic depth, a moving average, a scaler, moments, a schedule.
ENGINE: dict[str, Any] = {
    "phases": [
        {"trainable": "head", "epochs": 1, "lr": 0.01},
        {"trainable": "all", "epochs": 2, "lr": 0.004, "layer_decay": 0.9, "schedule": "one_cycle", "warm_up": 0.3},
    ],
    "ema_decay": 0.9,
    "clip_grad_norm": 1.0,
    "early_stopping_epochs": 5,
    "precision": "fp16",
}


@pytest.fixture(scope="module")
def params_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.training.conftest import TINY

    params = {
        **TINY,
        "contract": TINY["contract"] | {"height": 32, "width": 32},
        "model": {"backbone": "test_efficientnet", "pretrained": "none", "drop_rate": 0.3, "drop_path_rate": 0.2},
        "train": {**TINY["train"], "batch_size": 12, **ENGINE},
    }
    path = tmp_path_factory.mktemp("params") / "params.yaml"
    path.write_text(yaml.safe_dump(params), encoding="utf-8")
    return path


def _arguments(data_dir: Path, params_path: Path, out: Path) -> list[str]:
    files = ["--manifest", str(data_dir / "manifest.csv"), "--params", str(params_path), "--out", str(out)]
    return [*files, "--save-every-steps", "3"]  # of 4 an epoch: states lie within epochs and between them


@pytest.fixture(scope="module")
def whole_of_one(tiny_tiles_dir: Path, params_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process that nothing happened to."""
    folder = tmp_path_factory.mktemp("one")
    run_in(folder, "training.train", *_arguments(tiny_tiles_dir, params_path, folder))
    return folder


@pytest.mark.slow
def test_a_run_of_one_process_killed_at_many_steps_ends_with_the_same_bits(
    tiny_tiles_dir: Path, params_path: Path, tmp_path: Path, whole_of_one: Path
) -> None:
    whole, killed = whole_of_one, tmp_path / "killed"
    marker = str(tmp_path / "marker")
    num_steps = _num_steps(tiny_tiles_dir)
    # From a state within an epoch, from one between two phases, from one within an epoch again.
    steps = ",".join(str(step) for step in (num_steps, num_steps + 1, 2 * num_steps + 3))
    arguments = _arguments(tiny_tiles_dir, params_path, killed)
    run_in(killed, "tests.training.run.interrupted", "forked", "0", steps, marker, *arguments)
    assert_same(killed, whole, num_epochs=3)
    assert mlflow_steps(killed) == mlflow_steps(whole) == [*range(1, 3 * num_steps + 1)]


@pytest.mark.slow
def test_a_run_asked_together_with_its_loading_processes_saves_and_goes_on_with_the_same_bits(
    tiny_tiles_dir: Path, params_path: Path, tmp_path: Path, whole_of_one: Path
) -> None:
    folder, marker = tmp_path / "asked", tmp_path / "marker"
    arguments = [*_arguments(tiny_tiles_dir, params_path, folder), "--workers", "2"]
    asked = ["tests.training.run.interrupted", "ask-group", "2", "0", str(marker)]
    printed = run_in(folder, *asked, *arguments, expected=REQUEUE)
    assert "asked to leave after step 2 in epoch 1; saved; the same command goes on from here" in printed
    assert "Traceback" not in printed
    printed = run_in(folder, "training.train", *arguments, "--resume", "required")
    assert "resuming after step 2 in epoch 1" in printed
    assert_same(folder, whole_of_one, num_epochs=3)


def _num_steps(data_dir: Path) -> int:
    from dataset.manifest import Manifest

    return len(Manifest.read(data_dir / "manifest.csv").select("train").table) // 12


@pytest.fixture(scope="module")
def whole_of_two(tiny_tiles_dir: Path, params_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes that nothing happened to."""
    folder = tmp_path_factory.mktemp("two")
    run_in(folder, "training.launch", "training.train", *_arguments(tiny_tiles_dir, params_path, folder), NPROC="2")
    return folder


@pytest.mark.slow
def test_torchrun_restarts_after_a_killed_process_and_ends_with_the_same_bits(
    tiny_tiles_dir: Path, params_path: Path, tmp_path: Path, whole_of_two: Path
) -> None:
    folder, marker = tmp_path / "killed", tmp_path / "marker"
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    module = ["-m", "tests.training.run.interrupted", "kill", "4", "1", str(marker)]
    run_in(folder, *torchrun, *module, *_arguments(tiny_tiles_dir, params_path, folder))
    assert marker.exists()
    assert_same(folder, whole_of_two, num_epochs=3)


@pytest.mark.slow
def test_two_processes_asked_to_leave_save_and_go_on_with_the_same_bits(
    tiny_tiles_dir: Path, params_path: Path, tmp_path: Path, whole_of_two: Path
) -> None:
    folder, marker = tmp_path / "asked", tmp_path / "marker"
    arguments = _arguments(tiny_tiles_dir, params_path, folder)
    module = ["tests.training.run.interrupted", "ask-parent", "3", "1", str(marker)]
    printed = run_in(folder, "training.launch", *module, *arguments, NPROC="2", expected=REQUEUE)
    assert "the same command goes on from here" in printed
    assert "Traceback" not in printed
    assert (folder / "state").is_dir()
    printed = run_in(folder, "training.launch", "training.train", *arguments, "--resume", "required", NPROC="2")
    assert "resuming after step" in printed
    assert_same(folder, whole_of_two, num_epochs=3)
