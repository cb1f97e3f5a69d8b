"""Learning rates and weight decay are what they are said to be."""

import pytest
import torch

from training.model import Classifier, create_backbone
from training.optimiser import cosine_schedule, head_only_optimiser, whole_network_optimiser
from training.params import ModelParams, TrainParams

PARAMS = TrainParams(
    seed=0, batch_size=8, head_epochs=1, epochs=1, head_lr=0.1, lr=0.01, backbone_lr_scale=0.1, weight_decay=0.3,
    label_smoothing=0, class_weight_power=0,
)  # fmt: skip


@pytest.fixture
def model() -> Classifier:
    backbone, mean, std, _ = create_backbone(ModelParams(backbone="resnet18", pretrained="none", drop_rate=0), 6)
    return Classifier(backbone, mean, std)


def _rates(optimiser: torch.optim.Optimizer, parameter: torch.Tensor) -> tuple[float, float]:
    groups = [g for g in optimiser.param_groups if any(p is parameter for p in g["params"])]
    assert len(groups) == 1
    return groups[0]["lr"], groups[0]["weight_decay"]


def test_head_only_changes_nothing_but_the_head(model: Classifier) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimiser = head_only_optimiser(model, PARAMS)
    loss = model(torch.full((4, 32, 32, 3), 200, dtype=torch.uint8)).square().mean()
    loss.backward()
    optimiser.step()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"backbone.fc.weight", "backbone.fc.bias"}


def test_the_backbone_learns_slower_and_vectors_do_not_decay(model: Classifier) -> None:
    optimiser = whole_network_optimiser(model, PARAMS)
    parameters = dict(model.named_parameters())
    assert _rates(optimiser, parameters["backbone.fc.weight"]) == (0.01, 0.3)
    assert _rates(optimiser, parameters["backbone.fc.bias"]) == (0.01, 0.0)
    assert _rates(optimiser, parameters["backbone.conv1.weight"]) == pytest.approx((0.001, 0.3))
    assert _rates(optimiser, parameters["backbone.bn1.weight"]) == pytest.approx((0.001, 0.0))
    assert sum(len(g["params"]) for g in optimiser.param_groups) == len(parameters)


def test_the_schedule_warms_up_and_ends_near_zero(model: Classifier) -> None:
    optimiser = head_only_optimiser(model, PARAMS)
    schedule = cosine_schedule(optimiser, 50)
    rates = []
    for _ in range(50):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates[0] < rates[3] < rates[5] == max(rates) == pytest.approx(0.1)
    assert rates[-1] < 0.001
