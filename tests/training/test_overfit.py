"""A sound model learns a few pictures by heart, one that cannot says so, and the few are of every class."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from dataset.manifest import Manifest
from training import overfit as command
from training.network.classifier import Classifier
from training.overfit import few_of_each_class


def _run(tiny_tiles_dir: Path, params_file: Path, *arguments: str) -> int:
    return command.main(
        ["--manifest", str(tiny_tiles_dir / "manifest.csv"), "--params", str(params_file), *arguments]
    )  # fmt: skip


@pytest.fixture
def small_params(tiny_params: dict[str, Any], tmp_path: Path) -> Path:
    tiny_params["contract"] |= {"height": 64, "width": 64}
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(tiny_params), encoding="utf-8")
    return path


def test_a_few_pictures_are_learned_by_heart(
    tiny_tiles_dir: Path, small_params: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert _run(tiny_tiles_dir, small_params, "--pictures", "6", "--steps", "120") == 0
    assert "all pictures are known by heart" in caplog.text


def test_a_network_that_cannot_learn_is_found_out(
    tiny_tiles_dir: Path, small_params: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that does not look at its pictures can at best guess the commonest class."""
    blind = Classifier.forward

    def forward(self: Classifier, images: torch.Tensor) -> torch.Tensor:
        return blind(self, torch.zeros_like(images))

    monkeypatch.setattr(Classifier, "forward", forward)
    with caplog.at_level(logging.INFO):
        assert _run(tiny_tiles_dir, small_params, "--pictures", "6", "--steps", "10") == 1
    assert "try --lr or more --steps" in caplog.text


def test_the_few_are_of_every_class_and_of_different_objects(tiny_tiles_dir: Path) -> None:
    train = Manifest.read(tiny_tiles_dir / "manifest.csv").select("train")
    few = few_of_each_class(train, 12, seed=0).table
    assert len(few) == 12
    assert set(few["label"]) == set(train.table["label"])
    num_groups = train.table.groupby("label")["group"].nunique()
    for label, rows in few.groupby("label"):
        assert rows["group"].nunique() == min(len(rows), num_groups[label])
    assert few["label"].value_counts().max() - few["label"].value_counts().min() <= 1


def test_a_missing_manifest_is_one_clear_line(
    small_params: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(tmp_path / "nowhere", small_params) == 2
    assert capsys.readouterr().err.startswith("overfit: cannot read the manifest")
