"""The model card: its numbers are the evaluation's, and what was not measured it does not claim."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard

from dataset.description import DataDescription, read_description
from dataset.manifest import Manifest
from evaluation import card, evaluate
from evaluation.asked_model import AskedModel, write_asked_model
from evaluation.document import Estimate, Figure
from evaluation.evaluation import Evaluation
from evaluation.pages.markdown import code, inline, render_sections
from evaluation.pages.sections import Section
from evaluation.pages.slice_sections import search_blocks
from evaluation.pages.wording import number
from runtime.model.card import card_model_sha256
from runtime.model.contract import Lineage, read_contract
from tests.evaluation.pages.test_report import Page
from tests.evaluation.project import Project, make_project
from tests.evaluation.review_document import write_review


def card_of(project: Project) -> str:
    assert evaluate.main(project.evaluate_arguments) == 0
    return card_alone(project)


def card_alone(project: Project) -> str:
    """Write the card of a project that was evaluated before."""
    assert card.main(project.card_arguments) == 0
    return project.card_path.read_text(encoding="utf-8")


@pytest.fixture
def text(shared_carded: Project) -> str:
    """The card of the project that all tests share."""
    return shared_carded.card_path.read_text(encoding="utf-8")


def header_of(text: str) -> dict[str, Any]:
    header = yaml.safe_load(text.split("---\n")[1])
    assert isinstance(header, dict)
    return header


def change_contract(project: Project, **changes: object) -> None:
    path = project.export_dir / "contract.json"
    changed = read_contract(path).model_copy(update=changes)
    path.write_text(changed.to_json(), encoding="utf-8")


def written(estimate: Estimate | Figure) -> str:
    value, low, high = (f"{end:.3f}".replace("-", "−") for end in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low}{' to ' if low.startswith('−') else '–'}{high})"


def test_figures_equal_those_of_the_evaluation(shared_carded: Project, text: str) -> None:
    evaluation = Evaluation.read(shared_carded.evaluation_dir / "evaluation.json")
    for title, estimate in (
        ("Macro-F1", evaluation.macro_f1),
        ("Balanced accuracy", evaluation.balanced_accuracy),
        ("Accuracy", evaluation.accuracy),
    ):
        assert f"| {title} | {written(estimate)} |" in text
    assert evaluation.mcc
    assert f"| Matthews' correlation coefficient (−1 to 1) | {written(evaluation.mcc)} |" in text
    assert "| Class | Precision | Recall | F1 | Average precision |" in text
    for result in evaluation.per_class:
        figures = (result.precision, result.recall, result.f1, result.average_precision)
        assert f"| {result.name} (10 images, 2 groups) | {' | '.join(written(e) for e in figures if e)} |" in text
    first = evaluation.confusions[0]
    assert f"- {first.num_images} of 10 images of **{first.actual}** were called **{first.predicted}** (" in text
    metadata = header_of(text)["model-index"][0]["results"][0]["metrics"]
    assert {m["type"]: m["value"] for m in metadata} == {
        "accuracy": evaluation.accuracy.value,
        "f1": evaluation.macro_f1.value,
        "balanced_accuracy": evaluation.balanced_accuracy.value,
    }


def test_a_document_from_before_two_figures_were_measured_still_makes_a_card(project: Project) -> None:
    project.compare()
    card_of(project)
    for name in ("evaluation.json", "by_image.json"):
        document = json.loads((project.evaluation_dir / name).read_text(encoding="utf-8"))
        del document["mcc"]
        for result in document["per_class"]:
            del result["average_precision"]
        (project.evaluation_dir / name).write_text(json.dumps(document), encoding="utf-8")
    assert card.main(project.card_arguments) == 0
    text = project.card_path.read_text(encoding="utf-8")
    assert "| Class | Precision | Recall | F1 |\n|---|---:|---:|---:|\n" in text
    assert "Matthews" not in text


def test_the_header_names_the_model_it_is_of(shared_carded: Project, text: str) -> None:
    digest = hashlib.sha256((shared_carded.export_dir / "model.onnx").read_bytes()).hexdigest()
    assert card_model_sha256(text) == digest
    assert header_of(text)["model_sha256"] == digest
    assert header_of(text)["license"] == "apache-2.0"
    assert header_of(text)["pipeline_tag"] == "image-classification"


def test_data_are_counted_by_class_and_split(text: str) -> None:
    assert "90 images of 18 groups." in text
    assert "A group: painted tile under several exposures." in text
    assert "| Crack | 15 (3) | 5 (1) | 10 (2) |" in text
    assert "Values of exposure: 1, 2, 3, 4, 5." in text


def test_range_of_deep_pictures_is_said(project: Project, text: str) -> None:
    assert "16 bits" not in text
    DataDescription.read(project.data_dir).model_copy(update={"max_value": 4095}).write(project.data_dir)
    assert "Samples of 16 bits go from 0 to 4095, in training and in the service." in card_of(project)


def test_other_predictions_change_the_card(project: Project, text: str) -> None:
    project.predict(accuracy=0.2).write(project.predictions_path)
    assert card_of(project) != text


def test_the_same_measurements_give_the_same_card(project: Project, text: str) -> None:
    assert card_of(project) == text


def test_without_a_comparison_nothing_is_said_of_a_split_by_image(text: str) -> None:
    assert "split by image" not in text.lower()
    assert "LEAKING" not in text


def test_both_protocols_stand_side_by_side_and_the_leaking_one_is_labelled(project: Project) -> None:
    project.compare()
    text = card_of(project)
    group = Evaluation.read(project.evaluation_dir / "evaluation.json").accuracy
    image = Evaluation.read(project.evaluation_dir / "by_image.json").accuracy
    assert "| Figure | Split by group (the headline) | Split by image **LEAKING** (for comparison only) |" in text
    assert (
        f"| Accuracy | {group.value:.3f} ({group.low:.3f}–{group.high:.3f}) "
        f"| {image.value:.3f} ({image.low:.3f}–{image.high:.3f}) |"
    ) in text
    assert "does not tell how the model does on new groups" in text
    assert "but those split by image are of another model, trained on that split." in text


def test_what_was_not_measured_is_said(text: str) -> None:
    assert "- Not measured: robustness to blur, noise, compression or other changes of the picture, where" in text
    assert "## Robustness" not in text
    assert "| MLflow run | not recorded |" in text
    assert "The data's source states no licence." in text
    assert "### By attribute" not in text  # six images a slice are too few


def test_hugging_faces_own_reader_finds_the_figures(shared_carded: Project, text: str) -> None:
    data: Any = ModelCard(text).data
    evaluation = Evaluation.read(shared_carded.evaluation_dir / "evaluation.json")
    found = {result.metric_type: result.metric_value for result in data.eval_results or []}
    assert found["f1"] == evaluation.macro_f1.value
    assert {result.dataset_name for result in data.eval_results or []} == {"Painted tiles"}
    assert data.model_name == "vision-classifier"


def test_calibration_is_stated_and_changes_with_the_predictions(project: Project, text: str) -> None:
    read = project.predict()
    probs = read.probs**20
    replace(read, probs=probs / probs.sum(axis=1, keepdims=True)).write(project.predictions_path)
    after = card_of(project)
    assert "**The probabilities are not calibrated:**" in after
    calibration = Evaluation.read(project.evaluation_dir / "evaluation.json").calibration
    assert calibration is not None
    assert calibration.overconfidence.value is not None
    assert (
        f"{100 * calibration.overconfidence.value:.1f} percentage points above the accuracy: the model is overconfident"
        in after
    )
    assert f"| Brier score (0 is perfect, 2 the worst) | {calibration.brier.value:.3f} (" in after
    answers = [re.search(r"^\| Macro-F1 \| (.+) \|$", card_text, re.M) for card_text in (text, after)]
    assert answers[0]
    assert answers[1]
    assert answers[0][1] == answers[1][1]  # its answers are the same


def test_a_miscalibration_that_cancels_out_on_average_is_stated(tmp_path: Path) -> None:
    """Half the answers at 0.95, half at 0.55, three of four right in both."""
    project = make_project(tmp_path, ("bad", "good"), groups_per_class=36)
    read = project.predict()
    number = np.arange(len(read.labels))
    of_answer, answers = np.where(number % 2, 0.95, 0.55)[:, None], read.labels ^ (number // 2 % 4 == 0)
    probs = np.where(np.eye(2)[answers] == 1, of_answer, 1 - of_answer)
    replace(read, probs=probs).write(project.predictions_path)
    text = card_of(project)
    assert "**The probabilities are not calibrated:**" in text
    assert "cancel out" in text
    assert "cancel out" in (project.root / "artifacts" / "report.html").read_text(encoding="utf-8")
    assert "confidence is shown" not in text


def test_defect_or_not_is_stated_where_the_data_name_the_normal_class(project: Project, text: str) -> None:
    assert "## Defect or not" not in text
    description = read_description(project.data_dir)
    description.model_copy(update={"normal_class": "Free"}).write(project.data_dir)
    text = card_of(project)
    detection = Evaluation.read(project.evaluation_dir / "evaluation.json").detection
    assert detection is not None
    chosen = detection.chosen
    assert f"| At most 5% missed | {chosen.threshold:.3f} | {chosen.miss_rate.value:.3f} (" in text
    for point in (detection.at_most_probable, chosen, detection.cheapest):
        ends = [number(value) for value in (point.cost.value, point.cost.low, point.cost.high)]
        assert f" | {written(point.f1)} | {ends[0]} ({ends[1]}–{ends[2]}) |" in text


def test_a_planted_weak_slice_is_named_with_its_pictures(tmp_path: Path) -> None:
    project = make_project(tmp_path, ("bad", "good"), groups_per_class=36)
    read = project.predict(accuracy=1.0)
    probs = read.probs.copy()
    probs[read.attributes["exposure"] == "3"] = probs[read.attributes["exposure"] == "3"][:, ::-1]
    replace(read, probs=probs).write(project.predictions_path)
    text = card_of(project)
    row = (
        r"^\| exposure: 3 \*\*WEAK\*\* \| 24 \(24\) \| 0\.000 \(.+ \| 1\.000 \(1\.000–1\.000\) \| under 0\.001 \| under"
    )
    assert re.search(row, text, re.M)
    assert "The most confident errors where exposure: 3:" in text
    for part in Evaluation.read(project.evaluation_dir / "evaluation.json").slices[:5]:
        assert f"| exposure: {part.value} | 24 (24) | {written(part.accuracy)} | {written(part.macro_f1)} |" in text
    named = re.findall(r"^- `(pictures/.+_3\.png)` \(SHA-256 `([0-9a-f]{12})`\): ", text, re.M)
    hashes = dict(zip(project.manifest.table["path"], project.manifest.table["sha256"], strict=True))
    assert named
    assert all(hashes[path].startswith(digest) for path, digest in named)
    search = Evaluation.read(project.evaluation_dir / "evaluation.json").slice_search
    assert search is not None
    many = search.model_copy(update={"num_weak": 26, "slices": search.slices * 20, "num_tested": 500})
    told = render_sections([Section("slices", "Slices", search_blocks(many, hashes))])
    assert "**26 are significantly weaker** after correction for the number of slices tested" in told
    assert "10 of 500 tested: weak ones first, of these slices of one condition before those of two" in told


def reviewed(project: Project, **changes: object) -> None:
    """Write a review as if the exported model had been asked."""
    write_review(project.review_dir, project.export_dir / "model.onnx", project.manifest, **changes)


def test_robustness_and_attention_stand_in_card_and_report_once_measured(evaluated: Project) -> None:
    reviewed(evaluated)
    text = card_alone(evaluated)
    assert "| blur (radius, px) | 0: 0.900 (0.800–1.000); 1: 0.700 (0.600–0.800); 4: 0.300 (0.200–0.400) |" in text
    assert "0.600 (0.500–0.700) of what the answer depends on" in text
    assert "robustness to blur" not in text
    assert "drawn class by class with seed 0, so that classes are more even than among all 30" in text
    own = "The figures above are of the trained network, but those of robustness and of where the model looks"
    assert f"{own} are of the ONNX graph. Compared" in text
    page = Page((evaluated.root / "artifacts" / "report.html").read_text(encoding="utf-8"))
    assert "in the mask: 0.600, chance 0.200" in page.text
    assert "drawn class by class with seed 0, so that classes are more even than among all 30" in page.text
    assert "Where it comes from" in page.text
    assert "need the exported model" not in page.text


def test_a_review_of_another_model_is_refused(evaluated: Project, capsys: pytest.CaptureFixture[str]) -> None:
    reviewed(evaluated, onnx_sha256="f" * 64)
    assert "the review is of the ONNX file ffffffffffff" in refused(evaluated, capsys)


def test_answers_of_another_model_are_reported_by_name_and_refused(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    write_asked_model(project.predictions_path, AskedModel(asked="http://elsewhere:3000", onnx_sha256="f" * 64))
    assert evaluate.main(project.evaluate_arguments) == 0
    report = (project.evaluation_dir / "report.html").read_text(encoding="utf-8")
    assert f"http://elsewhere:3000</code>, ONNX file SHA-256 <code>{'f' * 64}" in report
    assert "the answers of http://elsewhere:3000 (ONNX file ffffffffffff)" in refused(project, capsys)


def test_answers_of_the_exported_file_itself_are_taken(project: Project) -> None:
    digest = hashlib.sha256((project.export_dir / "model.onnx").read_bytes()).hexdigest()
    write_asked_model(project.predictions_path, AskedModel(asked="artifacts/export", onnx_sha256=digest))
    assert "## Results on" in card_of(project)


def test_slices_by_pixels_are_not_denied_where_the_data_name_no_attribute(project: Project) -> None:
    table = project.manifest.table.drop(columns="attributes.exposure")
    Manifest(table, project.data_dir).write(project.data_dir / "manifest.csv")
    project.inspect()
    project.predict().write(project.predictions_path)
    change_contract(project, lineage=Lineage(data_sha256=project.manifest.sha256))
    text = card_of(project)
    search = Evaluation.read(project.evaluation_dir / "evaluation.json").slice_search
    assert search is not None
    assert "brightness" in search.attributes
    assert f"- The data name no attributes: slices are by {', '.join(search.attributes)} only." in text
    assert "no slices were measured" not in text


def test_classes_with_few_test_groups_are_named(text: str) -> None:
    assert "fewer than 10 test groups: Blowhole (2), Crack (2), Free (2)." in text


def test_parity_is_quoted(text: str) -> None:
    assert "The figures above are of the trained network. Compared" in text
    assert "Compared with the trained network on 30 images of the val split at batch sizes 1 and 7" in text
    assert "2.5e-07 (limit 1e-04), and both name the same class for 100% of them" in text


def test_a_perfect_model_has_no_failure_modes(tmp_path: Path) -> None:
    project = make_project(tmp_path, ("bad", "good"))
    project.predict(accuracy=1.0).write(project.predictions_path)
    text = card_of(project)
    assert "No test image was classified wrongly." in text
    page = Page((project.root / "artifacts" / "report.html").read_text(encoding="utf-8"))
    for written_text in (text, page.text):
        assert "All 20 test images were answered right, and the stated probability is on average" in written_text
        assert "not calibrated" not in written_text
    assert "were called" not in text
    assert "The interval of recall has no width for bad, good" in text


@pytest.mark.parametrize(
    ("weights", "licence"),
    [
        ("none: trained from random weights", "apache-2.0"),
        ("timm hub: timm/convnext_tiny.fb_in1k", "other"),
        ("", "other"),
    ],
)
def test_weights_of_unknown_terms_are_not_passed_off_as_apache(evaluated: Project, weights: str, licence: str) -> None:
    lineage = read_contract(evaluated.export_dir / "contract.json").lineage
    change_contract(evaluated, lineage=lineage.model_copy(update={"weights": weights}))
    assert header_of(card_alone(evaluated))["license"] == licence


def test_names_with_markup_show_as_written(tmp_path: Path) -> None:
    project = make_project(tmp_path, ("a|b", "<img src=x>", "*very* [bad](x)"))
    text = card_of(project)
    body = text.split("---\n", 2)[2]
    assert "<img" not in body
    assert "*very*" not in body.replace("\\*", "")
    tables = [line for line in body.splitlines() if line.startswith("| a\\|b ")]
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in tables] == [5, 6]


def test_inline_text_and_code_keep_their_markup_characters_visible() -> None:
    assert inline("a_b *c*\n`d` <e> | f & g") == "a\\_b \\*c\\* \\`d\\` &lt;e&gt; \\| f &amp; g"
    assert code("plain") == "`plain`"
    assert code("with `tick`") == "`` with `tick` ``"


def refused(project: Project, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert card.main(project.card_arguments) == 2
    assert not project.card_path.exists()
    return capsys.readouterr().err


def test_an_evaluation_of_other_data_is_refused(evaluated: Project, capsys: pytest.CaptureFixture[str]) -> None:
    lineage = read_contract(evaluated.export_dir / "contract.json").lineage
    change_contract(evaluated, lineage=lineage.model_copy(update={"data_sha256": "f" * 64}))
    assert "of different data" in refused(evaluated, capsys)


def test_an_evaluation_of_other_classes_is_refused(evaluated: Project, capsys: pytest.CaptureFixture[str]) -> None:
    change_contract(evaluated, classes=("Free", "Crack", "Blowhole"))
    assert "run dvc repro" in refused(evaluated, capsys)


def test_a_leaking_evaluation_is_refused(evaluated: Project, capsys: pytest.CaptureFixture[str]) -> None:
    path = evaluated.evaluation_dir / "evaluation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"leaking": True}), encoding="utf-8")
    assert "without a leak" in refused(evaluated, capsys)


@pytest.mark.parametrize("name", ["model.onnx", "parity.json", "contract.json"])
def test_a_missing_part_is_refused_by_name(evaluated: Project, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (evaluated.export_dir / name).unlink()
    assert name in refused(evaluated, capsys)


@pytest.mark.parametrize(
    ("commit", "told"),
    [
        ("abc", "check out commit `abc`, prepare"),
        ("abc-dirty", "check out commit `abc`, from which tracked files differed"),
        ("", "To reproduce: prepare"),
    ],
)
def test_reproduction_names_a_commit_that_can_be_checked_out(evaluated: Project, commit: str, told: str) -> None:
    lineage = read_contract(evaluated.export_dir / "contract.json").lineage
    change_contract(evaluated, lineage=lineage.model_copy(update={"git_commit": commit}))
    assert told in card_alone(evaluated)
