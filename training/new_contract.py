"""The contract of a model that is about to be trained: what a picture becomes, and where the model comes from."""

from pathlib import Path

from dataset.manifest import Manifest
from runtime.contract import Channel3, Lineage, ModelContract
from training.lineage import git_commit
from training.params import Params


def new_contract(manifest: Manifest, params: Params, mean: Channel3, std: Channel3, weights: str) -> ModelContract:
    """Return the contract, without a run or a temperature yet. mean, std: the backbone's. weights: their origin."""
    backbone = params.model.backbone
    lineage = Lineage(git_commit=git_commit(Path()), data_sha256=manifest.sha256, backbone=backbone, weights=weights)
    sizes = params.contract.model_dump()
    return ModelContract(classes=manifest.classes, mean=mean, std=std, lineage=lineage, **sizes)


def with_run_id(contract: ModelContract, run_id: str) -> ModelContract:
    """Return the contract with the MLflow run in its lineage."""
    lineage = contract.lineage.model_copy(update={"mlflow_run_id": run_id})
    return contract.model_copy(update={"lineage": lineage})
