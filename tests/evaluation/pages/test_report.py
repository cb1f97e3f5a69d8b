"""The report: one file, true to the evaluation, safe whatever the data call their classes."""

import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from dataset.description import read_description
from evaluation import evaluate
from evaluation.evaluation import Evaluation, EvaluationError
from evaluation.pages.report import render_report
from evaluation.predictions import Predictions
from tests.evaluation.project import Project, make_project


class Page(HTMLParser):
    """What a browser would load, and what a person would read."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "data", "action"}]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def report_of(project: Project) -> Page:
    assert evaluate.main(project.evaluate_arguments) == 0
    return page_of(project)


def page_of(project: Project) -> Page:
    """Read the report of a project that was evaluated before."""
    page = Page((project.evaluation_dir / "report.html").read_text(encoding="utf-8"))
    assert not page.open
    return page


def test_the_report_needs_nothing_beside_it(shared_carded: Project) -> None:
    page = page_of(shared_carded)
    assert page.loaded
    assert all(re.match(r"#\w+$|data:image/(png|jpeg|svg\+xml);base64,", address) for address in page.loaded)
    assert not {"script", "link", "iframe"} & set(page.tags)
    text = (shared_carded.evaluation_dir / "report.html").read_text(encoding="utf-8")
    assert "@import" not in text
    assert "url(" not in text


def test_headline_figures_stand_with_their_intervals(shared_carded: Project) -> None:
    page = page_of(shared_carded)
    evaluation = Evaluation.read(shared_carded.evaluation_dir / "evaluation.json")
    for estimate in (evaluation.macro_f1, evaluation.balanced_accuracy, evaluation.accuracy):
        assert f"{estimate.value:.3f} 95% interval: {estimate.low:.3f}–{estimate.high:.3f}" in page.text
    for result in evaluation.per_class:
        assert f"{result.name} {result.num_images} images, {result.num_groups} groups" in page.text


def test_a_changed_prediction_changes_the_report(project: Project, shared_carded: Project) -> None:
    before = page_of(shared_carded).text
    predictions = project.predict()
    row = int((predictions.splits == "test").nonzero()[0][0])
    probs = predictions.probs.copy()
    probs[row] = 0
    probs[row, (predictions.predicted[row] + 1) % 3] = 1
    Predictions(
        predictions.paths, predictions.labels, predictions.groups, predictions.splits, probs, predictions.classes,
        predictions.attributes,
    ).write(project.predictions_path)  # fmt: skip
    assert report_of(project).text != before


def test_every_wrong_answer_shows_its_picture(shared_carded: Project) -> None:
    page = page_of(shared_carded)
    evaluation = Evaluation.read(shared_carded.evaluation_dir / "evaluation.json")
    text = (shared_carded.evaluation_dir / "report.html").read_text(encoding="utf-8")
    section = text[text.index('<h2 id="errors">') : text.index('<h2 id="calibration">')]
    assert section.count("data:image/jpeg") == len(evaluation.wrong) > 0
    for item in evaluation.wrong:
        assert item.path in page.text


def test_without_a_comparison_no_leaking_figure_appears_but_the_reason_does(shared_carded: Project) -> None:
    text = page_of(shared_carded).text
    assert "LEAKING" not in text
    assert "for comparison only" not in text
    assert "Not compared with a split by image. Nobody asked for it." in text


def test_the_leaking_protocol_is_labelled_and_explained(project: Project) -> None:
    project.compare()
    text = report_of(project).text
    by_image = Evaluation.read(project.evaluation_dir / "by_image.json")
    assert "Split by image LEAKING" in text
    assert f"{by_image.accuracy.value:.3f}" in text
    assert f"{by_image.num_seen_in_training} of its {by_image.num_images} test images" in text
    assert "published figures that were measured that way. It does not tell how the model does on new groups" in text


def test_a_comparison_that_does_not_leak_is_not_called_leaking(project: Project) -> None:
    table = project.manifest.table
    table["split_by_image"] = table["split"]
    type(project.manifest)(table, project.data_dir).write(project.data_dir / "manifest.csv")
    project.compare()
    assert "LEAKING" not in report_of(project).text


def test_names_from_the_data_are_shown_and_never_run(tmp_path: Path) -> None:
    name = "<script>alert('x')</script> & \"co\""
    project = make_project(tmp_path, (name, "Free", "{{ 7 * 7 }}"))
    page = report_of(project)
    assert "script" not in page.tags
    assert name in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert html.escape(name, quote=False) in (project.evaluation_dir / "report.html").read_text(
        encoding="utf-8"
    ).replace("&#39;", "'").replace("&#34;", '"')


def test_a_leaking_headline_is_never_rendered(shared_carded: Project) -> None:
    evaluation = Evaluation.read(shared_carded.evaluation_dir / "evaluation.json")
    leaking = evaluation.model_copy(update={"leaking": True})
    description = read_description(shared_carded.data_dir)
    with pytest.raises(EvaluationError, match="without a leak"):
        render_report(leaking, None, description, shared_carded.manifest)


def test_a_perfect_model_says_that_there_is_no_error(tmp_path: Path) -> None:
    project = make_project(tmp_path, ("bad", "good"))
    project.predict(accuracy=1.0).write(project.predictions_path)
    text = report_of(project).text
    assert "No test image was classified wrongly." in text
    assert "Worst errors There is none." in text


def test_every_link_leads_to_a_section_and_every_picture_says_what_it_shows(shared_carded: Project) -> None:
    page = page_of(shared_carded)
    text = (shared_carded.evaluation_dir / "report.html").read_text(encoding="utf-8")
    links = [address.removeprefix("#") for address in page.loaded if address.startswith("#")]
    assert len(links) >= 8
    assert all(f'id="{name}"' in text for name in links)
    assert len(re.findall(r'<img [^>]*alt="[^"]+"', text)) == text.count("<img ")


def test_pictures_stand_with_path_and_hash(shared_carded: Project) -> None:
    page = page_of(shared_carded)
    evaluation = Evaluation.read(shared_carded.evaluation_dir / "evaluation.json")
    table = shared_carded.manifest.table
    hashes = dict(zip(table["path"], table["sha256"], strict=True))
    for item in evaluation.wrong:
        assert f"{item.path} group {item.group} SHA-256 {hashes[item.path]}" in page.text


def sharpened(project: Project, power: float) -> None:
    """Make the model surer (power above 1) or less sure than it was; its answers stay."""
    read = project.predict()
    probs = read.probs**power
    replace(read, probs=probs / probs.sum(axis=1, keepdims=True)).write(project.predictions_path)


def test_a_model_that_is_too_sure_is_said_to_be(project: Project) -> None:
    sharpened(project, 20)
    text = report_of(project).text
    calibration = Evaluation.read(project.evaluation_dir / "evaluation.json").calibration
    overconfidence = calibration.overconfidence.value if calibration else None
    assert overconfidence is not None
    assert f"{100 * overconfidence:.1f} percentage points above the accuracy: the model is overconfident" in text
    assert "confidence is shown" not in text


def test_defect_or_not_is_told_where_the_data_name_the_normal_class(project: Project, shared_carded: Project) -> None:
    text = page_of(shared_carded).text
    assert "Every class but Free counts as a defect" not in text
    assert "Defect or not The description of the data names no normal class." in text
    description = read_description(project.data_dir)
    description.model_copy(update={"normal_class": "Free"}).write(project.data_dir)
    text = report_of(project).text
    detection = Evaluation.read(project.evaluation_dir / "evaluation.json").detection
    assert detection is not None
    assert "Every class but Free counts as a defect: 20 defective and 10 normal test images" in text
    chosen = detection.chosen.miss_rate
    assert f"{chosen.value:.3f} {chosen.low:.3f}–{chosen.high:.3f}" in text


def test_curves_are_left_for_dvc_to_plot(project: Project) -> None:
    description = read_description(project.data_dir)
    description.model_copy(update={"normal_class": "Free"}).write(project.data_dir)
    report_of(project)
    evaluation = Evaluation.read(project.evaluation_dir / "evaluation.json")
    assert evaluation.detection is not None
    rows = (project.evaluation_dir / "threshold.csv").read_text().splitlines()
    assert rows[0] == "threshold,miss_rate,false_alarm_rate,cost"
    assert len(rows) == 1 + len(evaluation.detection.curve) > 2
    rows = (project.evaluation_dir / "reliability.csv").read_text().splitlines()
    assert sum(int(row.split(",")[2]) for row in rows[1:]) == evaluation.num_images


def test_a_planted_label_error_and_a_planted_weak_slice_are_shown(tmp_path: Path) -> None:
    """A model that is right but for one exposure, and one picture whose label says otherwise."""
    project = make_project(tmp_path, ("bad", "good"), groups_per_class=36)
    read = project.predict(accuracy=1.0)
    is_label = np.eye(2)[read.labels] == 1
    weak = (read.attributes["exposure"] == "3").to_numpy()
    probs = np.where(weak[:, None], np.where(is_label, 0.45, 0.55), np.where(is_label, 0.9, 0.1))
    (planted, *_) = np.flatnonzero((read.splits == "test") & ~weak)
    probs[planted] = 0.01
    probs[planted, 1 - read.labels[planted]] = 0.99
    replace(read, probs=probs).write(project.predictions_path)
    page = report_of(project)
    assert re.search(r"exposure: 3 WEAK 24 \(24\) 0\.000", page.text)
    section = page.text[page.text.index("Likely label errors") :]
    assert read.paths[planted] in section[: section.index("SHA-256")]
