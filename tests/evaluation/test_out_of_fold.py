"""All folds beside the test split: counted over every picture, weak slices named, other pictures refused."""

import numpy as np
import pytest

from evaluation import card, evaluate
from evaluation.evaluation import Evaluation
from evaluation.predictions import Predictions
from tests.evaluation.pages.test_report import Page
from tests.evaluation.project import Project


def pooled(project: Project) -> Predictions:
    """Answer every picture of the manifest, wrongly under exposure 5 only."""
    rows = project.manifest.table.assign(split="test")
    labels = rows["label"].map(project.classes.index).to_numpy()
    is_wrong = (rows["attributes.exposure"] == "5").to_numpy()
    answers = np.where(is_wrong, (labels + 1) % len(project.classes), labels)
    probs = np.full((len(rows), len(project.classes)), 0.1 / (len(project.classes) - 1))
    probs[np.arange(len(rows)), answers] = 0.9
    return Predictions.from_table(rows, probs, project.classes)


def run(project: Project, predictions: Predictions) -> int:
    path = project.root / "group.csv"
    predictions.write(path)
    return evaluate.main([*project.evaluate_arguments, "--out-of-fold", str(path)])


def test_figures_and_a_weak_slice_over_all_folds_stand_in_report_and_card(project: Project) -> None:
    params = project.root / "params.yaml"
    params.write_text(
        params.read_text().replace("samples: 200", "samples: 200, min_slice_images: 10"), encoding="utf-8"
    )
    assert run(project, pooled(project)) == 0
    table = project.manifest.table
    result = Evaluation.read(project.evaluation_dir / "out_of_fold.json")
    assert (result.num_images, result.num_groups) == (len(table), table["group"].nunique())
    assert result.accuracy.value == pytest.approx(0.8)
    assert result.data_sha256 == project.manifest.sha256
    assert card.main(project.card_arguments) == 0
    text = project.card_path.read_text(encoding="utf-8")
    section = text[text.index("## Over all folds\n") : text.index("## Classes\n")]
    assert f"Every image of the data, {len(table)} of " in section
    assert "| Accuracy | 0.800 (" in section
    assert "| exposure: 5 **WEAK** | " in section
    page = Page((project.root / "artifacts" / "report.html").read_text(encoding="utf-8"))
    assert f"Every image of the data, {len(table)} of " in page.text
    assert "exposure: 5 WEAK" in page.text


def test_what_an_earlier_run_left_is_not_shown_as_measured_now(project: Project) -> None:
    assert run(project, pooled(project)) == 0
    assert evaluate.main(project.evaluate_arguments) == 0
    assert card.main(project.card_arguments) == 0
    assert "Over all folds" not in project.card_path.read_text(encoding="utf-8")


def test_predictions_that_leave_a_picture_out_are_refused(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    whole = pooled(project)
    assert run(project, whole.take(np.arange(1, len(whole.paths)))) == 2
    assert str(whole.paths[0]) in capsys.readouterr().err


def test_predictions_of_validation_pictures_are_refused(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(project, project.predict()) == 2
    assert "of test pictures only" in capsys.readouterr().err
