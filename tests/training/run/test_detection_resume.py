"""A detection run that is killed and goes on ends with the bits of one that never was, and two processes equal one."""

from pathlib import Path

import pytest
import torch

from tests.training.conftest import TINY
from tests.training.detection_section import detection_section
from tests.training.pyramid_section import write_params
from tests.training.run.interrupted_runs import assert_same, run_in
from training.run.checkpoint import Checkpoint

NUM_STEPS = (4, 3)
SECTION = detection_section({"view": 0.5, "steps": NUM_STEPS[0]}, {"view": 1.0, "steps": NUM_STEPS[1], "lr": 0.005})


@pytest.fixture(scope="module")
def params_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_params(tmp_path_factory.mktemp("params") / "params.yaml", TINY, detection=SECTION)


def _arguments(data_dir: Path, params_path: Path, out: Path) -> list[str]:
    files = ["--manifest", str(data_dir / "manifest.csv"), "--params", str(params_path), "--out", str(out)]
    return [*files, "--task", "detection", "--save-every-steps", "2"]


@pytest.fixture(scope="module")
def whole(tiny_tiles_dir: Path, params_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detection") / "whole"
    run_in(folder, "training.train", *_arguments(tiny_tiles_dir, params_path, folder))
    return folder


@pytest.mark.slow
def test_a_run_killed_in_every_part_of_it_ends_with_the_same_bits(
    tiny_tiles_dir: Path, params_path: Path, whole: Path, tmp_path: Path
) -> None:
    killed = tmp_path / "killed"
    # Within a phase, at the begin of the next, after the readout was fitted.
    steps = ",".join(str(step) for step in (3, 5, -sum(NUM_STEPS)))
    forked = ["tests.training.run.interrupted", "forked", "0", steps, str(tmp_path / "marker")]
    run_in(killed, *forked, *_arguments(tiny_tiles_dir, params_path, killed))
    assert_same(killed, whole, num_epochs=2)


@pytest.mark.slow
def test_two_processes_train_the_same_model_as_one_and_survive_a_kill(
    tiny_tiles_dir: Path, params_path: Path, whole: Path, tmp_path: Path
) -> None:
    """Sums are taken in another order, so bits may differ, and steps make that a little larger.

    Two that are killed, one of them and so both, end with the bits of two that never were.
    """
    two, folder = tmp_path / "two", tmp_path / "killed"
    run_in(two, "training.launch", "training.train", *_arguments(tiny_tiles_dir, params_path, two), NPROC="2")
    launch = ["training.launch", "--max-restarts", "1"]
    killed = ["tests.training.run.interrupted", "kill", str(NUM_STEPS[0] + 1), "1", str(tmp_path / "killed-once")]
    printed = run_in(folder, *launch, *killed, *_arguments(tiny_tiles_dir, params_path, folder), NPROC="2")
    assert printed.count("resuming after step") == 1
    assert_same(folder, two, num_epochs=2)
    ours, theirs = Checkpoint.load(two / "checkpoint.pt"), Checkpoint.load(whole / "checkpoint.pt")
    for name, tensor in theirs.state_dict.items():
        if "readout" not in name:
            torch.testing.assert_close(ours.state_dict[name], tensor, atol=1e-3, rtol=1e-3, msg=name)
    assert ours.metrics["val_f1"] == pytest.approx(theirs.metrics["val_f1"], abs=0.02)
