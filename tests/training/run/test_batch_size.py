"""A batch fits the data and can be shared, or one line says before training why not; every size that fits trains."""

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataset.manifest import Manifest
from project.params import ParamsError
from training import loader_probe, lr_finder
from training.fit import fit
from training.network.schedules import schedule_factor
from training.params import Params
from training.process.distributed import single_worker
from training.run.batch_size import with_fitting_batch
from training.run.checkpoint import Checkpoint
from training.run.run_control import RunControl
from training.tasks.prediction import predict


def _params(tiny: dict[str, Any], batch_size: int, accumulation: int = 1, mixup: float = 0.0) -> Params:
    tiny["train"] |= {"batch_size": batch_size, "accumulation": accumulation}
    tiny["augment"]["mixup_alpha"] = mixup
    return Params(**{name: tiny[name] for name in ("contract", "model", "train", "augment")})


@pytest.mark.parametrize(
    ("asked", "pictures", "processes", "accumulation", "mixup", "batch"),
    [
        (32, 144, 1, 1, 0, 32),
        (32, 32, 1, 1, 0, 32),
        (32, 12, 1, 1, 0, 12),
        (32, 13, 2, 1, 0, 12),
        (32, 13, 2, 2, 0, 12),
        (32, 3, 1, 1, 0, 3),
        (7, 100, 1, 1, 1, 7),
        (32, 13, 1, 1, 1, 13),
        (32, 15, 2, 1, 1, 12),
        (1, 5, 1, 1, 0, 1),
        (2, 5, 2, 1, 0, 2),
    ],
)
def test_a_batch_is_as_asked_or_as_large_as_the_pictures_allow(
    tiny_params: dict[str, Any], asked: int, pictures: int, processes: int, accumulation: int, mixup: float, batch: int
) -> None:
    params = with_fitting_batch(_params(tiny_params, asked, accumulation, mixup), pictures, processes)
    assert params.train.batch_size == batch


def test_a_smaller_batch_is_said(tiny_params: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        with_fitting_batch(_params(tiny_params, 32), 12)
    assert caplog.messages == ["train.batch_size is 32, but 12 pictures train: a batch has 12"]


@pytest.mark.parametrize(
    ("asked", "processes", "accumulation", "mixup", "message"),
    [
        (32, 3, 1, 0, "32 over all processes, which 3 process.* share evenly: use a multiple of 3, or change NPROC"),
        (1, 2, 1, 0, "1 over all processes, which 2 process.* cannot share evenly: use a multiple of 2"),
        (4, 1, 8, 0, r"4 .* 1 process in 8 parts each .* multiple of 8, .*train\.accumulation"),
        (6, 2, 1, 1, r"2 processes would have 3 of a batch: make train\.batch_size a multiple of 4"),
        (1, 1, 1, 1, r"train\.batch_size is 1: raise it, or set augment\.mixup_alpha"),
        (256, 8, 16, 0, "100 training pictures do not fill 1 .* of 128, the smallest that 8 .* in 16 parts each"),
    ],
)  # fmt: skip
def test_what_cannot_be_shared_is_refused_with_its_keys(
    tiny_params: dict[str, Any], asked: int, processes: int, accumulation: int, mixup: float, message: str
) -> None:
    with pytest.raises(ParamsError, match=message) as refused:
        with_fitting_batch(_params(tiny_params, asked, accumulation, mixup), 100, processes)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["cosine", "one_cycle"])
@pytest.mark.parametrize("warm_up", [0, 0.1, 0.9])
def test_a_phase_of_one_step_changes_something(name: Any, warm_up: float) -> None:
    assert 0 < schedule_factor(name, 0, 1, warm_up) <= 1


@pytest.fixture
def few(tiny_tiles_dir: Path, tmp_path: Path) -> Path:
    """The manifest of 2 training, 1 validation and 1 test picture of each of two classes."""
    manifest = Manifest.read(tiny_tiles_dir / "manifest.csv")
    table = manifest.table[manifest.table["label"].isin(["Free", "Fray"])]
    numbers = table.groupby(["label", "split"]).cumcount()
    kept = table[numbers < (table["split"] == "train") + 1].reset_index(drop=True)
    kept["path"] = [str(tiny_tiles_dir / path) for path in kept["path"]]
    Manifest(kept, tmp_path).write(tmp_path / "manifest.csv")
    return tmp_path / "manifest.csv"


@pytest.mark.parametrize(
    ("backbone", "batch_size"), [("test_resnet", 1), ("vit_tiny_patch16_224", 3), ("two_layer_cnn", 32)]
)
def test_four_pictures_train_and_predict_with_any_batch(
    few: Path, tiny_params: dict[str, Any], monkeypatch: pytest.MonkeyPatch, backbone: str, batch_size: int
) -> None:
    """A batch of one picture, an odd one, and one larger than the data. The ViT is made for 224 x 224, not 64 x 64."""
    monkeypatch.chdir(few.parent)
    tiny_params["model"] |= {"backbone": backbone, "pretrained": "none"}
    manifest, params = Manifest.read(few), _params(tiny_params, batch_size)
    checkpoint = Checkpoint.load(fit(manifest, "group", params, RunControl(few.parent / "run"), single_worker()))
    assert checkpoint.params["train"]["batch_size"] == min(batch_size, 4)
    predictions = predict(manifest, "group", checkpoint)
    assert len(predictions.labels) == 4


def test_the_commands_before_a_run_fit_the_batch_too(
    few: Path, tiny_params: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(few.parent)
    monkeypatch.setattr(loader_probe, "settings", lambda *_: [(0, 1)])
    caplog.set_level(logging.INFO)
    tiny_params["model"] |= {"backbone": "two_layer_cnn", "pretrained": "none"}
    Path("params.yaml").write_text(yaml.safe_dump(tiny_params), encoding="utf-8")
    words = ["--manifest", str(few), "--params", "params.yaml"]
    assert lr_finder.main([*words, "--steps", "12", "--workers", "0"]) in (0, 1)
    assert loader_probe.main([*words, "--batches", "2", "--prefetch", "1"]) == 0
    assert "train.batch_size is 12, but 4 pictures train: a batch has 4" in caplog.messages
    assert "train.batch_size is 12, but 4 pictures train: a batch has 2" in caplog.messages
