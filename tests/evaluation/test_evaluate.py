"""The stage `evaluate`: files in, files out; leaks and mismatches refused."""

import base64
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from dataset.description import DataDescription
from dataset.manifest import Manifest
from dataset.params import SplitParams
from dataset.splitting.versions import Version, Versions
from evaluation import evaluate
from evaluation.assess import assess
from evaluation.evaluation import Evaluation, EvaluationError
from evaluation.pages import plots
from evaluation.params import EvaluateParams
from evaluation.predictions import Predictions
from tests.evaluation.project import Project, make_project

OUTPUTS = {
    "confusion.csv", "confusion.png", "evaluation.json", "labels/label_studio.xml", "labels/to_review.csv",
    "labels/to_review.png", "metrics.json", "per_class_f1.png", "reliability.csv", "report.html", "threshold.csv",
}  # fmt: skip


def written(project: Project) -> dict[str, bytes]:
    root = project.evaluation_dir
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def run(project: Project) -> Evaluation:
    assert evaluate.main(project.evaluate_arguments) == 0
    return evaluation_of(project)


def evaluation_of(project: Project) -> Evaluation:
    return Evaluation.read(project.evaluation_dir / "evaluation.json")


def test_all_files_are_written_and_nothing_else(shared_carded: Project) -> None:
    assert set(written(shared_carded)) == OUTPUTS


def test_plots_are_drawn_once_for_the_file_and_the_report(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    for name in ("draw_confusion", "draw_per_class_f1"):
        monkeypatch.setattr(plots, name, partial(_noting, drawn, name, getattr(plots, name)))
    run(project)
    assert sorted(drawn) == ["draw_confusion", "draw_per_class_f1"]
    files = written(project)
    svgs = re.findall(rb'src="data:image/svg\+xml;base64,([^"]+)"', files["report.html"])
    texts = [base64.b64decode(svg).decode() for svg in svgs]
    assert [sum(words in text for text in texts) for words in ("share of the actual class", "F1, bar:")] == [1, 1]


def _noting(drawn: list[str], name: str, draw: Callable[[Evaluation], Figure], evaluation: Evaluation) -> Figure:
    drawn.append(name)
    return draw(evaluation)


def test_figures_are_those_of_the_test_rows(shared_carded: Project) -> None:
    evaluation = evaluation_of(shared_carded)
    table = pd.read_csv(shared_carded.predictions_path)
    table = table[table["split"] == "test"]
    assert evaluation.num_images == len(table) == 30
    assert evaluation.num_groups == 6
    assert evaluation.accuracy.value == pytest.approx(accuracy_score(table["label"], table["predicted"]))
    assert evaluation.macro_f1.value == pytest.approx(f1_score(table["label"], table["predicted"], average="macro"))
    assert evaluation.balanced_accuracy.value == pytest.approx(
        balanced_accuracy_score(table["label"], table["predicted"])
    )
    crosstab = pd.crosstab(table["label"], table["predicted"])
    for confusion in evaluation.confusions:
        assert confusion.num_images == crosstab.loc[confusion.actual, confusion.predicted]
    assert evaluation.num_wrong == sum(c.num_images for c in evaluation.confusions) > 0
    assert sum(map(sum, evaluation.confusion)) == 30


def test_worst_errors_are_wrong_and_the_surest_of_every_group_come_first(shared_carded: Project) -> None:
    evaluation = evaluation_of(shared_carded)
    table = pd.read_csv(shared_carded.predictions_path).set_index("path")
    assert len(evaluation.wrong) == min(evaluation.num_wrong, 24)
    num_groups = len({item.group for item in evaluation.wrong})
    assert num_groups < len(evaluation.wrong)
    first, rest = evaluation.wrong[:num_groups], evaluation.wrong[num_groups:]
    assert len({item.group for item in first}) == num_groups
    assert [item.probability for item in first] == sorted((item.probability for item in first), reverse=True)
    surest = {item.group: item.probability for item in first}
    assert all(item.probability <= surest[item.group] for item in rest)
    for item in evaluation.wrong:
        row = table.loc[item.path]
        assert (item.label, item.predicted) == (row["label"], row["predicted"])
        assert item.label != item.predicted
        assert item.probability == pytest.approx(row[f"probability.{item.predicted}"])


def test_metrics_hold_the_same_numbers_as_the_evaluation(shared_carded: Project) -> None:
    evaluation = evaluation_of(shared_carded)
    metrics = json.loads((shared_carded.evaluation_dir / "metrics.json").read_text(encoding="utf-8"))
    assert set(metrics) == {"test"}
    assert metrics["test"]["macro_f1"] == evaluation.macro_f1.value
    assert metrics["test"]["macro_f1_low"] == evaluation.macro_f1.low
    assert metrics["test"]["macro_f1_high"] == evaluation.macro_f1.high
    assert metrics["test"]["f1"] == {result.name: result.f1.value for result in evaluation.per_class}


def test_confusion_csv_has_one_row_an_image(shared_carded: Project) -> None:
    evaluation = evaluation_of(shared_carded)
    table = pd.read_csv(shared_carded.evaluation_dir / "confusion.csv")
    assert list(table.columns) == ["actual", "predicted"]
    crosstab = pd.crosstab(table["actual"], table["predicted"]).reindex(
        index=evaluation.classes, columns=evaluation.classes, fill_value=0
    )
    assert crosstab.to_numpy().tolist() == [list(row) for row in evaluation.confusion]


def test_running_twice_writes_the_same_bytes(evaluated: Project) -> None:
    first = written(evaluated)
    run(evaluated)
    assert first == written(evaluated)


def test_the_report_says_which_version_of_the_data_was_measured(project: Project) -> None:
    split = SplitParams(seed=0, num_folds=5, test_fold=0)
    first = Version.of(project.manifest, split, 1).model_copy(update={"data_sha256": {"classification": "other"}})
    Versions((first, Version.of(project.manifest, split, 2))).write(project.data_dir)
    assert run(project).data_version == "version 2 of the data"
    assert ", version 2 of the data." in written(project)["report.html"].decode()


def test_the_split_by_image_is_measured_and_called_leaking(project: Project) -> None:
    project.compare()
    headline = run(project)
    by_image = Evaluation.read(project.evaluation_dir / "by_image.json")
    table = project.manifest.table
    trained = set(table.loc[table["split_by_image"] == "train", "group"])
    tested = table[table["split_by_image"] == "test"]
    assert (by_image.protocol, by_image.leaking) == ("image", True)
    assert by_image.num_seen_in_training == tested["group"].isin(trained).sum() > 0
    assert (headline.leaking, headline.num_seen_in_training) == (False, 0)
    metrics = json.loads((project.evaluation_dir / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["by_image"]["leaking"] is True
    assert metrics["by_image"]["accuracy"] == by_image.accuracy.value


def test_an_earlier_comparison_does_not_outlive_its_predictions(project: Project) -> None:
    project.compare()
    run(project)
    (project.by_image_dir / "predictions.csv").unlink()
    (project.by_image_dir / "not_compared.txt").write_text("Not asked for.\n", encoding="utf-8")
    run(project)
    assert not (project.evaluation_dir / "by_image.json").exists()


def test_a_planted_leak_is_refused_with_the_files_named(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    table = project.manifest.table
    leaked = table.index[table["split"] == "test"][0]
    table.loc[leaked, "split"] = "train"
    Manifest(table, project.data_dir).write(project.data_dir / "manifest.csv")
    project.predict().write(project.predictions_path)
    assert evaluate.main(project.evaluate_arguments) == 2
    message = capsys.readouterr().err
    assert "on two sides of the split" in message
    assert table.loc[leaked, "group"] in message
    assert table.loc[leaked, "path"] in message
    assert not project.evaluation_dir.exists()


def test_predictions_of_an_earlier_split_are_refused(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    table = project.manifest.table
    table["split"] = table["split"].map({"train": "train", "val": "test", "test": "val"})
    Manifest(table, project.data_dir).write(project.data_dir / "manifest.csv")
    assert evaluate.main(project.evaluate_arguments) == 2
    assert "not of the manifest's test images" in capsys.readouterr().err


def test_a_missing_test_image_is_refused(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    lines = project.predictions_path.read_text(encoding="utf-8").splitlines(keepends=True)
    dropped = next(line for line in lines if ",test," in line)
    project.predictions_path.write_text("".join(line for line in lines if line != dropped), encoding="utf-8")
    assert evaluate.main(project.evaluate_arguments) == 2
    message = capsys.readouterr().err
    assert "1 row(s) differ" in message
    assert dropped.split(",")[0] in message


def changed_predictions(project: Project, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    table = pd.read_csv(project.predictions_path, dtype=str, keep_default_na=False)
    change(table).to_csv(project.predictions_path, index=False)


def other_val_label(table: pd.DataFrame) -> pd.DataFrame:
    row = table.index[table["split"] == "val"][0]
    other = next(label for label in sorted(set(table["label"])) if label != table.at[row, "label"])
    return table.assign(label=table["label"].where(table.index != row, other))


def foreign_val_row(table: pd.DataFrame) -> pd.DataFrame:
    row = table[table["split"] == "val"].iloc[[0]].assign(path="elsewhere.png")
    return pd.concat([table, row])


def without_a_val_row(table: pd.DataFrame) -> pd.DataFrame:
    kept: pd.DataFrame = table.drop(index=table.index[table["split"] == "val"][0])
    return kept


@pytest.mark.parametrize("change", [other_val_label, foreign_val_row, without_a_val_row])
def test_validation_rows_are_checked_as_test_rows_are(
    project: Project, capsys: pytest.CaptureFixture[str], change: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    changed_predictions(project, change)
    assert evaluate.main(project.evaluate_arguments) == 2
    assert "not of the manifest's validation images (split by group)" in capsys.readouterr().err


def test_training_images_are_refused_whatever_they_are_called(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = project.manifest
    trained = manifest.table[manifest.table["split"] == "train"].iloc[0]

    def add(table: pd.DataFrame, split: str) -> pd.DataFrame:
        row = table.iloc[[0]].assign(path=trained["path"], group=trained["group"], split=split)
        return pd.concat([table, row.assign(label=trained["label"])])

    for split, told in (("val", "not of the manifest's validation images"), ("train", "hold 1 training image(s)")):
        project.predict().write(project.predictions_path)
        changed_predictions(project, partial(add, split=split))
        assert evaluate.main(project.evaluate_arguments) == 2
        message = capsys.readouterr().err
        assert told in message
        assert trained["path"] in message


def test_predictions_of_test_images_alone_are_evaluated(project: Project) -> None:
    changed_predictions(project, lambda table: table[table["split"] == "test"])
    calibration = run(project).calibration
    assert calibration is not None
    assert calibration.temperature is None


def test_neither_predictions_by_image_nor_a_reason_is_refused(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    (project.by_image_dir / "not_compared.txt").unlink()
    assert evaluate.main(project.evaluate_arguments) == 2
    assert "holds neither predictions.csv nor not_compared.txt" in capsys.readouterr().err


def test_a_description_that_is_missing_or_no_description_is_refused_by_name(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project.data_dir / "description.json"
    path.write_text("{}", encoding="utf-8")
    assert evaluate.main(project.evaluate_arguments) == 2
    assert f"evaluate: cannot read {path}: " in capsys.readouterr().err
    path.unlink()
    assert evaluate.main(project.evaluate_arguments) == 2
    assert f"evaluate: there is no {path}; run python -m dataset.load" in capsys.readouterr().err


def test_a_missing_picture_is_refused_by_name(evaluated: Project, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = evaluation_of(evaluated).wrong[0]
    (evaluated.data_dir / wrong.path).unlink()
    assert evaluate.main(evaluated.evaluate_arguments) == 2
    assert wrong.path in capsys.readouterr().err


def test_too_few_resamples_are_refused(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    params = project.root / "params.yaml"
    params.write_text(params.read_text(encoding="utf-8").replace("200", "5"), encoding="utf-8")
    assert evaluate.main(project.evaluate_arguments) == 2
    assert "evaluate.bootstrap_samples" in capsys.readouterr().err


def test_a_perfect_model_of_two_classes_has_no_errors_to_show(tmp_path: Path) -> None:
    project = make_project(tmp_path, ("bad", "good"))
    project.predict(accuracy=1.0).write(project.predictions_path)
    evaluation = run(project)
    assert evaluation.accuracy.value == 1
    assert (evaluation.wrong, evaluation.confusions, evaluation.num_wrong) == ((), (), 0)


def test_a_class_that_is_never_predicted_has_a_null_precision(project: Project) -> None:
    predictions = project.predict()
    probs = predictions.probs.copy()
    probs[:, 0] = 0
    probs /= probs.sum(axis=1, keepdims=True)
    without_first = Predictions(
        predictions.paths, predictions.labels, predictions.groups, predictions.splits, probs, predictions.classes,
        predictions.attributes,
    )  # fmt: skip
    without_first.write(project.predictions_path)
    evaluation = run(project)
    first = evaluation.per_class[0]
    assert (first.num_predicted, first.precision.value, first.recall.value, first.f1.value) == (0, None, 0, 0)
    assert evaluation.macro_f1.value == pytest.approx(sum(c.f1.value or 0 for c in evaluation.per_class) / 3)


def test_a_damaged_evaluation_is_refused_by_name(evaluated: Project) -> None:
    path = evaluated.evaluation_dir / "evaluation.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"macro_f1"', '"micro_f1"'), encoding="utf-8")
    with pytest.raises(EvaluationError, match=r"evaluation\.json is not a valid evaluation"):
        Evaluation.read(path)


def test_a_near_duplicate_on_the_other_side_of_the_split_is_found(project: Project) -> None:
    """A leak that groups do not tell of: the same photograph under two objects' names."""
    table = project.manifest.table
    trained, tested = (table.index[table["split"] == split][0] for split in ("train", "test"))
    original = project.data_dir / table["path"][trained]
    (project.data_dir / table["path"][tested]).write_bytes(original.read_bytes())
    project.inspect()
    review = run(project).label_review
    assert review is not None
    (pair,) = [p for p in review.near_duplicates if table["path"][trained] in (p.path, p.other_path)]
    assert {pair.path, pair.other_path} == {table["path"][trained], table["path"][tested]}
    assert {pair.split, pair.other_split} == {"train", "test"}
    assert pair.correlation == pytest.approx(1, abs=1e-3)
    listed = pd.read_csv(project.evaluation_dir / "labels/to_review.csv")
    assert set(listed["path"]) >= {table["path"][trained], table["path"][tested]}


def test_figures_of_defect_or_not_need_a_normal_class(project: Project, shared_carded: Project) -> None:
    assert "names no normal class" in evaluation_of(shared_carded).no_detection
    description = DataDescription.read(project.data_dir)
    description.model_copy(update={"normal_class": "Free"}).write(project.data_dir)
    evaluation = run(project)
    assert evaluation.no_detection == ""
    assert evaluation.detection is not None
    assert evaluation.detection.num_defects == 20
    assert evaluation.detection.num_normal == 10


def test_one_key_says_how_many_images_a_slice_must_have(project: Project) -> None:
    params = EvaluateParams(seed=0, confidence=0.95, bootstrap_samples=100, min_slice_images=6)
    found = assess(project.predict(), project.manifest, "group", params)
    assert found.slice_search is not None
    assert found.min_slice_images == found.slice_search.min_images == 6
    assert {part.num_images for part in found.slices} == {6}


def test_attributes_called_as_statistics_are_sliced_by_beside_them(project: Project) -> None:
    table = project.manifest.table
    for name in ("brightness", "contrast", "aspect", "defect area"):
        table[f"attributes.{name}"] = ["low" if index % 2 else "high" for index in range(len(table))]
    Manifest(table, project.data_dir).write(project.data_dir / "manifest.csv")
    project.predict().write(project.predictions_path)
    project.inspect()
    search = run(project).slice_search
    assert search is not None
    assert {"brightness", "brightness (measured)", "contrast", "contrast (measured)"} <= set(search.attributes)


def test_a_picture_stored_again_under_another_label_is_reported_as_a_contradiction(project: Project) -> None:
    table = project.manifest.table
    first, second = (
        table.index[(table["label"] == label) & (table["split"] == "train")][0] for label in ("Free", "Crack")
    )
    paths = [table["path"][row] for row in (first, second)]
    with Image.open(project.data_dir / paths[0]) as image:
        image.save(project.data_dir / paths[1], "JPEG", quality=90, subsampling=0)
    project.inspect()
    review = run(project).label_review
    assert review is not None
    (pair,) = review.contradictions
    assert {pair.path: pair.label, pair.other_path: pair.other_label} == {paths[0]: "Free", paths[1]: "Crack"}
    report = (project.evaluation_dir / "report.html").read_text(encoding="utf-8")
    assert "1 pair of files shows the same picture under two labels" in report
    listed = pd.read_csv(project.evaluation_dir / "labels/to_review.csv")
    assert f"the same picture as {pair.other_path}, labelled {pair.other_label}" in set(listed["reason"])


def test_what_likeness_joined_and_that_no_slice_was_large_enough_is_said(project: Project) -> None:
    description = DataDescription.read(project.data_dir)
    description.model_copy(update={"likeness": "Likeness joined 4 of 90 pictures."}).write(project.data_dir)
    search = run(project).slice_search
    assert search is not None
    assert search.num_tested == 0
    report = (project.evaluation_dir / "report.html").read_text(encoding="utf-8")
    assert "Likeness joined 4 of 90 pictures." in report
    assert "has 20 images of 5 groups: none was compared with the rest." in report
