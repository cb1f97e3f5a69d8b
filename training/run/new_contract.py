"""The contract of a model that is about to be trained: what a picture becomes, and where the model comes from."""

import logging
from pathlib import Path
from typing import Any

from dataset.description import DESCRIPTION_FILE, find_description, read_max_value
from dataset.manifest import BOXES_SHA256, Manifest
from project.params import ParamsError
from runtime.model.contract import (
    Channel3,
    ClassificationContract,
    DetectionContract,
    Lineage,
    ModelContract,
    SegmentationContract,
)
from runtime.model.roles import CROP_MODEL_NAME
from training.params import ContractParams, Params
from training.records.lineage import git_commit

logger = logging.getLogger(__name__)


def new_contract(
    manifest: Manifest, params: Params, mean: Channel3, std: Channel3, weights: str, found: tuple[str, ...] = ()
) -> ModelContract:
    """Return the contract, without a run or what `finish` chooses yet.

    mean, std: the backbone's. weights: their origin. found: names of the regions of a segmentation, or of the objects
    of a detection.
    """
    _warn_of_missing_hashes(manifest, params)
    lineage = Lineage(
        git_commit=git_commit(Path()),
        data_sha256=manifest.data_sha256(params.task),
        backbone=params.model.backbone,
        weights=weights,
    )
    common = {"classes": manifest.classes, "mean": mean, "std": std, "lineage": lineage}
    common |= input_of(manifest, params.contract)
    if (outlines := params.segmentation) is not None:
        return SegmentationContract(**common, regions=found, merged=outlines.regions == "merged")
    if (boxes := params.detection) is not None:
        merged = boxes.objects == "merged"
        return DetectionContract(**common, objects=found, merged=merged, max_boxes=boxes.max_boxes)
    return ClassificationContract(**common, **_of_crops(manifest, params))


def _of_crops(manifest: Manifest, params: Params) -> dict[str, Any]:
    """Return what the contract says of crops; nothing for a classifier of pictures.

    Raises ParamsError for crops that are to be taken for pictures, for pictures that are to be taken for crops, and for
    crops of another margin than is stated.
    """
    description, crops = find_description(manifest.root), params.crops
    margin = description.crop_margin if description else None
    if crops is None and margin is None:
        return {}
    if crops is None:
        raise ParamsError(f"the pictures in {manifest.root} are crops of boxes: say --task crop-classification")
    if margin is None:
        raise ParamsError(
            f"the pictures in {manifest.root} are no crops of boxes: run python -m dataset.crops.cut and name what it "
            "made by --manifest, or leave out --task crop-classification"
        )
    if margin != crops.margin:
        raise ParamsError(
            f"crops.margin is {crops.margin:g}, but the crops in {manifest.root} were cut with {margin:g}: run python "
            "-m dataset.crops.cut again"
        )
    return {"name": CROP_MODEL_NAME, "subject": "crop", "crop_margin": margin}


def _warn_of_missing_hashes(manifest: Manifest, params: Params) -> None:
    without_boxes = BOXES_SHA256 not in manifest.table.columns  # a detection is of boxes, so there are some
    missing = {"segmentation": ("masks", manifest.is_without_mask_hashes), "detection": ("boxes", without_boxes)}
    what, is_missing = missing.get(params.task, ("", False))
    if is_missing:
        logger.warning(
            "the manifest in %s was made by an earlier version and holds no hashes of %s: the model's data_sha256 will "
            "not tell which %s it was trained on. Run `make data` again to have it told",
            manifest.root, what, what,
        )  # fmt: skip


def input_of(manifest: Manifest, params: ContractParams) -> dict[str, Any]:
    """Return what the contract says of the input, with the range that the pictures were loaded with.

    Raises ParamsError if another one is stated by now.
    """
    is_described = (manifest.root / DESCRIPTION_FILE).exists()
    loaded, stated = read_max_value(manifest.root), params.max_value
    if stated != "auto" and is_described and stated != loaded:
        raise ParamsError(
            f"contract.max_value is {stated}, but the pictures were loaded with {loaded or 'the range of their files'}"
            ": load them again (make data)"
        )
    max_value = loaded if is_described or stated == "auto" else stated
    return {**params.model_dump(), "max_value": max_value}


def with_run_id(contract: ModelContract, run_id: str) -> ModelContract:
    """Return the contract with the MLflow run in its lineage."""
    lineage = contract.lineage.model_copy(update={"mlflow_run_id": run_id})
    return contract.model_copy(update={"lineage": lineage})
