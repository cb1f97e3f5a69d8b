"""Which parameters a phase trains, at which rate, and which of them decay."""

from timm.models import group_parameters
from timm.optim import param_groups_layer_decay
from torch import nn
from torch.optim import AdamW

from project.params import ParamsError
from training.engine_params import PhaseParams
from training.network.classifier import Classifier


def trainable_parameters(model: Classifier, phase: PhaseParams) -> list[nn.Parameter]:
    """Return what the phase trains: the head; the last blocks as timm counts them, with the head; all but the first
    blocks; or everything. What is fitted after training is never trained.

    Raises ParamsError if the backbone has fewer blocks.
    """
    fitted = {id(parameter) for parameter in model.fitted_parameters()}
    return [parameter for parameter in _of_phase(model, phase) if id(parameter) not in fitted]


def _of_phase(model: Classifier, phase: PhaseParams) -> list[nn.Parameter]:
    if phase.trainable == "all":
        return list(model.parameters())
    in_backbone = {id(parameter) for parameter in model.backbone.parameters()}
    in_classifier = {id(parameter) for parameter in model.head_parameters()}
    head = [p for p in model.parameters() if id(p) in in_classifier or id(p) not in in_backbone]
    if phase.num_blocks is None:
        return head
    blocks = _blocks(model.backbone, in_classifier)
    if phase.num_blocks > len(blocks):
        raise ParamsError(f"train.phases: {phase.trainable}, but the backbone has {len(blocks)} blocks")
    if phase.trainable.startswith("all_but_first"):
        frozen = {id(parameter) for block in blocks[: phase.num_blocks] for parameter in block}
        return [parameter for parameter in model.parameters() if id(parameter) not in frozen]
    return head + [parameter for block in blocks[-phase.num_blocks :] for parameter in block]


def freeze_all_but(model: nn.Module, trainable: list[nn.Parameter]) -> None:
    """Let gradients flow to these parameters alone."""
    model.requires_grad_(False)
    for parameter in trainable:
        parameter.requires_grad_(True)


def make_optimiser(model: Classifier, phase: PhaseParams, weight_decay: float) -> AdamW:
    """Return AdamW over the parameters that require a gradient.

    The head learns with `lr`; the backbone with `lr * backbone_lr_scale`, times `layer_decay` for each layer (as timm
    counts them) between it and the output. Biases, norms and what timm's model names do not decay.
    """
    skip: set[str] = getattr(model.backbone, "no_weight_decay", set)()
    groups = param_groups_layer_decay(
        model.backbone, weight_decay, no_weight_decay_list=skip, layer_decay=phase.layer_decay
    )
    in_classifier = {id(parameter) for parameter in model.head_parameters()}
    members: dict[tuple[float, float], list[nn.Parameter]] = {}
    for group in groups:
        for parameter in group["params"]:
            scale = 1.0 if id(parameter) in in_classifier else phase.backbone_lr_scale * group["lr_scale"]
            members.setdefault((phase.lr * scale, group["weight_decay"]), []).append(parameter)
    in_backbone = {id(parameter) for parameter in model.backbone.parameters()}
    for parameter in model.parameters():
        if id(parameter) not in in_backbone and parameter.requires_grad:
            decay = weight_decay if parameter.ndim > 1 else 0.0
            members.setdefault((phase.lr, decay), []).append(parameter)
    return AdamW(
        [{"params": group, "lr": lr, "highest_lr": lr, "weight_decay": decay} for (lr, decay), group in members.items()]
    )


def _blocks(backbone: nn.Module, in_classifier: set[int]) -> list[list[nn.Parameter]]:
    """Return the backbone's blocks from input to output.

    What timm groups with the classifier but is none of it (ConvNeXt's last norm) goes with the last block.
    """
    matcher = getattr(backbone, "group_matcher", None)
    if matcher is None:
        raise ParamsError("train.phases: last_blocks needs a backbone whose blocks timm can count; use head or all")
    parameters = dict(backbone.named_parameters())
    blocks: list[list[nn.Parameter]] = []
    names_of = group_parameters(backbone, matcher(coarse=True))
    for _, names in sorted(names_of.items()):
        members = [parameters[name] for name in names if name in parameters]
        others = [parameter for parameter in members if id(parameter) not in in_classifier]
        if len(others) < len(members) and blocks:
            blocks[-1] += others
        elif others:
            blocks.append(others)
    return blocks
