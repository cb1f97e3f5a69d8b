"""What a new model's contract says of the data that it is trained on."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from dataset.manifest import COLUMNS, MASK_SHA256, Manifest
from runtime.model.contract import Task
from tests.training.segmentation_section import segmentation_section
from training.params import Params
from training.run.new_contract import new_contract

CHANNELS = (0.5, 0.5, 0.5)


def manifest(root: Path, mask_sha256: str | None) -> Manifest:
    table = pd.DataFrame([{"label": label, "mask": "mask.png"} for label in "ab"]).reindex(columns=COLUMNS)
    return Manifest(table if mask_sha256 is None else table.assign(**{MASK_SHA256: mask_sha256}), root)


def data_sha256(task: Task, found: Manifest, params: dict[str, Any], tmp_path: Path) -> str:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    read = Params.read(tmp_path / "params.yaml", task)
    return new_contract(found, read, CHANNELS, CHANNELS, "none", ("spot",)).lineage.data_sha256


@pytest.fixture
def params(tiny_params: dict[str, Any]) -> dict[str, Any]:
    return tiny_params | {"segmentation": segmentation_section({"view": 1.0, "steps": 1})}


@pytest.mark.parametrize(("task", "differs"), [("classification", False), ("segmentation", True)])
def test_the_lineage_is_of_the_masks_where_masks_are_learned(
    task: Task, differs: bool, params: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = (data_sha256(task, manifest(tmp_path, digest), params, tmp_path) for digest in ("1", "2"))
    assert (one != other) == differs
    assert "holds no hashes of masks" not in caplog.text


@pytest.mark.parametrize(("task", "warns"), [("classification", False), ("segmentation", True)])
def test_a_manifest_that_cannot_tell_its_masks_is_named(
    task: Task, warns: bool, params: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    earlier = manifest(tmp_path, None)
    assert data_sha256(task, earlier, params, tmp_path) == earlier.sha256
    assert ("holds no hashes of masks" in caplog.text) == warns
