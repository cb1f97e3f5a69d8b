"""What the sanity commands share: the model that training would begin with, and their arguments."""

import argparse
from pathlib import Path

import torch

from dataset.manifest import Manifest
from project.params import add_params_option
from runtime.model.contract import ClassificationContract, Lineage, ModelContract
from training.network.classifier import Classifier, create_backbone
from training.params import Params
from training.run.new_contract import input_of


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Give a command the options that all of them have."""
    parser.add_argument("--manifest", type=Path, default=Path("data/manifest.csv"))
    add_params_option(parser)


def untrained(manifest: Manifest, params: Params, device: torch.device) -> tuple[Classifier, ModelContract]:
    """Return the model as training begins with it, the same for the same seed. Raises WeightsError, BackboneError."""
    torch.manual_seed(params.train.seed)
    backbone, mean, std, origin = create_backbone(
        params.model, len(manifest.classes), (params.contract.height, params.contract.width)
    )
    contract = ClassificationContract(
        classes=manifest.classes, mean=mean, std=std, **input_of(manifest, params.contract),
        lineage=Lineage(backbone=params.model.backbone, weights=origin),
    )  # fmt: skip
    return Classifier(backbone, mean, std, channels_last=params.train.channels_last).to(device), contract
