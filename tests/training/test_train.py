"""Training for real on drawn tiles: what it learns, writes and refuses."""

import csv
import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from dataset.description import DataDescription
from dataset.manifest import Manifest
from evaluation.predictions import Predictions
from evaluation.statistics.temperature import fit_temperature
from runtime.model.contract import ModelContract
from tests.training.pyramid_section import write_params
from tests.training.records.mlflow_files import assert_files_in_mlflow
from tests.training.run.test_detection_resume import SECTION
from tests.training.run.test_segmentation_resume import MASK
from training import leaking_split, predict, train
from training.run.checkpoint import Checkpoint

pytestmark = pytest.mark.usefixtures("own_tracking")

REPOSITORY = Path(__file__).parent.parent.parent


def _run(data_dir: Path, params_file: Path, out: Path, task: str = "classification") -> int:
    files = ["--manifest", str(data_dir / "manifest.csv"), "--params", str(params_file), "--out", str(out)]
    return train.main([*files, "--task", task])


@pytest.mark.slow
def test_a_run_learns_and_leaves_checkpoint_log_history_and_mlflow_run(
    tiny_tiles_dir: Path, tiny_params: dict[str, Any], tmp_path: Path
) -> None:
    tiny_params["train"]["phases"][1]["epochs"] = 3
    params_file = tmp_path / "params.yaml"
    params_file.write_text(yaml.safe_dump(tiny_params), encoding="utf-8")
    assert _run(tiny_tiles_dir, params_file, tmp_path / "run") == 0
    records = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    history = list(csv.DictReader((tmp_path / "run/history.csv").read_text().splitlines()))
    assert [r["epoch"] for r in records] == [1, 2, 3, 4] == [int(row["epoch"]) for row in history]
    assert all(r["params"]["train.phases.1.lr"] == 0.002 for r in records)
    assert records[-1]["train_loss"] < records[0]["train_loss"] * 0.8

    checkpoint = Checkpoint.load(tmp_path / "run/checkpoint.pt")
    scores = [(r["val_macro_f1"], -r["val_loss"]) for r in records]
    assert checkpoint.epoch == 1 + scores.index(max(scores))
    assert checkpoint.contract.classes == Manifest.read(tiny_tiles_dir / "manifest.csv").classes
    assert checkpoint.contract.lineage.mlflow_run_id == records[0]["run_id"]

    assert_files_in_mlflow(checkpoint.contract.lineage.mlflow_run_id, tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        (status,) = database.execute("select status from runs where run_uuid = ?", [records[0]["run_id"]]).fetchone()
        logged = database.execute("select step, value from metrics where key = 'val_macro_f1' order by step").fetchall()
    assert status == "FINISHED"
    assert logged == [(r["epoch"], pytest.approx(r["val_macro_f1"])) for r in records]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    tiny_tiles_dir: Path, params_file: Path, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        assert _run(tiny_tiles_dir, params_file, tmp_path / name) == 0
    params_file.write_text(params_file.read_text().replace("seed: 0", "seed: 1"))
    assert _run(tiny_tiles_dir, params_file, tmp_path / "third") == 0
    first, second, third = (Checkpoint.load(tmp_path / n / "checkpoint.pt") for n in ("first", "second", "third"))
    assert all(torch.equal(tensor, second.state_dict[name]) for name, tensor in first.state_dict.items())
    assert not torch.equal(
        first.state_dict["backbone.classifier.weight"], third.state_dict["backbone.classifier.weight"]
    )


@pytest.mark.slow
def test_predictions_cover_val_and_test_with_the_models_probabilities(
    tiny_tiles_dir: Path, params_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(tiny_tiles_dir, params_file, tmp_path / "run") == 0
    checkpoint_path, manifest_path = tmp_path / "run/checkpoint.pt", tiny_tiles_dir / "manifest.csv"
    out = tmp_path / "predictions.csv"
    assert (
        predict.main(["--manifest", str(manifest_path), "--checkpoint", str(checkpoint_path), "--out", str(out)]) == 0
    )
    predictions, table = Predictions.read(out), Manifest.read(manifest_path).table
    assert set(predictions.paths) == set(table[table["split"].isin(["val", "test"])]["path"])
    val = predictions.select("val")
    accuracy = (val.predicted == val.labels).mean()
    checkpoint = Checkpoint.load(checkpoint_path)
    assert accuracy == pytest.approx(checkpoint.metrics["val_accuracy"])
    # The probabilities are those of the temperature that was fitted on the validation pictures.
    logits = np.log(val.probs) * checkpoint.contract.temperature
    assert checkpoint.contract.temperature != 1
    assert checkpoint.contract.temperature == pytest.approx(fit_temperature(logits, val.labels), rel=1e-3)

    checkpoint.state_dict["backbone.classifier.weight"].fill_(np.nan)
    checkpoint.save(checkpoint_path)
    arguments = ["--manifest", str(manifest_path), "--checkpoint", str(checkpoint_path)]
    assert predict.main([*arguments, "--out", str(tmp_path / "none.csv")]) == 2
    assert f"not finite or not in [0, 1] for {predictions.paths[0]}" in capsys.readouterr().err
    assert not (tmp_path / "none.csv").exists()


def test_a_manifest_whose_split_leaks_is_refused(
    tiny_tiles_dir: Path, params_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = Manifest.read(tiny_tiles_dir / "manifest.csv")
    table = manifest.table.copy()
    leaked = table[table["split"] == "test"]["group"].iloc[0]
    table.loc[table.index[table["group"] == leaked][0], "split"] = "train"
    Manifest(table, tmp_path).write(tmp_path / "manifest.csv")
    assert _run(tmp_path, params_file, tmp_path / "run") == 2
    assert leaked in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("task", "label", "side", "message"),
    [
        ("classification", "Crack", "train", "class(es) without a training picture: Crack ("),
        ("segmentation", "Crack", "train", "class(es) without a training picture: Crack ("),
        ("detection", "Crack", "train", "class(es) without a training picture: Crack ("),
        ("classification", None, "val", "no validation picture"),  # a segmentation needs none
    ],
)
def test_a_split_without_a_class_to_train_or_pictures_to_choose_by_is_refused_before_training(
    tiny_tiles_dir: Path, tiny_params: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    task: str, label: str | None, side: str, message: str,
) -> None:  # fmt: skip
    params_file = write_params(tmp_path / "params.yaml", tiny_params, segmentation=MASK, detection=SECTION)
    table = Manifest.read(tiny_tiles_dir / "manifest.csv").table.copy()
    gone = table["split"].eq(side) & (table["label"].eq(label) if label else True)
    table.loc[gone, "split"] = ""
    Manifest(table, tmp_path).write(tmp_path / "manifest.csv")
    assert _run(tmp_path, params_file, tmp_path / "run", task=task) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_missing_manifest_is_one_clear_line(
    params_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(tmp_path / "nowhere", params_file, tmp_path / "run") == 2
    assert "cannot read the manifest" in capsys.readouterr().err


def _describe(data_dir: Path, tmp_path: Path, compare: bool) -> Path:
    """A data directory that borrows the pictures of another, with its own description."""
    own = tmp_path / "data"
    own.mkdir()
    (own / "pictures").symlink_to(data_dir / "pictures")
    Manifest.read(data_dir / "manifest.csv").write(own / "manifest.csv")
    DataDescription.read(data_dir).model_copy(update={"compare_protocols": compare}).write(own)
    return own


def test_protocols_are_compared_only_where_the_data_ask_for_it(
    tiny_tiles_dir: Path, params_file: Path, tmp_path: Path
) -> None:
    data_dir, out = _describe(tiny_tiles_dir, tmp_path, compare=False), tmp_path / "by_image"
    assert leaking_split.main(["--data", str(data_dir), "--params", str(params_file), "--out", str(out)]) == 0
    assert [p.name for p in out.iterdir()] == ["not_compared.txt"]
    (out / "mine.txt").write_text("mine")
    assert leaking_split.main(["--data", str(data_dir), "--params", str(params_file), "--out", str(out)]) == 0
    assert sorted(p.name for p in out.iterdir()) == ["mine.txt", "not_compared.txt"]
    assert (out / "mine.txt").read_text() == "mine"


def test_of_several_processes_one_alone_touches_the_folder_of_the_comparison(
    tiny_tiles_dir: Path, params_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir, out = _describe(tiny_tiles_dir, tmp_path, compare=False), tmp_path / "by_image"
    out.mkdir()
    (out / "of_the_first").touch()
    monkeypatch.setenv("RANK", "1")
    assert leaking_split.main(["--data", str(data_dir), "--params", str(params_file), "--out", str(out)]) == 0
    assert [p.name for p in out.iterdir()] == ["of_the_first"]


def test_what_an_earlier_comparison_left_does_not_look_new_if_training_fails(
    tiny_tiles_dir: Path, params_file: Path, tmp_path: Path
) -> None:
    data_dir, out = _describe(tiny_tiles_dir, tmp_path, compare=True), tmp_path / "by_image"
    out.mkdir()
    for name in ("not_compared.txt", "predictions.csv"):
        (out / name).write_text("of an earlier run", encoding="utf-8")
    (data_dir / "manifest.csv").write_text("nothing", encoding="utf-8")
    assert leaking_split.main(["--data", str(data_dir), "--params", str(params_file), "--out", str(out)]) == 2
    assert not list(out.iterdir())


def test_a_checkpoint_that_cannot_predict_ends_the_comparison_by_its_name(
    tiny_tiles_dir: Path, params_file: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    data_dir, out = _describe(tiny_tiles_dir, tmp_path, compare=True), tmp_path / "by_image"
    out.mkdir()
    (out / "checkpoint.pt").write_text("none", encoding="utf-8")
    monkeypatch.setattr("training.fit.run_fit", lambda *_: 0)
    assert leaking_split.main(["--data", str(data_dir), "--params", str(params_file), "--out", str(out)]) == 2
    assert capsys.readouterr().err.startswith(f"predict: {out / 'checkpoint.pt'} is no checkpoint")


@pytest.mark.slow
def test_the_compared_model_is_trained_and_tested_on_the_split_by_image(
    tiny_tiles_dir: Path, params_file: Path, tmp_path: Path
) -> None:
    data_dir, out = _describe(tiny_tiles_dir, tmp_path, compare=True), tmp_path / "by_image"
    assert leaking_split.main(["--data", str(data_dir), "--params", str(params_file), "--out", str(out)]) == 0
    table = Manifest.read(data_dir / "manifest.csv").table
    tested = set(Predictions.read(out / "predictions.csv").select("test").paths)
    assert tested == set(table[table["split_by_image"] == "test"]["path"])
    contract: ModelContract = Checkpoint.load(out / "checkpoint.pt").contract
    assert contract.lineage.data_sha256 == Manifest.read(data_dir / "manifest.csv").sha256
