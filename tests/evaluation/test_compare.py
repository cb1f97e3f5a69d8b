"""`python -m evaluation.compare`: two tables of predictions to one JSON and one page."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from evaluation import compare
from evaluation.boxes.matching import Truth
from evaluation.boxes.object_table import ObjectTable
from evaluation.boxes.picture_boxes import PictureBoxes
from evaluation.outlines.region_table import RegionTable
from evaluation.predicted_boxes import NO_BOXES, PredictedBoxes
from evaluation.predictions import Predictions
from tests.evaluation.pages.test_report import Page
from tests.evaluation.project import Project


def two_models(project: Project) -> list[str]:
    """The project's predictions, and the same with the first test picture that is right made wrong."""
    first = project.predict()
    probs = first.probs.copy()
    row = int(((first.splits == "test") & (first.predicted == first.labels)).nonzero()[0][0])
    probs[row] = 0
    probs[row, (first.labels[row] + 1) % 3] = 1
    Predictions(
        first.paths, first.labels, first.groups, first.splits, probs, first.classes, first.attributes
    ).write(project.root / "second.csv")  # fmt: skip
    arguments = {"data": project.data_dir, "out": project.root / "out", "params": project.root / "params.yaml"}
    options = [part for name, path in arguments.items() for part in (f"--{name}", str(path))]
    return [str(project.predictions_path), str(project.root / "second.csv"), *options]


def test_a_changed_picture_stands_on_the_page_with_path_and_hash(project: Project) -> None:
    assert compare.main(two_models(project)) == 0
    document = json.loads((project.root / "out/comparison.json").read_text())
    (change,) = document["broken"]
    digest = hashlib.sha256((project.data_dir / change["path"]).read_bytes()).hexdigest()
    page = Page((project.root / "out/comparison.html").read_text(encoding="utf-8"))
    assert "Changed for the worse: 1" in page.text
    assert change["path"] in page.text
    assert digest in page.text
    assert len([address for address in page.loaded if "image/jpeg" in address]) == 1
    assert f"{document['accuracy']['difference']:+.3f}".replace("-", "−") in page.text


def test_without_the_data_the_page_names_pictures_and_shows_none(project: Project) -> None:
    arguments = [*two_models(project), "--no-pictures"]
    (project.data_dir / "manifest.csv").unlink()
    assert compare.main(arguments) == 0
    page = Page((project.root / "out/comparison.html").read_text(encoding="utf-8"))
    assert not [address for address in page.loaded if "image/jpeg" in address]
    assert "Changed for the worse: 1" in page.text


def test_a_table_of_other_pictures_is_refused_by_name(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = two_models(project)
    table = Path(arguments[1]).read_text().splitlines(keepends=True)
    Path(arguments[1]).write_text("".join(table[:-1]))
    assert compare.main(arguments) == 2
    message = capsys.readouterr().err
    assert message.startswith("compare: ")
    assert f"only in {arguments[0]}, such as {table[-1].split(',')[0]}" in message
    assert not (project.root / "out").exists()


def test_outlines_are_compared_where_both_models_pixels_are_counted(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = two_models(project)
    test = Predictions.read(project.predictions_path).select("test")
    counts = np.tile([4, 8, 8], (len(test.paths), 2, 1))
    table = RegionTable(test.paths, test.groups, ("Crack",), np.full(len(test.paths), 64), counts)
    table.write(project.evaluation_dir / "regions.csv")
    assert compare.main(arguments) == 0
    page = Page((project.root / "out/comparison.html").read_text(encoding="utf-8"))
    assert f"Outlines were not compared: beside {arguments[1]} lies no regions.csv." in page.text
    counts[:, :, 0] = 6
    dataclasses.replace(table, pixels=counts).write(project.root / "regions.csv")
    assert compare.main(arguments) == 0
    document = json.loads((project.root / "out/comparison.json").read_text())
    assert [part["name"] for part in document["outlines"]] == ["", "Crack"]
    assert document["outlines"][0]["dice"]["difference"] == pytest.approx(0.25)
    page = Page((project.root / "out/comparison.html").read_text(encoding="utf-8"))
    assert "Dice changes by +0.250 (+0.250 to +0.250), macro-F1 changes by" in page.text
    assert "Dice of any region" in page.text
    assert "Dice of Crack" not in page.text  # says the same
    table.take(np.arange(3)).write(project.root / "regions.csv")
    assert compare.main(arguments) == 2
    assert f"{project.root / 'regions.csv'} is not of the pictures that are compared" in capsys.readouterr().err


def test_boxes_are_compared_where_both_models_are_kept(project: Project) -> None:
    arguments = two_models(project)
    test = Predictions.read(project.predictions_path).select("test")
    truth = Truth(np.array([[0.0, 0, 10, 10]]), np.array([0]), np.array([False]))
    found = PredictedBoxes(truth.corners, np.array([0.9]), np.array([0]))
    pictures = [PictureBoxes(truth, NO_BOXES, 0.5)] * (len(test.paths) - 1)
    table = ObjectTable(test.paths, test.groups, ("Crack",), (*pictures, PictureBoxes(truth, found, 0.5)))
    table.write(project.evaluation_dir / "objects.csv")
    assert compare.main(arguments) == 0
    page = Page((project.root / "out/comparison.html").read_text(encoding="utf-8"))
    assert f"Boxes were not compared: beside {arguments[1]} lies no objects.csv." in page.text
    better = (PictureBoxes(truth, found, 0.5),) * len(test.paths)
    dataclasses.replace(table, pictures=better).write(project.root / "objects.csv")
    assert compare.main(arguments) == 0
    document = json.loads((project.root / "out/comparison.json").read_text())
    assert [part["name"] for part in document["boxes"]] == ["", "Crack"]
    assert document["boxes"][0]["ap"]["difference"] == pytest.approx(1 - 4 / 101)  # one of thirty: recalls up to 0.03
    page = Page((project.root / "out/comparison.html").read_text(encoding="utf-8"))
    assert "AP changes by +0.960 (" in page.text
    assert "AP 0.50 of Crack" in page.text
    assert "as mean over objects" not in page.text  # says the same
