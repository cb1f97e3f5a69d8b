"""The contract of a model that is about to be trained: what a picture becomes, and where the model comes from."""

import logging
from pathlib import Path
from typing import Any

from dataset.description import DESCRIPTION_FILE, read_max_value
from dataset.manifest import Manifest
from project.params import ParamsError
from runtime.model.contract import (
    Channel3,
    ClassificationContract,
    DetectionContract,
    Lineage,
    ModelContract,
    SegmentationContract,
)
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
    if params.task != "classification" and manifest.is_without_mask_hashes:
        logger.warning(
            "the manifest in %s was made by an earlier version and holds no hashes of masks: the model's data_sha256 "
            "will not tell which masks it was trained on. Run `make data` again to have it told",
            manifest.root,
        )
    lineage = Lineage(
        git_commit=git_commit(Path()),
        data_sha256=manifest.data_sha256(params.task),
        backbone=params.model.backbone,
        weights=weights,
    )
    common = {"classes": manifest.classes, "mean": mean, "std": std, "lineage": lineage}
    common |= input_of(manifest, params.contract)
    if params.task == "segmentation":
        merged = params.segmentation is not None and params.segmentation.regions == "merged"
        return SegmentationContract(**common, regions=found, merged=merged)
    if (own := params.detection) is not None:
        merged = own.objects == "merged"
        return DetectionContract(**common, objects=found, merged=merged, max_boxes=own.max_boxes)
    return ClassificationContract(**common)


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
