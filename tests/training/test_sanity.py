"""The sanity commands and the ablations refuse what they cannot work with, before anything is read or trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataset.manifest import Manifest
from tests.training.run.test_segmentation_resume import MASK
from training import ablate, loader_probe, lr_finder, overfit

COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "ablate": lambda words: ablate.main(["augmentation", *words]),
    "loader_probe": loader_probe.main,
    "lr_finder": lr_finder.main,
    "overfit": overfit.main,
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_head_of_masks_is_refused_since_another_network_would_be_tried(
    tiny_tiles_dir: Path, tiny_params: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], name: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    tiny_params["model"]["head"] = "mask"
    Path("params.yaml").write_text(yaml.safe_dump({**tiny_params, "segmentation": MASK}), encoding="utf-8")
    assert COMMANDS[name](["--manifest", str(tiny_tiles_dir / "manifest.csv"), "--params", "params.yaml"]) == 2
    error = capsys.readouterr().err
    assert f"{name}: params.yaml: model: Value error, 'head' is no key any more: take it out, and say --task" in error
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("lr_finder", ["--from", "0"], "--from: must be a number above 0, got '0'"),
        ("lr_finder", ["--to", "inf"], "--to: must be a number above 0, got 'inf'"),
        ("lr_finder", ["--from", "1", "--to", "0.1"], "--from must be below --to, got 1 and 0.1"),
        ("lr_finder", ["--steps", "0"], "--steps: must be a whole number of at least 10, got '0'"),
        ("lr_finder", ["--workers", "-1"], "--workers: must be a whole number of at least 0, got '-1'"),
        ("overfit", ["--pictures", "0"], "--pictures: must be a whole number of at least 1, got '0'"),
        ("overfit", ["--steps", "x"], "--steps: must be a whole number of at least 1, got 'x'"),
        ("overfit", ["--lr", "0"], "--lr: must be a number above 0, got '0'"),
        ("loader_probe", ["--prefetch", "2", "0"], "--prefetch: must be a whole number of at least 1, got '0'"),
        ("loader_probe", ["--batches", "1"], "--batches: must be a whole number of at least 2, got '1'"),
    ],
)
def test_an_argument_out_of_range_is_named_with_its_range(
    capsys: pytest.CaptureFixture[str], name: str, words: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        COMMANDS[name](words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["lr_finder", "overfit"])
def test_a_class_that_would_not_be_trained_is_named(
    tiny_tiles_dir: Path, params_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    table = Manifest.read(tiny_tiles_dir / "manifest.csv").table.copy()
    table.loc[table["split"].eq("train") & table["label"].eq("Crack"), "split"] = ""
    Manifest(table, tmp_path).write(tmp_path / "manifest.csv")
    assert COMMANDS[name](["--manifest", str(tmp_path / "manifest.csv"), "--params", str(params_file)]) == 2
    assert f"{name}: class(es) without a training picture: Crack (" in capsys.readouterr().err
