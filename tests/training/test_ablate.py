"""A real ablation by real training runs, stopped and gone on with."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from evaluation.predictions import Predictions
from training import ablate
from training.sweeps import ablations
from training.sweeps.ablations import ABLATIONS


@pytest.fixture
def words(tiny_tiles_dir: Path, tiny_params: dict[str, Any], tmp_path: Path) -> list[str]:
    """The command line for tiny pictures, with outputs under `tmp_path`."""
    tiny_params["contract"] |= {"height": 32, "width": 32}
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump(tiny_params), encoding="utf-8")
    manifest = str(tiny_tiles_dir / "manifest.csv")
    return ["--params", str(params), "--manifest", manifest, "--out", str(tmp_path / "ablations"), "--seeds", "1"]


@pytest.mark.slow
def test_rows_are_trained_once_measured_on_val_and_on_test_only_if_asked(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scratch, features, _ = ABLATIONS["training"]
    monkeypatch.setitem(ablations.ABLATIONS, "training", (scratch, features))
    out = tmp_path / "ablations/training"
    assert ablate.main(["training", *words]) == 0
    first = capsys.readouterr().out
    assert "test" not in first
    results = {arm: json.loads((out / arm.folder / "seed-0/result.json").read_text()) for arm in (scratch, features)}
    for arm, result in results.items():
        history = [json.loads(line) for line in (out / arm.folder / "seed-0/log.jsonl").read_text().splitlines()]
        assert len(history) == 2
        assert result["val_macro_f1"] == max(record["val_macro_f1"] for record in history)
        assert f"{result['val_macro_f1']:.3f}" in next(line for line in first.splitlines() if arm.name in line)
    assert history[0]["params"]["train.phases.0.trainable"] == "head"

    # One run is lost: it alone is trained again, with the same seed and so the same figures.
    features_dir, scratch_log = out / features.folder / "seed-0", out / scratch.folder / "seed-0/log.jsonl"
    (features_dir / "result.json").unlink()
    before = scratch_log.stat().st_mtime_ns
    assert ablate.main(["training", *words, "--test"]) == 0
    assert scratch_log.stat().st_mtime_ns == before
    again = json.loads((features_dir / "result.json").read_text())
    assert again["val_macro_f1"] == results[features]["val_macro_f1"]
    test = Predictions.read(features_dir / "predictions.csv").select("test")
    assert again["test_accuracy"] == pytest.approx((test.predicted == test.labels).mean())
    assert "accuracy, test" in capsys.readouterr().out
    assert ablate.main(["training", *words]) == 0
    assert "test" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_backbone_whose_weights_cannot_be_had_is_a_row_that_says_why(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No package holds weights of this one."""
    arm = ablations.Arm("test_resnet", ablations._backbone("test_resnet", "package"))
    monkeypatch.setitem(ablations.ABLATIONS, "backbones", (arm,))
    assert ablate.main(["backbones", *words]) == 0
    (row,) = capsys.readouterr().out.splitlines()[2:]
    assert row.startswith("| test_resnet | 0 |")
    assert "none those of 'test_resnet'" in row


def test_wrong_params_are_refused_before_anything_is_trained(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = tmp_path / "params.yaml"
    params.write_text(params.read_text().replace("batch_size: 12", "batch_size: none"))
    assert ablate.main(["training", *words]) == 2
    assert "train.batch_size" in capsys.readouterr().err
    assert not (tmp_path / "ablations").exists()
