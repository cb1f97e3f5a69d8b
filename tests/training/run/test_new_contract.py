"""What a new model's contract says of the data that it is trained on."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from dataset.description import DataDescription
from dataset.manifest import BOXES_SHA256, COLUMNS, MASK_SHA256, Manifest
from project.params import ParamsError
from runtime.model.contract import ClassificationContract, Task
from runtime.model.roles import role_of
from tests.training.detection_section import detection_section
from tests.training.segmentation_section import segmentation_section
from training.params import Params
from training.run.new_contract import new_contract

CHANNELS = (0.5, 0.5, 0.5)


def manifest(root: Path, **hashes: str) -> Manifest:
    table = pd.DataFrame([{"label": label, "mask": "mask.png"} for label in "ab"]).reindex(columns=COLUMNS)
    return Manifest(table.assign(**hashes), root)


def data_sha256(task: Task, found: Manifest, params: dict[str, Any], tmp_path: Path) -> str:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    read = Params.read(tmp_path / "params.yaml", task)
    return new_contract(found, read, CHANNELS, CHANNELS, "none", ("spot",)).lineage.data_sha256


@pytest.fixture
def params(tiny_params: dict[str, Any]) -> dict[str, Any]:
    phase = {"view": 1.0, "steps": 1}
    return tiny_params | {"segmentation": segmentation_section(phase), "detection": detection_section(phase)}


@pytest.mark.parametrize(
    ("task", "learned"), [("classification", None), ("segmentation", MASK_SHA256), ("detection", BOXES_SHA256)]
)
def test_the_lineage_is_of_the_masks_where_masks_are_learned_and_of_the_boxes_where_boxes_are(
    task: Task, learned: str | None, params: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hashes = {MASK_SHA256: "1", BOXES_SHA256: "1"}
    one = data_sha256(task, manifest(tmp_path, **hashes), params, tmp_path)
    others = {name: data_sha256(task, manifest(tmp_path, **hashes | {name: "2"}), params, tmp_path) for name in hashes}
    assert [name for name, other in others.items() if other != one] == ([learned] if learned else [])
    assert "holds no hashes" not in caplog.text


@pytest.mark.parametrize(
    ("task", "unknown"), [("classification", ""), ("segmentation", "masks"), ("detection", "boxes")]
)
def test_a_manifest_that_cannot_tell_what_is_learned_is_named(
    task: Task, unknown: str, params: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    earlier = manifest(tmp_path)
    assert data_sha256(task, earlier, params, tmp_path) == earlier.sha256
    assert (f"holds no hashes of {unknown}:" in caplog.text) == bool(unknown)
    assert len(caplog.records) == bool(unknown)


def _crops(root: Path, margin: float | None) -> Manifest:
    DataDescription(name="a", title="A", summary="", group_meaning="", crop_margin=margin).write(root)
    return manifest(root)


def test_a_classifier_of_crops_states_how_they_are_cut_and_has_a_name_of_its_own(
    params: dict[str, Any], tmp_path: Path
) -> None:
    document = params | {"crops": {"margin": 0.25, "contract": {"height": 48}, "train": {"batch_size": 5}}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    read = Params.read(tmp_path / "params.yaml", "crop-classification")
    assert (read.task, read.train.batch_size, read.contract.height) == ("classification", 5, 48)
    contract = new_contract(_crops(tmp_path, 0.25), read, CHANNELS, CHANNELS, "none")
    assert isinstance(contract, ClassificationContract)
    assert role_of(contract) == "crop-classification"
    assert (contract.name, contract.crop_margin) == ("vision-crop-classifier", 0.25)
    assert (contract.height, contract.width) == (48, 64)


def test_crops_are_not_taken_for_pictures_nor_pictures_for_crops_nor_other_crops_for_these(
    params: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params | {"crops": {"margin": 0.25}}), encoding="utf-8")
    of_pictures = Params.read(tmp_path / "params.yaml")
    of_crops = Params.read(tmp_path / "params.yaml", "crop-classification")
    for read, margin, message in (
        (of_pictures, 0.25, "are crops of boxes: say --task crop-classification"),
        (of_crops, None, "are no crops of boxes: run python -m dataset.crops.cut"),
        (of_crops, 0.5, r"crops\.margin is 0\.25, but the crops in .* were cut with 0\.5"),
    ):
        with pytest.raises(ParamsError, match=message):
            new_contract(_crops(tmp_path, margin), read, CHANNELS, CHANNELS, "none")
