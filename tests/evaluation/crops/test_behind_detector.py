"""A classifier of crops behind a detector: figures counted by hand, and what does not fit together is refused."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import yaml

from dataset.boxes import AnnotatedBox, write_boxes
from dataset.description import DataDescription
from dataset.manifest import COLUMNS, Manifest
from evaluation.crops import behind_detector
from evaluation.crops.document import BehindDetector
from evaluation.predicted_boxes import PredictedBoxes
from evaluation.predicted_boxes import write_boxes as write_found
from evaluation.predictions import Predictions
from runtime.model.contract import CONTRACT_FILE, ONNX_FILE, ClassificationContract
from tests.service.detecting_models import (
    DEEP,
    SHALLOW,
    box_in_picture,
    crop_contract,
    crop_graph,
    detection_contract,
    draw_objects,
)

NAMES = ("deep", "shallow")
# Of each test picture: the objects by quarter with their colours, and what each is called by the data.
PICTURES = {
    "a": {0: (DEEP, "deep"), 3: (SHALLOW, "shallow")},
    "b": {1: (DEEP, "deep"), 2: (DEEP, "shallow")},  # the second looks like what it is not
    "c": {0: (SHALLOW, "shallow")},
}


class Project:
    """Pictures with boxes, what a detector found in them, and a classifier of crops."""

    def __init__(self, root: Path, objects: tuple[str, ...]) -> None:
        self.root = root
        (root / "pictures").mkdir()
        rows, boxes, found = [], [], []
        for name, drawn in PICTURES.items():
            path = f"pictures/{name}.png"
            (root / path).write_bytes(draw_objects({quarter: colour for quarter, (colour, _) in drawn.items()}))
            facts = {"label": "red", "group": name, "split": "test", "width": 96, "height": 72, "mask": ""}
            rows.append({"path": path, "sha256": name, "split_by_image": "test", **facts})
            boxes += [(path, AnnotatedBox(of, box_in_picture(quarter))) for quarter, (_, of) in drawn.items()]
            found.append(_found(name, drawn))
        self.manifest = Manifest(pd.DataFrame(rows, columns=COLUMNS), root)
        self.manifest.write(root / "manifest.csv")
        description = DataDescription(name="a", title="A", summary="", group_meaning="", objects=NAMES)
        description.write(root)
        write_boxes(root, boxes)
        contract = detection_contract(objects=objects, merged=len(objects) == 1, classes=("grey", "red"))
        probs = np.full((len(rows), 2), 0.5)
        Predictions.from_table(self.manifest.table, probs, contract.classes).write(root / "predictions.csv")
        write_found(root / "boxes", found, contract)
        self.write_model(crop_contract())

    def write_model(self, contract: ClassificationContract) -> None:
        (self.root / "model").mkdir(exist_ok=True)
        (self.root / "model" / CONTRACT_FILE).write_text(contract.to_json())
        onnx.save(crop_graph(contract), self.root / "model" / ONNX_FILE)

    def measure(self) -> int:
        evaluate = {"seed": 0, "confidence": 0.95, "bootstrap_samples": 100}
        (self.root / "params.yaml").write_text(yaml.safe_dump({"evaluate": evaluate}))
        places = {"model": "model", "boxes": "boxes", "predictions": "predictions.csv", "manifest": "manifest.csv"}
        places |= {"params": "params.yaml", "out": "behind"}
        words = [word for option, place in places.items() for word in (f"--{option}", str(self.root / place))]
        return behind_detector.main(words)

    def read(self) -> BehindDetector:
        assert self.measure() == 0
        return BehindDetector.read(self.root / "behind/behind.json")


def _found(name: str, drawn: Iterable[int]) -> PredictedBoxes:
    """All but the object of the last picture, of which the candidate scores too little; each is called the first."""
    corners = np.array([box_in_picture(quarter) for quarter in drawn], dtype=np.float64)
    scores = np.full(len(corners), 0.3 if name == "c" else 0.9)
    return PredictedBoxes(corners, scores, np.zeros(len(corners), dtype=np.int64))


def test_of_the_found_objects_those_are_counted_that_the_classifier_names_right(tmp_path: Path) -> None:
    behind = Project(tmp_path, NAMES).read()
    assert (behind.num_images, behind.num_groups, behind.num_too_small) == (3, 3, 0)
    whole, deep, shallow = behind.results
    assert [one.name for one in behind.results] == ["", *NAMES]
    assert (whole.num_objects, whole.num_found, whole.num_right) == (5, 4, 3)
    assert (whole.right_of_found.value, whole.right_of_all.value) == (0.75, 0.6)
    assert (whole.right_of_found.low, whole.right_of_found.high) == (0.5, 1.0)  # pictures of b alone, of a alone
    assert (deep.num_objects, deep.num_right, shallow.num_objects, shallow.num_right) == (2, 2, 3, 1)
    # The detector calls all of them deep.
    assert [one.detector_right_of_found and one.detector_right_of_found.value for one in behind.results] == [0.5, 1, 0]


def test_behind_a_detector_of_merged_objects_the_classifier_alone_gives_names(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        behind = Project(tmp_path, ("thing",)).read()
    assert [one.num_right for one in behind.results] == [3, 2, 1]
    assert [one.detector_right_of_found for one in behind.results] == [None] * 3
    assert "4 of 5 test objects are found" in caplog.text
    assert "of these, the classifier names right: 0.750 (0.500 to 1.000)" in caplog.text


def test_a_found_object_that_is_too_small_to_be_classified_is_not_named_right(tmp_path: Path) -> None:
    project = Project(tmp_path, NAMES)
    small = (2.0, 2.0, 8.0, 40.0)
    write_boxes(tmp_path, [("pictures/a.png", AnnotatedBox("deep", small))])
    found = [PredictedBoxes(np.array([small]), np.array([0.9]), np.array([0]))] * len(PICTURES)
    write_found(tmp_path / "boxes", found, detection_contract(objects=NAMES, classes=("grey", "red")))
    behind = project.read()
    assert (behind.num_too_small, behind.any_object.num_found, behind.any_object.num_right) == (1, 1, 0)


def test_what_is_no_classifier_of_these_crops_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = Project(tmp_path, NAMES)
    project.write_model(crop_contract(subject="picture"))
    assert project.measure() == 2
    assert "the model is no classifier of crops: run `make export TASK=crops`" in capsys.readouterr().err
    project.write_model(crop_contract(classes=("deep", "flat")))
    assert project.measure() == 2
    assert "the pictures hold shallow, which the classifier of crops does not know" in capsys.readouterr().err
    assert not (tmp_path / "behind").exists()
