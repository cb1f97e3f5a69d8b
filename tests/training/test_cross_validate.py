"""Cross-validation: no object on both sides, every picture predicted once, nothing done twice."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from dataset.manifest import Manifest, ManifestError
from dataset.params import SplitParams
from dataset.split import split as divide_pictures
from evaluation.params import EvaluateParams
from evaluation.predictions import PREDICTIONS_FILE, Predictions, PredictionsError
from runtime.model.roles import Role
from tests.training.detection_section import detection_section
from tests.training.segmentation_section import segmentation_section
from training import cross_validate
from training.cross_validate import MAX_TEST_SHARE, TEST_SHARE, group_folds, image_split
from training.data.tensors import Batch
from training.process.signals import REQUEUE
from training.run.step import Learner
from training.sweeps.cross_validation_summary import figures_of, table, write_summary

pytestmark = pytest.mark.usefixtures("own_tracking")

EVALUATE = {"seed": 0, "confidence": 0.95, "bootstrap_samples": 100}


@pytest.fixture
def params_path(tmp_path: Path, tiny_params: dict[str, Any]) -> Path:
    tiny_params["contract"] |= {"height": 32, "width": 32}
    tiny_params["model"] = {"backbone": "test_resnet", "pretrained": "none", "drop_rate": 0.0}
    tiny_params["segmentation"] = segmentation_section({"steps": 1}, channels=4)
    tiny_params["detection"] = detection_section({"steps": 1}, channels=4)
    tiny_params["split"] = {"seed": 0, "num_folds": 3, "test_fold": 0}
    tiny_params["evaluate"] = EVALUATE
    path = tmp_path / "cv.yaml"
    path.write_text(yaml.safe_dump(tiny_params), encoding="utf-8")
    return path


def _run(data_dir: Path, params_path: Path, out: Path, *more: str, task: Role = "segmentation") -> int:
    pictures = str(data_dir / "manifest.csv")
    return cross_validate.main(
        ["--pictures", pictures, "--params", str(params_path), "--task", task, "--out", str(out), *more]
    )


@pytest.mark.parametrize("keeps_val", [True, False])
def test_no_object_of_a_test_fold_trains_and_all_pictures_are_tested_once(
    tiny_tiles_dir: Path, keeps_val: bool
) -> None:
    pictures = Manifest.read(tiny_tiles_dir / "manifest.csv").table
    tested: list[str] = []
    for fold in group_folds(pictures, SplitParams(seed=0, num_folds=3, test_fold=0), 0, keeps_val):
        test = fold.table[fold.table["split"] == "test"]
        others = fold.table[fold.table["split"] != "test"]
        assert not set(test["group"]) & set(others["group"])
        assert set(others["split"]) == ({"train", "val"} if keeps_val else {"train"})
        tested += list(test["path"])
    assert sorted(tested) == sorted(pictures["path"])


def test_pictures_that_come_later_change_no_round_of_the_old_ones(tiny_tiles_dir: Path, tmp_path: Path) -> None:
    params = SplitParams(seed=0, num_folds=3, test_fold=0)
    table = Manifest.read(tiny_tiles_dir / "manifest.csv").table.assign(split="", split_by_image="")
    later = table["group"].isin(table.loc[table["label"] == "Free", "group"].unique()[:3])

    def rounds(pictures: Manifest) -> dict[str, int]:
        folds = group_folds(pictures.table, params, 0, True, cross_validate.remembered_folds(pictures, params))
        return {path: fold.index for fold in folds for path in fold.table.query("split == 'test'")["path"]}

    before = Manifest(table[~later], tmp_path)
    assert cross_validate.remembered_folds(before, params) is None
    divide_pictures(before, tmp_path / "manifest.csv", params)
    old, new = rounds(before), rounds(Manifest(table, tmp_path))
    assert len(new) == len(table)
    assert {path: new[path] for path in old} == old


def test_folds_of_one_division_are_not_mixed_with_those_of_another(
    tiny_tiles_dir: Path, params_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(cross_validate, "run_fold", lambda *_: None)
    monkeypatch.setattr(cross_validate, "write_summary", lambda *_: "")
    params = SplitParams(seed=0, num_folds=3, test_fold=0)
    table = Manifest.read(tiny_tiles_dir / "manifest.csv").table.assign(split="", split_by_image="")
    later = table["group"].isin(table.loc[table["label"] == "Free", "group"].unique()[:3])
    for pictures in (table[~later], table):
        divide_pictures(Manifest(pictures, tmp_path), tmp_path / "manifest.csv", params)
    assert _run(tmp_path, params_path, tmp_path / "cv") == 0
    assert _run(tmp_path, params_path, tmp_path / "cv") == 0
    (tmp_path / "sides.csv").unlink()
    divide_pictures(Manifest(table, tmp_path), tmp_path / "manifest.csv", params.model_copy(update={"seed": 1}))
    (tmp_path / "sides.csv").unlink()  # folds are dealt anew
    assert _run(tmp_path, params_path, tmp_path / "cv") == 2
    assert "other params, data or division: choose another --out" in capsys.readouterr().err


def test_the_split_by_image_holds_70_15_15_percent_of_every_class(tiny_tiles_dir: Path) -> None:
    pictures = Manifest.read(tiny_tiles_dir / "manifest.csv").table
    divided = image_split(pictures, 0, keeps_val=True).table
    shares = divided["split_by_image"].value_counts(normalize=True)
    assert shares.to_dict() == pytest.approx({"train": 0.7, "val": 0.15, "test": 0.15}, abs=0.01)
    counts = pd.crosstab(divided["label"], divided["split_by_image"], normalize="index")
    assert counts["test"].between(0.05, 0.25).all()
    assert (
        image_split(pictures, 1, keeps_val=True).table["split_by_image"].tolist() != divided["split_by_image"].tolist()
    )
    assert "val" not in set(image_split(pictures, 0, keeps_val=False).table["split_by_image"])


@pytest.mark.parametrize(("share", "said"), [("0.1", "not between"), ("0.9", "not between"), ("many", "no number")])
def test_a_share_that_leaves_a_side_too_few_is_refused(
    share: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cross_validate.main(["--protocol", "image", "--test-share", share])
    assert said in capsys.readouterr().err


def test_crops_of_moved_boxes_are_nothing_to_be_tested_on(
    params_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = yaml.safe_load(params_path.read_text())
    params["crops"] = {"margin": 0.1, "jitter": 0.2, "jittered": 2}
    params_path.write_text(yaml.safe_dump(params))
    assert _run(tmp_path, params_path, tmp_path / "cv", task="crop-classification") == 2
    assert "crops.jittered is 2: folds would be measured on crops of moved boxes" in capsys.readouterr().err
    params["crops"]["jittered"] = 0
    params_path.write_text(yaml.safe_dump(params))
    assert _run(tmp_path, params_path, tmp_path / "cv", task="crop-classification") == 2
    assert "cannot read the manifest" in capsys.readouterr().err


def _table(**num_pictures: int) -> pd.DataFrame:
    labels = [label for label, number in num_pictures.items() for _ in range(number)]
    return pd.DataFrame({"path": [f"{i}.png" for i in range(len(labels))], "label": labels})


@pytest.mark.parametrize("keeps_val", [True, False])
@pytest.mark.parametrize("number", [1, 2])
def test_a_class_too_small_for_a_split_by_image_is_named(number: int, keeps_val: bool) -> None:
    with pytest.raises(
        ManifestError, match=rf"by image: crack \({number} picture\(s\)\)\. Add pictures \(8 of .* take --"
    ):
        image_split(_table(good=60, hole=40, crack=number), 0, keeps_val)
    with pytest.raises(ManifestError, match=r"by image: crack \(3 picture\(s\)\), good \(3 picture\(s\)\)\."):
        image_split(_table(good=3, crack=3), 0, keeps_val)  # fewer drawn than there are classes


@pytest.mark.parametrize("test_share", [TEST_SHARE, 0.2, MAX_TEST_SHARE])
@pytest.mark.parametrize("others", [8, 9, 11, 40, 333])
def test_eight_pictures_of_a_class_are_always_enough_for_a_split_by_image(others: int, test_share: float) -> None:
    for seed in range(5):
        divided = image_split(_table(good=others, hole=8, crack=8), seed, True, test_share).table
        assert (divided["split_by_image"] == "test").mean() == pytest.approx(test_share, abs=1.5 / len(divided))
        assert (pd.crosstab(divided["label"], divided["split_by_image"]) > 0).to_numpy().all()


@pytest.mark.slow
def test_folds_are_pooled_resumed_and_never_mixed_with_those_of_other_params(
    tiny_tiles_dir: Path, params_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cv"
    assert _run(tiny_tiles_dir, params_path, out, "--folds", "0", "2") == 0
    assert json.loads((out / "summary.json").read_text())["incomplete"] == ["seed0 group: 2 of 3 folds"]
    before = (out / "seed0/group0/checkpoint.pt").stat().st_mtime_ns
    assert _run(tiny_tiles_dir, params_path, out) == 0
    assert (out / "seed0/group0/checkpoint.pt").stat().st_mtime_ns == before
    pooled = Predictions.read(out / "seed0/group.csv")
    assert sorted(pooled.paths) == sorted(Manifest.read(tiny_tiles_dir / "manifest.csv").table["path"])
    summary = json.loads((out / "summary.json").read_text())
    (reached,), (outlines,) = summary["reached"], summary["outlines"]
    assert outlines["measured"]["num_images"] + outlines["measured"]["num_unknown"] == len(pooled.paths)
    assert reached["value"]["accuracy"] == pytest.approx((pooled.predicted == pooled.labels).mean())
    assert json.loads((out / "seed0/group0/run.json").read_text())["cpu_s"] > 0

    document = yaml.safe_load(params_path.read_text())
    document["segmentation"]["channels"] = 5
    params_path.write_text(yaml.safe_dump(document))
    assert _run(tiny_tiles_dir, params_path, out) == 2
    assert "choose another --out" in capsys.readouterr().err


def test_a_split_by_image_of_a_detector_ends_with_its_boxes(
    tiny_tiles_dir: Path, params_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "cv"
    assert _run(tiny_tiles_dir, params_path, out, "--protocol", "image", task="detection") == 0
    pooled = Predictions.read(out / "seed0/image.csv")
    summary = json.loads((out / "summary.json").read_text())
    (reached,), (boxes,) = summary["reached"], summary["boxes"]
    assert reached["num_images"] == len(pooled.paths)
    assert boxes["measured"]["num_images"] + boxes["measured"]["num_unknown"] == len(pooled.paths)
    assert boxes["measured"]["results"][0]["num_objects"] > 0
    assert "| image | 0 | mean of the objects | " in (out / "summary.md").read_text()


@pytest.mark.slow
def test_a_fold_is_trained_like_any_run_deterministic_and_left_when_asked_to_go_on_later(
    tiny_tiles_dir: Path, params_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = yaml.safe_load(params_path.read_text())
    document["segmentation"]["train"]["phases"][0]["steps"] = 2
    params_path.write_text(yaml.safe_dump(document))
    steps, real_step = [], Learner.step

    def step(self: Learner, batch: Batch, *numbers: int) -> tuple[torch.Tensor, torch.Tensor]:
        steps.append(torch.are_deterministic_algorithms_enabled())
        if len(steps) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return real_step(self, batch, *numbers)

    monkeypatch.setattr(Learner, "step", step)
    handler = signal.getsignal(signal.SIGTERM)
    assert _run(tiny_tiles_dir, params_path, tmp_path / "cv", "--folds", "0") == REQUEUE
    signal.signal(signal.SIGTERM, handler)  # a process that leaves is asked no more
    assert steps == [True]
    assert _run(tiny_tiles_dir, params_path, tmp_path / "cv", "--folds", "0") == 0
    assert steps == [True, True]  # the second step alone
    assert (tmp_path / "cv/seed0/group0" / PREDICTIONS_FILE).is_file()


def _predictions(labels: np.ndarray, probs: np.ndarray, prefix: str = "") -> Predictions:
    return Predictions(
        np.array([f"{prefix}{i}.png" for i in range(len(labels))], dtype=object), labels,
        np.array([f"g{i}" for i in range(len(labels))], dtype=object), np.array(["test"] * len(labels), dtype=object),
        probs, ("good", "hole", "crack"), pd.DataFrame(index=range(len(labels))),
    )  # fmt: skip


def test_figures_of_pooled_predictions_are_the_hand_computed_ones() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    predicted = np.array([0, 0, 0, 1, 1, 2, 2, 0])
    reached = figures_of(
        _predictions(labels, np.eye(3)[predicted]), "group", 3, EvaluateParams.model_validate(EVALUATE), "good"
    )
    assert reached.value["accuracy"] == pytest.approx(5 / 8)
    assert reached.value["macro_f1"] == pytest.approx((6 / 8 + 1 / 2 + 1 / 2) / 3)
    assert reached.value["defect_f1"] == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))  # a hole called a crack is a defect
    assert reached.low["accuracy"] < 5 / 8 < reached.high["accuracy"]
    text = table([reached, reached], ["seed4 group: 1 of 5 folds"], 0.95)
    assert "| group | 3 | 8 / 8 | 0.583 (" in text
    assert "| group | mean of 2 | | 0.583 (0.583 to 0.583) |" in text
    assert "Not complete: seed4 group: 1 of 5 folds." in text


def test_normal_is_the_stated_class_and_where_none_is_stated_nothing_is_called_a_defect() -> None:
    """Most pictures show a hole, so that the largest class is not the one stated to be normal."""
    labels, predicted = np.array([0, 0, 1, 1, 1, 2]), np.array([0, 1, 1, 1, 2, 2])
    pooled, params = _predictions(labels, np.eye(3)[predicted]), EvaluateParams.model_validate(EVALUATE)
    stated, unstated = (figures_of(pooled, "group", 0, params, normal) for normal in ("good", ""))
    assert stated.value["defect_f1"] == pytest.approx(2 * 4 / (2 * 4 + 1))  # four are found, a good one is refused
    assert unstated.value["not_largest_f1"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert "defect_f1" not in unstated.value
    assert "defect-or-not F1" in table([stated], [], 0.95)
    text = table([unstated], [], 0.95)
    assert "F1 of not being of the largest class" in text
    assert "The data state no normal class" in text
    assert "defect-or-not" not in text


def test_models_of_all_seeds_vote_by_their_mean_probability(tmp_path: Path) -> None:
    labels = np.array([0, 0, 1, 2])
    sure, unsure = [0.9, 0.05, 0.05], [0.3, 0.4, 0.3]
    rows = {0: [sure, unsure, unsure, [0.0, 0.1, 0.9]], 1: [unsure, sure, [0.2, 0.7, 0.1], [0.0, 0.6, 0.4]]}
    for seed, probs in rows.items():
        for fold in (0, 1):
            half = slice(2 * fold, 2 * fold + 2)
            path = tmp_path / f"seed{seed}/group{fold}" / PREDICTIONS_FILE
            path.parent.mkdir(parents=True)
            _predictions(labels[half], np.array(probs)[half], f"fold{fold}-").write(path)
    text = write_summary(
        tmp_path, 2, EvaluateParams.model_validate(EVALUATE), "good", Manifest(pd.DataFrame(), tmp_path)
    )
    reached = json.loads((tmp_path / "summary.json").read_text())["reached"]
    assert [(one["seed"], one["value"]["accuracy"]) for one in reached] == [(0, 0.75), (1, 0.5), (None, 1.0)]
    assert "| group | probabilities averaged over 2 | 4 / 2 | 1.000" in text
    assert "| group | mean of 2 | | 0." in text
    other = tmp_path / "seed1/group1" / PREDICTIONS_FILE
    _predictions(labels[2:], np.array(rows[1])[2:], "other-").write(other)
    with pytest.raises(PredictionsError, match="different pictures"):
        write_summary(tmp_path, 2, EvaluateParams.model_validate(EVALUATE), "good", Manifest(pd.DataFrame(), tmp_path))
