"""A timm backbone that takes images as the contract says, and the ways to its weights."""

from typing import Any

import timm
import torch
from torch import nn

from runtime.model.contract import Channel3, ModelContract
from training.network import centre_points, pyramid
from training.network.backbones import BackboneError, Options, build_backbone
from training.network.package_weights import PACKAGES, WeightsError, load_package_weights
from training.params import ModelParams


class Classifier(nn.Module):
    """Normalise uint8 images and run the backbone: `(n, height, width, 3)` uint8 to `(n, classes)` float32 logits.

    Normalisation is part of the model, so training, evaluation and the exported graph cannot differ in it.
    """

    def __init__(self, backbone: nn.Module, mean: Channel3, std: Channel3, channels_last: bool = True) -> None:
        super().__init__()
        self._channels_last = channels_last
        self.backbone = backbone.to(memory_format=torch.channels_last) if channels_last else backbone
        # (x / 255 - mean) / std as one multiply and add
        std_tensor = torch.tensor(std).view(1, 3, 1, 1)
        self.register_buffer("scale", 1 / (255 * std_tensor), persistent=False)
        self.register_buffer("shift", -torch.tensor(mean).view(1, 3, 1, 1) / std_tensor, persistent=False)
        self.train()  # a new module counts as training already, but its BatchNorm layers would too

    def forward(self, images_nhwc: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.backbone(self.normalise(images_nhwc))
        return logits

    def normalise(self, images_nhwc: torch.Tensor) -> torch.Tensor:
        """Return `(n, 3, height, width)` float32 as the backbone was pretrained on."""
        # NHWC memory seen as NCHW is PyTorch's channels_last: no copy, and the faster layout on CPU and GPU.
        images = images_nhwc.permute(0, 3, 1, 2).to(self.get_buffer("scale").dtype)
        if not self._channels_last:
            images = images.contiguous()
        return images * self.get_buffer("scale") + self.get_buffer("shift")

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters of the final classifier; the rest belong to the backbone."""
        found = self.backbone.get_classifier()  # type: ignore[operator]  # timm's method
        heads = found if isinstance(found, tuple) else (found,)  # distilled networks have two
        return [parameter for head in heads for parameter in head.parameters()]

    def fitted_parameters(self) -> list[nn.Parameter]:
        """Parameters that no phase trains, since they are fitted to what the trained network finds."""
        found: list[nn.Parameter] = getattr(self.backbone, "fitted_parameters", list)()
        return found

    def train(self, mode: bool = True) -> "Classifier":
        """Switch modes, but keep BatchNorm's running statistics as pretrained.

        Small data sets give noisy statistics, and frozen ones make any number of processes compute the same.
        """
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self


def create_backbone(
    params: ModelParams, num_classes: int, size_px: tuple[int, int] | None = None
) -> tuple[nn.Module, Channel3, Channel3, str]:
    """Return the backbone with a fresh head, its mean and std, and a sentence on its weights' origin.

    size_px: height and width of the pictures; None for the backbone's own. Raises WeightsError if the weights asked for
    cannot be had, BackboneError if the backbone does not take the size or the params.
    """
    _check_known(params.backbone)
    options: Options = {"num_classes": num_classes, "drop_rate": params.drop_rate}
    if params.drop_path_rate:  # many backbones do not take it at all
        options["drop_path_rate"] = params.drop_path_rate
    if params.pretrained == "hub":
        with torch.random.fork_rng(devices=()):  # built only to know how; what comes from the hub draws its head anew
            _, taken = build_backbone(params.backbone, options, size_px)
        backbone, origin = _from_hub(params.backbone, taken)
    else:
        backbone, _ = build_backbone(params.backbone, options, size_px)
        origin = "none: trained from random weights"
        if params.pretrained == "package":
            origin = load_package_weights(backbone, params.backbone)
    config: Any = backbone.pretrained_cfg  # timm's own mapping; torch's stubs take attributes of a module for tensors
    return backbone, tuple(config["mean"]), tuple(config["std"]), origin


def _check_known(name: str) -> None:
    """Refuse what timm cannot build. A name may carry the tag of its weights: `resnet18.a1_in1k`."""
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise WeightsError(f"timm knows no backbone '{architecture}'; see timm.list_models()")
    known = [other.partition(".")[2] for other in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in known:
        raise WeightsError(f"timm knows no weights '{tag}' of '{architecture}', but: {', '.join(known) or 'none'}")


def load_classifier(contract: ModelContract, state_dict: dict[str, torch.Tensor]) -> Classifier:
    """Rebuild a trained network of any task from what a checkpoint holds.

    Raises BackboneError if its weights are not those that the contract tells of.
    """
    name = contract.lineage.backbone
    if contract.task == "segmentation":
        backbone: nn.Module = pyramid.empty_like_state(name, contract, state_dict)
    elif contract.task == "detection":
        backbone = centre_points.empty_like_state(name, contract, state_dict)
    else:
        size_px = contract.height, contract.width
        backbone, _ = build_backbone(name, {"num_classes": len(contract.classes)}, size_px)
    model = Classifier(backbone, contract.mean, contract.std)
    try:
        model.load_state_dict(state_dict)
    except RuntimeError as exc:  # a mask head of before there were tasks, for one
        raise BackboneError(
            f"the checkpoint's weights are not those of '{name}' for {contract.task}: train it again"
        ) from exc
    return model.eval()


def _from_hub(name: str, options: Options) -> tuple[nn.Module, str]:
    try:
        backbone = timm.create_model(name, pretrained=True, **options)
    except Exception as exc:  # the hub's client raises its own, requests' and the file system's errors
        raise WeightsError(
            f"the pretrained weights of '{name}' cannot be fetched from the hub: {exc}. Without a network set "
            f"model.backbone to {next(iter(PACKAGES))} and model.pretrained to package, or model.pretrained to none "
            "to train from random weights on purpose"
        ) from exc
    return backbone, f"timm hub: {backbone.pretrained_cfg.get('hf_hub_id') or backbone.pretrained_cfg.get('url')}"
