"""timm backbones at the input size that the contract states, where timm can give them that."""

from collections.abc import Iterator
from typing import Any

import timm
import torch
from torch import nn

from training.network import small_cnn  # noqa: F401  # its name becomes known to timm

Options = dict[str, Any]
# How timm and PyTorch say that a size does not fit: a failed assertion, shapes that do not match, an unknown argument.
_DOES_NOT_FIT = (AssertionError, IndexError, RuntimeError, TypeError, ValueError, ZeroDivisionError)


class BackboneError(ValueError):
    """A backbone that cannot be built as params.yaml asks; the message names the keys."""


def build_backbone(name: str, options: Options, size_px: tuple[int, int] | None) -> tuple[nn.Module, Options]:
    """Return timm's backbone `name` with random weights, and the options that timm took: those given, and `img_size`
    where the backbone must know its input size.

    size_px: height and width of the pictures, None for the backbone's own. The same name, options and size give the
    same network every time, so that a checkpoint fits. Raises BackboneError if it takes no such option or size.
    """
    problems: list[Exception] = []
    for way in _ways(name, size_px):
        try:
            backbone, taken = _create(name, {**options, **way})
            if size_px is not None:
                _check_takes(backbone, size_px)
            return backbone, taken
        except _DOES_NOT_FIT as exc:
            if isinstance(exc, BackboneError):
                raise
            problems.append(exc)
    if size_px is None:
        raise problems[0]
    raise BackboneError(_refusal(name, size_px, problems)) from problems[0]


def _ways(name: str, size_px: tuple[int, int] | None) -> Iterator[Options]:
    """Yield the options to try: as timm builds it, and told the size; the latter first where timm says it is fixed."""
    config = timm.get_pretrained_cfg(name)
    is_fixed = bool(config and config.fixed_input_size)
    if size_px is None or (is_fixed and _own_size(name) == size_px):
        yield {}
        return
    told: Options = {"img_size": size_px}
    yield from ((told, {}) if is_fixed else ({}, told))


def _create(name: str, options: Options) -> tuple[nn.Module, Options]:
    """Build it. An option that is off is left out where the backbone does not know it."""
    try:
        return timm.create_model(name, pretrained=False, **options), options
    except TypeError as exc:
        for key, what in (("drop_path_rate", "stochastic depth"), ("drop_rate", "dropout")):
            if f"'{key}'" in str(exc) and key in options:
                if options[key]:
                    raise BackboneError(f"'{name}' has no {what}: set model.{key} to 0") from exc
                return _create(name, {other: value for other, value in options.items() if other != key})
        raise


def check_takes_all(name: str, network: nn.Module, sizes_px: set[tuple[int, int]]) -> None:
    """Raise BackboneError if the network made of backbone `name` does not take pictures of each of these sizes."""
    for size_px in sorted(sizes_px):
        try:
            _check_takes(network, size_px)
        except _DOES_NOT_FIT as exc:
            raise BackboneError(_refusal(name, size_px, [exc])) from exc


@torch.no_grad()
def _check_takes(backbone: nn.Module, size_px: tuple[int, int]) -> None:
    """Run one black picture through, which changes and draws nothing. Raises what timm and PyTorch raise."""
    patch_px = _patch_px(backbone)
    if patch_px and any(side % patch for side, patch in zip(size_px, patch_px, strict=True)):
        raise ValueError(f"height and width must be multiples of its patches of {patch_px[0]} x {patch_px[1]}")
    is_training = backbone.training
    try:
        backbone.eval()(torch.zeros(1, 3, *size_px))
    finally:
        backbone.train(is_training)


def _patch_px(backbone: nn.Module) -> tuple[int, int] | None:
    """Return the patches that a picture is cut into without padding; what they do not cover would not be seen."""
    embedding = getattr(backbone, "patch_embed", None)
    patch_px = getattr(embedding, "patch_size", None)
    if getattr(embedding, "dynamic_img_pad", False) or not isinstance(patch_px, tuple) or len(patch_px) != 2:
        return None
    return int(patch_px[0]), int(patch_px[1])


def _own_size(name: str) -> tuple[int, int] | None:
    config = timm.get_pretrained_cfg(name)
    return (int(config.input_size[1]), int(config.input_size[2])) if config else None


def _refusal(name: str, size_px: tuple[int, int], problems: list[Exception]) -> str:
    texts = [str(problem).strip().split("\n")[0].rstrip(".") for problem in problems]
    reasons = [text for text in texts if text and "'img_size'" not in text]
    own = _own_size(name)
    return (
        f"'{name}' does not take pictures of {size_px[0]} x {size_px[1]} pixels"
        + (f" ({reasons[0]})" if reasons else "")
        + ": set contract.height and contract.width"
        + (f" to {own[0]} and {own[1]}, for which it was made," if own else "")
        + " or choose another model.backbone"
    )
