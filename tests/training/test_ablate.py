"""An ablation is a search over named arms and seeds: what is done stays, what is lost or changed is trained again."""

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from optuna.trial import TrialState

from evaluation.predictions import Predictions
from tests.training import stand_in_training
from tests.training.records.mlflow_store import copy_empty_store
from tests.training.stand_in_training import BREAKS, IS_REFUSED
from training import ablate, search
from training.sweeps import ablations, search_worker
from training.sweeps.ablations import Arm, Document, _backbone, _from_scratch
from training.sweeps.study import GOES_ON, read_study


def _decay(value: float) -> Callable[[Document], None]:
    return lambda document: document["train"].update(weight_decay=value)


@pytest.fixture
def words(tiny_tiles_dir: Path, tiny_params: dict[str, Any], tmp_path: Path) -> list[str]:
    """The command line for tiny pictures, with outputs under `tmp_path`."""
    tiny_params["contract"] |= {"height": 32, "width": 32}
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump(tiny_params), encoding="utf-8")
    manifest = str(tiny_tiles_dir / "manifest.csv")
    return ["--params", str(params), "--manifest", manifest, "--out", str(tmp_path / "ablations")]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
    """Weight decay and seed of every run that is started, each a process of a moment."""
    started = []

    def start(params: Path, manifest: Path, out_dir: Path, task: str) -> subprocess.Popen[bytes]:
        started.append(stand_in_training.decay_and_seed(params))
        return stand_in_training.start_training(params, manifest, out_dir, task)

    monkeypatch.setattr(search_worker, "start_training", start)
    return started


def _arms(monkeypatch: pytest.MonkeyPatch, *arms: Arm) -> None:
    monkeypatch.setitem(ablations.ABLATIONS, "training", arms)


def _table(tmp_path: Path) -> dict[tuple[str, str], dict[str, str]]:
    with (tmp_path / "ablations/training/table.csv").open(encoding="utf-8") as file:
        return {(row["arm"], row["figure"]): row for row in csv.DictReader(file)}


@pytest.mark.slow
def test_a_real_ablation_measures_val_and_test_if_asked_and_says_what_it_could_not_train(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No package holds weights of test_resnet."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", copy_empty_store(tmp_path / "mlflow.db"))
    _arms(monkeypatch, Arm("scratch", _from_scratch), Arm("none", _backbone("test_resnet", "package")))
    folder = tmp_path / "ablations/training/trials/0000"
    assert ablate.main(["training", *words, "--seeds", "1", "--test"]) == 0
    *_, scratch, refused = capsys.readouterr().out.splitlines()
    history = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert history[0]["params"]["model.backbone"] == "two_layer_cnn"
    best = max(record["val_macro_f1"] for record in history)
    assert scratch.startswith(f"| scratch | 1 | {best:.3f} |")
    test = Predictions.read(folder / "predictions.csv").select("test")
    found = float(_table(tmp_path)["scratch", "test_accuracy"]["mean"])
    assert found == pytest.approx((test.predicted == test.labels).mean())
    assert refused.startswith("| none | 0 |")
    assert "none those of 'test_resnet'" in refused


def test_only_what_is_lost_or_has_other_params_is_trained_again(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[tuple[float, int]],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    _arms(monkeypatch, Arm("a", _decay(0.1)), Arm("b", lambda _: None))
    assert ablate.main(["training", *words, "--seeds", "2"]) == 0
    assert trained == [(0.1, 0), (0.01, 0), (0.1, 1), (0.01, 1)]
    assert "| a | 2 | 0.350 ± 0.071 | 0.100 ± 0.000 | 0.500 ± 0.000 |" in capsys.readouterr().out
    before = _table(tmp_path)
    assert 0 < float(before["a", "seconds"]["lowest"]) < 60

    (tmp_path / "ablations/training/trials/0001/log.jsonl").unlink()
    assert ablate.main(["training", *words, "--seeds", "2"]) == 0
    assert trained[4:] == [(0.01, 0)]
    assert _table(tmp_path)["b", "val_macro_f1"] == before["b", "val_macro_f1"]
    params = tmp_path / "params.yaml"
    params.write_text(params.read_text().replace("weight_decay: 0.01", "weight_decay: 0.02"))
    assert ablate.main(["training", *words, "--seeds", "2"]) == 0
    assert trained[5:] == [(0.02, 0), (0.02, 1)]
    assert _table(tmp_path)["b", "val_accuracy"]["values"] == "0.02 0.02"
    assert search.main(["--table", "--out", str(tmp_path / "ablations/training")]) == 0
    assert "7 complete" in capsys.readouterr().out


def test_a_stopped_run_is_gone_on_with_unless_its_params_have_changed(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[tuple[float, int]]
) -> None:
    _arms(monkeypatch, Arm("a", lambda _: None))
    folder = tmp_path / "ablations/training"
    params = tmp_path / "params.yaml"

    def interrupt(_params: Path, _manifest: Path, out_dir: Path, _task: str) -> None:
        (out_dir / "state").mkdir()
        raise KeyboardInterrupt

    def stop() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(search_worker, "start_training", interrupt)
            with pytest.raises(KeyboardInterrupt):
                ablate.main(["training", *words, "--seeds", "1"])

    stop()
    assert ablate.main(["training", *words, "--seeds", "1"]) == 0
    assert (folder / "trials/0001/state").is_dir()
    assert read_study(folder).get_trials()[1].user_attrs[GOES_ON] == 0
    params.write_text(params.read_text().replace("weight_decay: 0.01", "weight_decay: 0.02"))
    stop()
    params.write_text(params.read_text().replace("weight_decay: 0.02", "weight_decay: 0.03"))
    assert ablate.main(["training", *words, "--seeds", "1"]) == 0
    assert trained == [(0.01, 0), (0.03, 0)]
    assert _table(tmp_path)["a", "val_accuracy"]["values"] == "0.03"
    assert all(trial.state.is_finished() for trial in read_study(folder).get_trials())


def test_an_arm_that_is_refused_is_a_row_that_says_why_and_is_tried_again_next_time(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[tuple[float, int]]
) -> None:
    _arms(monkeypatch, Arm("a", _decay(IS_REFUSED)), Arm("b", _decay(0.1)))
    for _ in range(2):
        assert ablate.main(["training", *words, "--seeds", "2"]) == 0
        assert _table(tmp_path)["a", ""]["reason"] == "this is refused"
        assert _table(tmp_path)["b", "val_accuracy"]["values"] == "0.1 0.1"
    assert trained == [(IS_REFUSED, 0), (0.1, 0), (0.1, 1), (IS_REFUSED, 0)]


def test_a_run_that_breaks_ends_the_ablation_and_its_log_is_named(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[tuple[float, int]],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    _arms(monkeypatch, Arm("a", _decay(BREAKS)), Arm("b", _decay(0.1)))
    assert ablate.main(["training", *words]) == 2
    log = tmp_path / "ablations/training/trials/0000/child.log"
    assert f"'a', seed 0 ended with status 247: see {log}" in capsys.readouterr().err
    assert trained == [(BREAKS, 0)]
    first, second = read_study(tmp_path / "ablations/training").get_trials()
    assert (first.state, second.state) == (TrialState.FAIL, TrialState.WAITING)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("batch_size: 12", "batch_size: none", "train.batch_size"),
        ("trainable: head", "trainable: all", "trains the head alone"),
    ],
)
def test_wrong_params_are_refused_before_anything_is_trained(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str
) -> None:
    params = tmp_path / "params.yaml"
    params.write_text(params.read_text().replace(old, new))
    assert ablate.main(["training", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "ablations").exists()


def test_an_arm_that_training_would_refuse_is_named_before_anything_is_trained(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _arms(monkeypatch, Arm("a", lambda _: None), Arm("b", _decay(-1)))
    assert ablate.main(["training", *words]) == 2
    assert "the arm 'b' changes params.yaml, but train.weight_decay" in capsys.readouterr().err
    assert not (tmp_path / "ablations").exists()
