"""A phase trains what it names, at the rates it names, and nothing else."""

import pytest
import torch
from torch import nn

from project.params import ParamsError
from training.engine_params import PhaseParams
from training.network.classifier import Classifier, create_backbone
from training.network.optimiser import freeze_all_but, make_optimiser, trainable_parameters
from training.params import ModelParams


def _model(backbone: str = "test_efficientnet") -> Classifier:
    network, mean, std, _ = create_backbone(ModelParams(backbone=backbone, pretrained="none", drop_rate=0), 6)
    return Classifier(network, mean, std)


def _optimiser(model: Classifier, phase: PhaseParams, weight_decay: float = 0.3) -> torch.optim.AdamW:
    freeze_all_but(model, trainable_parameters(model, phase))
    return make_optimiser(model, phase, weight_decay)


def _rates(optimiser: torch.optim.Optimizer, parameter: torch.Tensor) -> tuple[float, float]:
    groups = [g for g in optimiser.param_groups if any(p is parameter for p in g["params"])]
    assert len(groups) == 1
    return groups[0]["lr"], groups[0]["weight_decay"]


def _changed(model: Classifier, phase: PhaseParams) -> set[str]:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimiser = _optimiser(model, phase)
    loss = model(torch.randint(0, 255, (4, 32, 32, 3), dtype=torch.uint8)).square().mean()
    loss.backward()
    optimiser.step()
    return {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}


def test_the_head_phase_changes_nothing_but_the_head() -> None:
    changed = _changed(_model(), PhaseParams(trainable="head", epochs=1, lr=0.1))
    assert changed == {"backbone.classifier.weight", "backbone.classifier.bias"}


def test_the_last_blocks_change_with_the_head_and_nothing_before_them() -> None:
    model = _model()
    changed = _changed(model, PhaseParams(trainable="last_blocks(2)", epochs=1, lr=0.1))
    last = ("classifier.", "blocks.3.", "blocks.4.", "conv_head", "bn2.")
    expected = {f"backbone.{name}" for name, _ in model.backbone.named_parameters() if name.startswith(last)}
    assert changed == expected


def test_a_norm_that_timm_groups_with_the_classifier_goes_with_the_last_block() -> None:
    model = _model("test_convnext")
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    phase = PhaseParams(trainable="last_blocks(1)", epochs=1, lr=0.1)
    trained = {names[id(parameter)] for parameter in trainable_parameters(model, phase)}
    assert {"backbone.head.norm.weight", "backbone.head.fc.weight"} < trained
    assert {name.split(".")[2] for name in trained if name.startswith("backbone.stages")} == {"3"}


def test_more_blocks_than_there_are_is_refused() -> None:
    with pytest.raises(ParamsError, match=r"last_blocks\(9\), but the backbone has 6 blocks"):
        trainable_parameters(_model(), PhaseParams(trainable="last_blocks(9)", epochs=1, lr=0.1))


def test_the_backbone_learns_slower_and_vectors_do_not_decay() -> None:
    model = _model()
    optimiser = _optimiser(model, PhaseParams(trainable="all", epochs=1, lr=0.01, backbone_lr_scale=0.1))
    parameters = dict(model.named_parameters())
    assert _rates(optimiser, parameters["backbone.classifier.weight"]) == (0.01, 0.3)
    assert _rates(optimiser, parameters["backbone.classifier.bias"]) == (0.01, 0.0)
    assert _rates(optimiser, parameters["backbone.blocks.1.0.conv_exp.weight"]) == pytest.approx((0.001, 0.3))
    assert _rates(optimiser, parameters["backbone.bn1.weight"]) == pytest.approx((0.001, 0.0))
    assert sum(len(g["params"]) for g in optimiser.param_groups) == len(parameters)


def test_what_a_backbone_names_does_not_decay() -> None:
    model = _model("test_vit")
    optimiser = _optimiser(model, PhaseParams(trainable="all", epochs=1, lr=0.01))
    position = dict(model.named_parameters())["backbone.pos_embed"]
    assert position.ndim > 1
    assert _rates(optimiser, position) == (0.01, 0.0)


def test_each_layer_learns_slower_than_the_one_above() -> None:
    model = _model("test_vit")
    phase = PhaseParams(trainable="all", epochs=1, lr=0.01, backbone_lr_scale=0.5, layer_decay=0.8)
    optimiser = _optimiser(model, phase)
    parameters = dict(model.named_parameters())
    rates = [_rates(optimiser, parameters[f"backbone.blocks.{i}.attn.qkv.weight"])[0] for i in range(6)]
    assert rates == pytest.approx([0.01 * 0.5 * 0.8 ** (6 - i) for i in range(6)])
    assert _rates(optimiser, parameters["backbone.head.weight"])[0] == 0.01


def test_what_stands_beside_the_backbone_counts_as_head() -> None:
    model = _model()
    model.add_module("beside", nn.Linear(4, 4))
    optimiser = _optimiser(model, PhaseParams(trainable="head", epochs=1, lr=0.01))
    parameters = dict(model.named_parameters())
    assert _rates(optimiser, parameters["beside.weight"]) == (0.01, 0.3)
    assert _rates(optimiser, parameters["beside.bias"]) == (0.01, 0.0)
    assert not parameters["backbone.bn1.weight"].requires_grad
