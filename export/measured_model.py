"""A model with what it was measured on: from the files of this run, or from the model store.

The store keeps `predictions.csv`, `manifest.csv`, `description.json` and, of segmentation, `regions.csv`, of detection
`objects.csv`, with the checkpoint, which no Bento packs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import bentoml
from bentoml.exceptions import NotFound
from pydantic import ValidationError

from dataset.description import DESCRIPTION_FILE, DataDescription
from dataset.manifest import Manifest, ManifestError
from evaluation.analyses.leakage import refuse_other_images
from evaluation.asked_model import refuse_other_model
from evaluation.boxes.object_table import OBJECTS_FILE, ObjectTable
from evaluation.document import EvaluationError
from evaluation.outlines.region_table import REGIONS_FILE, RegionTable
from evaluation.predictions import PREDICTIONS_FILE, Predictions, PredictionsError
from export.model_store import CHECKPOINT_NAMES
from runtime.model.contract import (
    CONTRACT_FILE,
    ONNX_FILE,
    DetectionContract,
    ModelContract,
    SegmentationContract,
    read_contract,
)
from runtime.model.hashing import file_sha256
from runtime.model.roles import ROLE_NAMES, Role

_LOCATED: dict[Role, str] = {"segmentation": REGIONS_FILE, "detection": OBJECTS_FILE}
MANIFEST_FILE = "manifest.csv"
TASK_LABEL = "task"


@dataclass(frozen=True)
class MeasuredModel:
    """A model and what it was measured on.

    predictions: of the manifest's validation and test pictures; `manifest.root` may lack the pictures. regions: pixels
    of each test picture, of segmentation, objects: its boxes, of detection; None otherwise. task: what `gate.task`
    stated, or ''.
    """

    name: str
    model_dir: Path
    predictions: Predictions
    manifest: Manifest
    data: DataDescription
    task: str = ""
    regions: RegionTable | None = None
    objects: ObjectTable | None = None

    @property
    def data_sha256(self) -> str:
        """Hash of what it was trained and measured on: pictures, of segmentation also masks, of detection boxes."""
        role: Role = "segmentation" if self.regions else "detection" if self.objects else "classification"
        return self.manifest.data_sha256(role)


def measured_files(role: Role, predictions: Path, data_dir: Path, evaluation_dir: Path) -> Mapping[str, Path]:
    """Return what the store keeps with a checkpoint: name in the model -> file to copy."""
    return {
        PREDICTIONS_FILE: predictions,
        MANIFEST_FILE: data_dir / MANIFEST_FILE,
        DESCRIPTION_FILE: data_dir / DESCRIPTION_FILE,
        **{file: evaluation_dir / file for of, file in _LOCATED.items() if of == role},
    }


def read_measured_model(
    name: str, model_dir: Path, predictions: Path, data_dir: Path, evaluation_dir: Path, task: str = ""
) -> MeasuredModel:
    """Read this run's model.

    Raises ManifestError, PredictionsError or EvaluationError if a file is missing or malformed, or if manifest,
    predictions, pixels and model are not of one run.
    """
    manifest = Manifest.read(data_dir / MANIFEST_FILE)
    read = Predictions.read(predictions)
    contract = read_contract(model_dir / CONTRACT_FILE)
    data_sha256 = manifest.data_sha256(contract.task)
    if contract.lineage.data_sha256 not in ("", data_sha256):
        raise PredictionsError(
            f"the model was trained on data {contract.lineage.data_sha256[:12]}, {manifest.root / MANIFEST_FILE} is "
            f"{data_sha256[:12]}"
        )
    if set(read.classes) != set(contract.classes):
        raise PredictionsError(f"{predictions} is of other classes than the model")
    refuse_other_images(read, manifest, "group")
    refuse_other_model(predictions, file_sha256(model_dir / ONNX_FILE))
    regions = _read_regions(evaluation_dir / REGIONS_FILE, contract, read)
    objects = _read_objects(evaluation_dir / OBJECTS_FILE, contract, read)
    data = _read_description(data_dir / DESCRIPTION_FILE)
    return MeasuredModel(name, model_dir, read, manifest, data, task, regions, objects)


def _read_regions(path: Path, contract: ModelContract, predictions: Predictions) -> RegionTable | None:
    """Read the pixels of a segmentation's test pictures, which are those of the predictions."""
    if not isinstance(contract, SegmentationContract):
        return None
    table = RegionTable.read(path)
    if table.regions != contract.regions:
        raise EvaluationError(f"{path} is of other regions than the model")
    if set(table.paths) != set(predictions.select("test").paths):
        raise EvaluationError(f"{path} is not of the predictions' test pictures")
    return table


def _read_objects(path: Path, contract: ModelContract, predictions: Predictions) -> ObjectTable | None:
    """Read the boxes of a detection's test pictures, which are those of the predictions."""
    if not isinstance(contract, DetectionContract):
        return None
    table = ObjectTable.read(path)
    if table.objects != contract.objects:
        raise EvaluationError(f"{path} is of other objects than the model")
    if {one.threshold for one in table.pictures} != {contract.threshold}:
        raise EvaluationError(f"{path} was measured at another threshold than the model's, {contract.threshold:g}")
    if set(table.paths) != set(predictions.select("test").paths):
        raise EvaluationError(f"{path} is not of the predictions' test pictures")
    return table


def with_pictures(model: MeasuredModel, data_dir: Path) -> MeasuredModel:
    """Return the model with its pictures at `data_dir`, if the manifest there is the one it was measured on."""
    try:
        manifest = Manifest.read(data_dir / MANIFEST_FILE)
    except ManifestError:
        return model
    found = replace(model, manifest=manifest)
    return found if found.data_sha256 == model.data_sha256 else model


def registered_tags(role: Role) -> list[str]:
    """Return the tags of the role's models in the store, the newest first."""
    try:
        models = bentoml.models.list(ROLE_NAMES[role])
    except (NotFound, FileNotFoundError):
        return []
    return [str(model.tag) for model in sorted(models, key=lambda model: model.info.creation_time, reverse=True)]


def find_measured_model(tag: str) -> MeasuredModel | None:
    """Read a registered model; None if its checkpoint is not there or was stored without what it was measured on."""
    name, version = tag.split(":")
    role = next((role for role, known in ROLE_NAMES.items() if known == name), None)
    if role is None:
        return None
    try:
        model = bentoml.models.get(tag)
        stored = Path(bentoml.models.get(f"{CHECKPOINT_NAMES[role]}:{version}").path)
    except (NotFound, FileNotFoundError):
        return None
    if not all((stored / name).is_file() for name in measured_files(role, stored, stored, stored)):
        return None
    return MeasuredModel(
        tag,
        Path(model.path),
        Predictions.read(stored / PREDICTIONS_FILE),
        Manifest.read(stored / MANIFEST_FILE),
        _read_description(stored / DESCRIPTION_FILE),
        model.info.labels.get(TASK_LABEL, ""),
        RegionTable.read(stored / REGIONS_FILE) if role == "segmentation" else None,
        ObjectTable.read(stored / OBJECTS_FILE) if role == "detection" else None,
    )


def _read_description(path: Path) -> DataDescription:
    try:
        return DataDescription.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as exc:
        raise PredictionsError(f"cannot read {path}: {exc}") from exc
