"""A segmentation run that is killed or asked to leave, and goes on, ends with the bits of one that never was."""

from pathlib import Path

import pytest

from tests.training.conftest import TINY
from tests.training.pyramid_section import SMALL, write_params
from tests.training.run.interrupted_runs import assert_same, mlflow_steps, run_in
from tests.training.segmentation_section import segmentation_section

# Two epochs in the first phase, one in the second; stochastic depth draws numbers in each step.
NUM_STEPS = (52, 5)
MASK = segmentation_section(
    {"view": 0.5, "steps": NUM_STEPS[0], "trainable": "all_but_first(1)"},
    {"view": 1.0, "steps": NUM_STEPS[1], "trainable": "all_but_first(1)", "lr": 0.005},
)


@pytest.fixture(scope="module")
def params_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sections = {"model": {**SMALL, "drop_path_rate": 0.3}, "segmentation": MASK}
    return write_params(tmp_path_factory.mktemp("params") / "params.yaml", TINY, **sections)


def _arguments(data_dir: Path, params_path: Path, out: Path) -> list[str]:
    files = ["--manifest", str(data_dir / "manifest.csv"), "--params", str(params_path), "--out", str(out)]
    return [*files, "--task", "segmentation", "--save-every-steps", "4"]


@pytest.mark.slow
def test_a_run_killed_in_every_part_of_it_ends_with_the_same_bits(
    tiny_tiles_dir: Path, params_path: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_in(whole, "training.train", *_arguments(tiny_tiles_dir, params_path, whole))
    # Within an epoch, before the end of one, at the begin of a phase, after the readout was fitted.
    steps = ",".join(str(step) for step in (7, 50, 53, -sum(NUM_STEPS)))
    forked = ["tests.training.run.interrupted", "forked", "0", steps, str(tmp_path / "marker")]
    run_in(killed, *forked, *_arguments(tiny_tiles_dir, params_path, killed))
    assert_same(killed, whole, num_epochs=3)
    assert mlflow_steps(killed) == mlflow_steps(whole) == [*range(1, sum(NUM_STEPS) + 1)]


@pytest.mark.slow
def test_two_processes_survive_a_kill_with_the_same_bits(
    tiny_tiles_dir: Path, params_path: Path, tmp_path: Path
) -> None:
    """Asking this engine to leave is tried in `test_resume.py`, damaged states in `test_state.py`."""
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    run_in(whole, "training.launch", "training.train", *_arguments(tiny_tiles_dir, params_path, whole), NPROC="2")
    launch = ["training.launch", "--max-restarts", "1"]
    killed = ["tests.training.run.interrupted", "kill", "54", "1", str(tmp_path / "killed-once")]
    printed = run_in(folder, *launch, *killed, *_arguments(tiny_tiles_dir, params_path, folder), NPROC="2")
    assert "all start again, 1 time(s) left" in printed
    assert printed.count("resuming after step") == 1
    assert_same(folder, whole, num_epochs=3)
