"""Which stage a command is: two tasks run the same modules, and each has files of its own."""

import hashlib
from pathlib import Path
from typing import get_args

import pytest
import yaml

from dataset.outputs.keeping import keep_own
from dataset.outputs.pipeline import announce, outputs_of, places_of_runs
from dataset.outputs.tasks import ARTIFACTS, PIPELINES
from runtime.model.roles import Role

REPOSITORY = Path(__file__).parents[3]
OF_REPOSITORY = [REPOSITORY / path for path in PIPELINES.values()]


def test_every_task_has_its_chain_and_its_artifacts() -> None:
    assert set(PIPELINES) == set(ARTIFACTS) == set(get_args(Role))
    assert all(path.is_file() for path in OF_REPOSITORY)


@pytest.mark.parametrize(
    ("words", "outputs"),
    [
        ("export.export", ["artifacts/export"]),
        ("export.export --task segmentation", ["artifacts/segmentation/export"]),
        ("export.export --params own.yaml --task=segmentation", ["artifacts/segmentation/export"]),
        ("export.export --task classification", ["artifacts/export"]),
        ("evaluation.evaluate --params own.yaml", ["artifacts/evaluation"]),
        ("dataset.load", ["data/pictures", "data/pictures.csv", "data/description.json"]),
        (
            "training.predict --task segmentation",
            ["artifacts/segmentation/predictions.csv", "artifacts/segmentation/maps"],
        ),
        (
            "training.predict --task detection",
            ["artifacts/detection/predictions.csv", "artifacts/detection/boxes"],
        ),
        ("no.stage", []),
    ],
)
def test_a_stage_is_told_by_its_options(words: str, outputs: list[str]) -> None:
    assert [path.as_posix() for path in outputs_of(words.split(), OF_REPOSITORY)] == outputs


def test_every_stage_of_the_project_is_told_from_the_others() -> None:
    for path in OF_REPOSITORY:
        for stage in yaml.safe_load(path.read_text())["stages"].values():
            words = stage["cmd"].split()
            if "dataset.stage" in words:
                outs = [next(iter(out)) for out in stage["outs"]]
                found = outputs_of(words[words.index("dataset.stage") + 1 :], OF_REPOSITORY)
                assert [out.as_posix() for out in found] == outs


def test_a_stage_is_announced_once_by_the_command_that_it_starts(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["training.predict", "--task", "segmentation"]
    announce(words, "training.predict", OF_REPOSITORY)
    assert capsys.readouterr().out == ""
    announce(words, "dataset.stage", OF_REPOSITORY)
    assert capsys.readouterr().out.startswith("predict: asks the model about the pictures for validation and test, and")
    announce(["training.predict"], "training.predict", OF_REPOSITORY)
    assert capsys.readouterr().out.startswith("predict: asks the model about the pictures for validation and test;")


def test_what_a_person_put_where_segmentation_trains_is_kept_and_what_its_last_run_left_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stage = {"cmd": "python -m training.train", "outs": ["artifacts/segmentation/training/a.pt", "of_run.pt"]}
    Path("segmentation").mkdir()
    Path("segmentation/dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": stage}}))
    md5 = hashlib.md5(b"of a run", usedforsecurity=False).hexdigest()
    lock = {"stages": {"train": {"outs": [{"path": "of_run.pt", "md5": md5}]}}}
    Path("segmentation/dvc.lock").write_text(yaml.safe_dump(lock))
    Path("of_run.pt").write_text("of a run")
    own = Path("artifacts/segmentation/training/a.pt")
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    (kept,) = keep_own()
    assert kept.read_text() == "mine"
    assert kept.parent == own.parent / "kept"
    assert Path("of_run.pt").is_file()
    assert own in places_of_runs(Path("data"))
