"""A checkpoint is whole or an error."""

from pathlib import Path

import pytest
import torch

from runtime.model.contract import ClassificationContract
from training.run.checkpoint import Checkpoint, CheckpointError

CONTRACT = ClassificationContract(classes=("a", "b"), height=32, width=32, mean=(0, 0, 0), std=(1, 1, 1))
CHECKPOINT = Checkpoint({"w": torch.arange(3.0)}, CONTRACT, {"train": {"lr": 0.1}}, 4, {"val_macro_f1": 0.5})


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "new" / "checkpoint.pt"
    CHECKPOINT.save(path)
    loaded = Checkpoint.load(path)
    assert loaded.contract == CONTRACT
    assert torch.equal(loaded.state_dict["w"], CHECKPOINT.state_dict["w"])
    assert (loaded.params, loaded.epoch, loaded.metrics) == (CHECKPOINT.params, 4, {"val_macro_f1": 0.5})
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.pt"]


def test_a_failed_save_leaves_the_older_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.pt"
    CHECKPOINT.save(path)
    before = path.read_bytes()

    def disk_full(document: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", disk_full)
    with pytest.raises(OSError, match="no space"):
        CHECKPOINT.save(path)
    assert path.read_bytes() == before


def test_missing_cut_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*run `make train`"):
        Checkpoint.load(tmp_path / "none.pt")
    CHECKPOINT.save(tmp_path / "cut.pt")
    data = (tmp_path / "cut.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(data[: len(data) // 2])
    torch.save({"weights": torch.zeros(1)}, tmp_path / "foreign.pt")
    for name in ("cut.pt", "foreign.pt"):
        with pytest.raises(CheckpointError, match=f"{name} is no checkpoint of bento-vision, or is damaged"):
            Checkpoint.load(tmp_path / name)
