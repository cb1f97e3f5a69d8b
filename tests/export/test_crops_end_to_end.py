"""A classifier of crops from boxes to a served Bento: cut, trained, measured, registered, packed behind a detector.

The detector tells no objects apart and is made by hand; the classifier, which gives their names, is trained here. The
commands are those of `detection/crops/dvc.yaml`, in this process.
"""

import importlib
import json
import shlex
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import bentoml
import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml

from dataset.boxes import AnnotatedBox, write_boxes
from dataset.description import DataDescription
from dataset.manifest import COLUMNS, Manifest
from demo import serving
from evaluation.crops.document import BehindDetector
from evaluation.evaluation import Evaluation
from evaluation.predicted_boxes import PredictedBoxes
from evaluation.predicted_boxes import write_boxes as write_found
from evaluation.predictions import Predictions
from runtime.model.contract import ONNX_FILE, ClassificationContract, read_contract
from runtime.model.hashing import file_sha256
from tests.bento_project import ROOT, Project, copy_project
from tests.bentoml_home import bentoml_home
from tests.onnx_fixture import card_text
from tests.service.detecting_models import box_in_picture, detection_contract, draw_objects, store_detector
from tests.training.records.mlflow_store import copy_empty_store

pytestmark = pytest.mark.slow

COLOURS = {"dark": (20, 20, 220), "light": (20, 120, 220)}  # the detector sees blue in both
SPLITS = ("train", "train", "val", "test")
ONE_OBJECT = {"objects": ("thing",), "merged": True}
CROPS = Path("artifacts/detection/crops")


def _drawn(seed: int) -> tuple[bytes, dict[int, str]]:
    """Return a picture with one object of each name, and which is in what quarter."""
    first, second = np.random.default_rng(seed).permutation(4)[:2].tolist()
    names = {first: "dark", second: "light"}
    return draw_objects({quarter: COLOURS[name] for quarter, name in names.items()}), names


def _write_data(data_dir: Path) -> Manifest:
    rows, boxes = [], []
    (data_dir / "pictures").mkdir(parents=True)
    for seed in range(32):
        picture, names = _drawn(seed)
        path, split = f"pictures/{seed}.png", SPLITS[seed % len(SPLITS)]
        (data_dir / path).write_bytes(picture)
        facts = {"label": "blue", "group": str(seed), "split": split, "split_by_image": split, "mask": ""}
        rows.append({"path": path, "sha256": str(seed), "width": 96, "height": 72, **facts})
        boxes += [(path, AnnotatedBox(name, box_in_picture(quarter))) for quarter, name in names.items()]
    manifest = Manifest(pd.DataFrame(rows, columns=COLUMNS), data_dir)
    manifest.write(data_dir / "manifest.csv")
    DataDescription(name="d", title="D", summary="", group_meaning="picture", objects=tuple(COLOURS)).write(data_dir)
    write_boxes(data_dir, boxes)
    return manifest


def _write_found(manifest: Manifest) -> None:
    """Write what the detector finds in the pictures for validation and test: every object, where it is."""
    contract = detection_contract(**ONE_OBJECT)
    table = manifest.table[manifest.table["split"] != "train"].reset_index(drop=True)
    probs = np.tile([1.0, 0.0, 0.0], (len(table), 1))
    Predictions.from_table(table, probs, contract.classes).write(Path("artifacts/detection/predictions.csv"))
    found = []
    for path in table["path"]:
        quarters = _drawn(int(Path(path).stem))[1]
        corners = np.array([box_in_picture(quarter) for quarter in quarters], dtype=np.float64)
        found.append(PredictedBoxes(corners, np.ones(len(corners)), np.zeros(len(corners), dtype=np.int64)))
    write_found(Path("artifacts/detection/boxes"), found, contract)


def _write_params() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["crops"] |= {"jittered": 1, "contract": {"height": 32, "width": 32}}
    params["crops"]["train"] = {"batch_size": 8, "phases": [{"trainable": "all", "epochs": 5, "lr": 0.02}]}
    params["model"] |= {"backbone": "test_resnet", "pretrained": "none", "drop_rate": 0}
    params["evaluate"]["bootstrap_samples"] = 100
    Path("params.yaml").write_text(yaml.safe_dump(params))


def _run(module: str, words: list[str]) -> None:
    status: int = importlib.import_module(module).main(words)
    assert status == 0, f"{module} {words}"


def _run_chain() -> None:
    stages: dict[str, Any] = yaml.safe_load((ROOT / "detection/crops/dvc.yaml").read_text())["stages"]
    for name, stage in stages.items():
        if name == "review":  # asks for robustness and maps, which no later stage needs
            continue
        _, _, _runner, module, *words = shlex.split(stage["cmd"])
        _run(module, words)
    _run("export.register", ["--task", "crop-classification"])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose classifier of crops was made by its chain and registered, with a detector in the store."""
    project = copy_project(tmp_path_factory.mktemp("crops"))
    with bentoml_home(project.home), chdir(project.folder):
        mlflow.set_tracking_uri(copy_empty_store(project.folder / "mlflow.db"))
        _write_params()
        _write_found(_write_data(Path("data")))
        _run_chain()
        detector = bentoml.models.get(store_detector(**ONE_OBJECT))
        Path("artifacts/detection/MODEL_CARD.md").write_text(card_text(Path(detector.path_of(ONNX_FILE))))
        yield project


def test_the_chain_makes_a_classifier_of_crops_measured_on_true_boxes_and_behind_the_detector(
    project: Project,
) -> None:
    crops = project.folder / CROPS
    contract = read_contract(crops / "export/contract.json")
    assert isinstance(contract, ClassificationContract)
    assert (contract.name, contract.subject, contract.crop_margin) == ("vision-crop-classifier", "crop", 0.1)
    assert (contract.classes, contract.height) == (("dark", "light"), 32)
    assert Evaluation.read(crops / "evaluation/evaluation.json").num_images == 16
    behind = BehindDetector.read(crops / "behind/behind.json")
    assert behind.onnx_sha256 == file_sha256(crops / "export" / ONNX_FILE)
    whole = behind.any_object
    assert (whole.num_objects, whole.num_found, whole.detector_right_of_found) == (16, 16, None)
    assert whole.num_right > 12
    card = (crops / "MODEL_CARD.md").read_text()
    assert "## Behind the detector" in card
    assert "Found objects that are named right (test, split by group)" in card
    assert "Given a crop of a picture around one object" in card
    assert "Behind the detector" in (crops / "report.html").read_text()


def test_it_is_registered_by_its_role_and_no_classifier_of_pictures(project: Project) -> None:
    names = {model.tag.name for model in bentoml.models.list()}
    assert names == {"vision-crop-classifier", "vision-crop-classifier-checkpoint", "vision-detector"}
    labels = bentoml.models.get("vision-crop-classifier:latest").info.labels
    assert labels["gate"].startswith("first model of the data d-crops")


@pytest.mark.filterwarnings("ignore:path is deprecated:DeprecationWarning")  # of BentoML itself, as it builds
def test_the_served_bento_names_what_the_detector_finds(project: Project, tmp_path: Path) -> None:
    _run("export.bento", ["--task", "crop-classification"])
    record = json.loads(Path("artifacts/bento.json").read_text())
    assert sorted(tag.split(":")[0] for tag in record["models"]) == ["vision-crop-classifier", "vision-detector"]
    pictures = [_drawn(seed) for seed in range(100, 104)]
    with serving(record["tag"], tmp_path, project.environment) as url:
        files = [("images", picture) for picture, _ in pictures]
        answers = httpx.post(f"{url}/detect", files=files, timeout=100).json()
    said = []
    for answer, (_, names) in zip(answers, pictures, strict=True):
        assert answer["classified"] == "done"
        assert {found["class_name"] for found in answer["detections"]} == {"thing"}
        boxes = [tuple(found["box"][side] for side in ("x1", "y1", "x2", "y2")) for found in answer["detections"]]
        there = {box_in_picture(quarter): name for quarter, name in names.items()}
        assert {*boxes} == {*there}
        said += [there[boxes[one["detection_index"]]] == one["class_name"] for one in answer["classifications"]]
    assert len(said) == 8
    assert sum(said) >= 7
