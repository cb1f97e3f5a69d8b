"""What the sanity commands share: the model that training would begin with, and their arguments."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import torch

from dataset.manifest import Manifest
from dataset.params import PARAMS_FILE
from runtime.model.contract import Lineage, ModelContract
from training.network.classifier import Classifier, create_backbone
from training.params import Params
from training.run.new_contract import input_of


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the arguments that all of them take."""
    own = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    own.add_argument("--manifest", type=Path, default=Path("data/manifest.csv"))
    own.add_argument("--params", type=Path, default=PARAMS_FILE)
    return own


def at_least(lowest: int) -> Callable[[str], int]:
    """Return a type of argparse: a whole number of at least `lowest`."""

    def whole_number(text: str) -> int:
        if not text.isdecimal() or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {lowest}, got {text!r}")
        return int(text)

    return whole_number


def positive(text: str) -> float:
    """Type of argparse: a finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return number


def untrained(manifest: Manifest, params: Params, device: torch.device) -> tuple[Classifier, ModelContract]:
    """Return the model as training begins with it, the same for the same seed. Raises WeightsError, BackboneError."""
    torch.manual_seed(params.train.seed)
    backbone, mean, std, origin = create_backbone(
        params.model, len(manifest.classes), (params.contract.height, params.contract.width)
    )
    contract = ModelContract(
        classes=manifest.classes, mean=mean, std=std, **input_of(manifest, params.contract),
        lineage=Lineage(backbone=params.model.backbone, weights=origin),
    )  # fmt: skip
    return Classifier(backbone, mean, std, channels_last=params.train.channels_last).to(device), contract
