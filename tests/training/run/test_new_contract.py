"""What a new model's contract says of the data that it is trained on."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from dataset.manifest import BOXES_SHA256, COLUMNS, MASK_SHA256, Manifest
from runtime.model.contract import Task
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
