"""State files are whole, of this run, and no more than needed."""

import logging
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from training.process.rng import random_states, restore_random_states
from training.run.state import StateDir, StateError, code_sha256, read_state

IDENTITY = {"params": "a", "data": "b"}


@pytest.fixture
def states(tmp_path: Path) -> StateDir:
    return StateDir(tmp_path / "state", IDENTITY)


def _save(states: StateDir, step: int, best: str | None = None) -> Path:
    if best:
        states.path.mkdir(exist_ok=True)
        (states.path / best).write_bytes(b"weights")
    return states.save(step, {"weights": torch.arange(4) + step, "best_file": best})


def test_the_newest_of_the_last_two_is_loaded(states: StateDir) -> None:
    for step in (0, 5, 10, 15):
        _save(states, step)
    assert sorted(p.name for p in states.path.iterdir()) == ["state-000000010.pt", "state-000000015.pt"]
    loaded = states.load_newest()
    assert loaded is not None
    assert loaded["step"] == 15
    assert torch.equal(loaded["weights"], torch.arange(4) + 15)


@pytest.mark.parametrize("damage", ["cut", "bit", "empty"])
def test_a_damaged_newest_is_skipped_and_named(states: StateDir, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    _save(states, 5)
    newest = _save(states, 10)
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes({"cut": newest.read_bytes()[:-9], "bit": bytes(content), "empty": b""}[damage])
    with caplog.at_level(logging.WARNING):
        loaded = states.load_newest()
    assert loaded is not None
    assert loaded["step"] == 5
    assert str(newest) in caplog.text


def test_a_state_of_another_run_is_not_used_and_the_difference_is_named(
    states: StateDir, caplog: pytest.LogCaptureFixture
) -> None:
    _save(states, 5)
    with caplog.at_level(logging.WARNING):
        assert StateDir(states.path, IDENTITY | {"data": "c"}).load_newest() is None
    assert "is of other data" in caplog.text


def test_nothing_is_found_where_nothing_was_saved(states: StateDir) -> None:
    assert states.load_newest() is None


def test_a_state_whose_best_weights_are_gone_is_skipped(states: StateDir) -> None:
    _save(states, 5, "best-000001.pt")
    _save(states, 10, "best-000002.pt")
    (states.path / "best-000002.pt").unlink()
    loaded = states.load_newest()
    assert loaded is not None
    assert loaded["best_file"] == "best-000001.pt"


def test_best_weights_are_kept_as_long_as_a_state_names_them(states: StateDir) -> None:
    for epoch in (1, 2, 3):
        _save(states, 10 * epoch, f"best-{epoch:06d}.pt")
    for step in (40, 50, 60):
        _save(states, step, "best-000003.pt")
    assert {"best-000003.pt"} <= {p.name for p in states.path.glob("best-*")} <= {"best-000002.pt", "best-000003.pt"}


def test_clearing_leaves_what_is_not_ours(states: StateDir) -> None:
    _save(states, 5, "best-000001.pt")
    (states.path / "notes.txt").write_text("mine")
    states.clear()
    assert [p.name for p in states.path.iterdir()] == ["notes.txt"]
    (states.path / "notes.txt").unlink()
    states.clear()
    assert not states.path.exists()


def test_a_file_that_is_no_state_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state-1.pt").write_bytes(b"anything")
    with pytest.raises(StateError, match=r"state-1\.pt is not what was written"):
        read_state(tmp_path / "state-1.pt")


def test_the_code_s_hash_sees_a_changed_module(tmp_path: Path) -> None:
    (tmp_path / "training/run").mkdir(parents=True)
    (tmp_path / "training/run/loop.py").write_text("a = 1\n")
    before = code_sha256(tmp_path)
    (tmp_path / "training/run/loop.py").write_text("a = 2\n")
    assert code_sha256(tmp_path) != before


def test_every_generator_goes_on_where_it_was(states: StateDir) -> None:
    def draw() -> list[float]:
        return [random.random(), float(np.random.rand()), float(np.random.normal()), float(torch.rand(1))]  # noqa: NPY002

    draw()  # NumPy keeps the second of two normal draws
    states.save(1, {"random": random_states()})
    expected = draw()
    draw()
    loaded = states.load_newest()
    assert loaded is not None
    restore_random_states(loaded["random"])
    assert draw() == expected
