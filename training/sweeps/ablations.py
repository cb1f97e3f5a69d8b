"""What each ablation compares: named changes of `params.yaml` that all have the same number of epochs."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from project.params import ParamsError
from training.network.package_weights import PACKAGES

Document = dict[str, Any]  # params.yaml as read

_NO_AUGMENTATION: Document = {
    "flip": False,
    "crop_min_area": 1.0,
    "crop_max_aspect": 1.0,
    "rotate_degrees": 0,
    "scale": 0,
    "translate": 0,
    "shear_degrees": 0,
    "exposure_stops": 0,
    "gamma": 1,
    "brightness": 0,
    "contrast": 0,
    "randaugment_num_ops": 0,
    "erasing_probability": 0,
    "mixup_alpha": 0,
    "cutmix_alpha": 0,
}
_FLIPS_AND_CROPS: Document = {"flip": True, "crop_min_area": 0.8}
_RANDAUGMENT: Document = {"randaugment_num_ops": 2, "randaugment_magnitude": 9}
# Each mixed half of the time, which leaves the network whole pictures to learn from.
_MIXING: Document = {"mixup_alpha": 0.2, "cutmix_alpha": 1.0, "mix_probability": 0.5}
SCRATCH_LR = 0.003  # of a network that knows nothing; a tenth of it hardly moves in a few epochs


@dataclass(frozen=True)
class Arm:
    """One row of an ablation: a name and how it changes the params document, which it does not keep."""

    name: str
    change: Callable[[Document], None]

    @property
    def folder(self) -> str:
        return self.name.lower().replace(" ", "-").replace(",", "")

    def params(self, document: Document, seed: int) -> Document:
        """Return the arm's own params document."""
        changed = deepcopy(document)
        self.change(changed)
        changed["train"]["seed"] = seed
        return changed


def _augment(*parts: Mapping[str, Any]) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        for part in (_NO_AUGMENTATION, *parts):
            document["augment"].update(part)

    return change


def _backbone(name: str, pretrained: str) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        document["model"].update(backbone=name, pretrained=pretrained)

    return change


def _from_scratch(document: Document) -> None:
    document["model"].update(backbone="two_layer_cnn", pretrained="none", drop_path_rate=0)
    document["train"]["phases"] = [{"trainable": "all", "epochs": _num_epochs(document), "lr": SCRATCH_LR}]


def _features_only(document: Document) -> None:
    phases = document["train"]["phases"]
    head = next((phase for phase in phases if phase["trainable"] == "head"), None)
    if head is None:
        raise ParamsError("train.phases has no phase that trains the head alone: its lr is what 'features only' uses")
    document["train"]["phases"] = [{**head, "epochs": _num_epochs(document)}]


def _as_it_is(document: Document) -> None:
    if all(phase["trainable"] == "head" for phase in document["train"]["phases"]):
        raise ParamsError("train.phases trains the head alone: there is no full fine-tuning to compare with")


def _num_epochs(document: Document) -> int:
    return sum(phase["epochs"] for phase in document["train"]["phases"])


ABLATIONS: dict[str, tuple[Arm, ...]] = {
    "augmentation": (
        Arm("no augmentation", _augment()),
        Arm("flips and crops", _augment(_FLIPS_AND_CROPS)),
        Arm("flips, crops, RandAugment", _augment(_FLIPS_AND_CROPS, _RANDAUGMENT)),
        Arm("flips, crops, RandAugment, MixUp, CutMix", _augment(_FLIPS_AND_CROPS, _RANDAUGMENT, _MIXING)),
    ),
    "training": (
        Arm("two-layer CNN from scratch", _from_scratch),
        Arm("features only", _features_only),
        Arm("full fine-tuning", _as_it_is),
    ),
    "backbones": (
        *(Arm(name, _backbone(name, "package")) for name in PACKAGES),
        Arm("convnext_tiny", _backbone("convnext_tiny", "hub")),
        Arm("tf_efficientnetv2_s", _backbone("tf_efficientnetv2_s", "hub")),
        Arm("vit_base_patch16_224", _backbone("vit_base_patch16_224", "hub")),
    ),
}
