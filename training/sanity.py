"""What the sanity commands share: the model that training would begin with, and their arguments."""

import argparse
from pathlib import Path

import torch

from dataset.manifest import Manifest
from dataset.params import PARAMS_FILE
from runtime.contract import Lineage, ModelContract
from training.model import Classifier, create_backbone
from training.params import Params


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the arguments that all of them take."""
    own = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    own.add_argument("--manifest", type=Path, default=Path("data/manifest.csv"))
    own.add_argument("--params", type=Path, default=PARAMS_FILE)
    return own


def untrained(manifest: Manifest, params: Params, device: torch.device) -> tuple[Classifier, ModelContract]:
    """Return the model as training begins with it, the same for the same seed. Raises WeightsError."""
    torch.manual_seed(params.train.seed)
    backbone, mean, std, origin = create_backbone(params.model, len(manifest.classes))
    contract = ModelContract(
        classes=manifest.classes, mean=mean, std=std, **params.contract.model_dump(),
        lineage=Lineage(backbone=params.model.backbone, weights=origin),
    )  # fmt: skip
    return Classifier(backbone, mean, std, channels_last=params.train.channels_last).to(device), contract
