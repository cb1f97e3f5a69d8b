"""Learning rates, weight decay and class weights are what they are said to be."""

import pytest
import torch

from training.loop import weighted_cross_entropy
from training.model import Classifier, create_backbone
from training.optimiser import class_weights, cosine_schedule, head_only_optimiser, whole_network_optimiser
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


def test_class_weights_follow_the_power_and_average_to_one() -> None:
    labels = [0] * 8 + [1] * 2
    assert class_weights(labels, 2, 0).tolist() == [1, 1]
    balanced = class_weights(labels, 2, 1)
    assert balanced.tolist() == pytest.approx([10 / 16, 10 / 4])
    root = class_weights(labels, 2, 0.5)
    assert root[1] / root[0] == pytest.approx(2)
    assert (root[0] * 8 + root[1] * 2) / 10 == pytest.approx(1)
    with pytest.raises(ValueError, match=r"\[2\] have no training picture"):
        class_weights(labels, 3, 1)


def test_the_loss_of_a_batch_is_the_mean_over_any_equal_shares() -> None:
    """PyTorch's own weighted mean divides by the share's weights, which would differ between processes."""
    logits, labels = torch.randn(8, 3, generator=torch.manual_seed(0)), torch.tensor([0, 0, 0, 0, 0, 0, 1, 2])
    weights = torch.tensor([0.5, 2.0, 3.0])
    whole = weighted_cross_entropy(logits, labels, weights, 0.1)
    halves = [weighted_cross_entropy(logits[i : i + 4], labels[i : i + 4], weights, 0.1) for i in (0, 4)]
    assert torch.stack(halves).mean() == pytest.approx(float(whole))
    by_hand = [-weights[y] * torch.log_softmax(row, 0)[y] for row, y in zip(logits, labels, strict=True)]
    assert float(weighted_cross_entropy(logits, labels, weights, 0)) == pytest.approx(
        float(torch.stack(by_hand).mean())
    )
