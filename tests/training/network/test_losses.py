"""Every loss gives the value worked out by hand, has the gradient it should, and averages over processes."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from training.batch_params import LossName
from training.engine_params import PhaseParams
from training.network import losses
from training.network.losses import (
    binary_cross_entropy,
    class_weights,
    cross_entropy,
    dice_loss,
    focal,
    iou_loss,
    smooth_l1,
    training_loss,
)
from training.params import TrainParams

# Two pictures, two classes; logits chosen so that softmax gives 1/4 and 3/4, and 1/2 each.
LOGITS = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]])
TARGETS = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
EQUAL = torch.ones(2)


def test_cross_entropy_is_minus_the_log_of_the_true_class() -> None:
    assert cross_entropy(LOGITS, TARGETS, EQUAL).item() == pytest.approx((math.log(4) + math.log(2)) / 2)


def test_a_class_weight_scales_its_pictures_and_the_mean_is_over_pictures() -> None:
    weights = torch.tensor([3.0, 0.5])
    expected = (3 * math.log(4) + 0.5 * math.log(2)) / 2
    assert cross_entropy(LOGITS, TARGETS, weights).item() == pytest.approx(expected)


def test_smoothing_equals_pytorchs_and_its_own_soft_label_form() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(7, 5, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 4, 0, 1])
    targets = losses.one_hot(labels, 5).double()
    smoothed = cross_entropy(logits, targets, torch.ones(5).double(), 0.1)
    soft = torch.full((7, 5), 0.02, dtype=torch.float64)
    soft[range(7), labels] = 0.92
    torch.testing.assert_close(smoothed, F.cross_entropy(logits, labels, label_smoothing=0.1))
    torch.testing.assert_close(smoothed, F.cross_entropy(logits, soft))


def test_focal_scales_each_term_by_what_is_missing_to_certainty() -> None:
    expected = ((3 / 4) ** 2 * math.log(4) + (1 / 2) ** 2 * math.log(2)) / 2
    assert focal(LOGITS, TARGETS, EQUAL, gamma=2.0).item() == pytest.approx(expected)
    torch.testing.assert_close(focal(LOGITS, TARGETS, EQUAL, 0.0, 0.1), cross_entropy(LOGITS, TARGETS, EQUAL, 0.1))


def test_focal_stays_finite_where_the_model_is_certain() -> None:
    logits = torch.tensor([[80.0, -80.0]], requires_grad=True)
    focal(logits, torch.tensor([[1.0, 0.0]]), EQUAL, gamma=0.5).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_binary_cross_entropy_asks_every_class_by_itself() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)]])  # sigmoid 1/2 and 3/4
    both = binary_cross_entropy(logits, torch.tensor([[1.0, 1.0]]), EQUAL)
    assert both.item() == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)
    smoothed = binary_cross_entropy(logits[:, 1:], torch.ones(1, 1), torch.ones(1), smoothing=0.2)
    assert smoothed.item() == pytest.approx(0.9 * math.log(4 / 3) + 0.1 * math.log(4))


@pytest.mark.parametrize(
    ("target", "question_losses", "weight"),
    [
        ([1.0, 0.0], math.log(2) + math.log(4), 1.0),
        ([0.0, 1.0], math.log(2) + math.log(4 / 3), 3.0),
        ([0.25, 0.75], math.log(2) + 0.75 * math.log(4 / 3) + 0.25 * math.log(4), 0.25 * 1 + 0.75 * 3),  # mixed
        ([1.0, 1.0], math.log(2) + math.log(4 / 3), 2.0),  # two labels: their mean
        ([0.0, 0.0], math.log(2) + math.log(4), 1.0),  # none
    ],
)
def test_binary_cross_entropy_weighs_pictures_by_their_classes_and_not_questions(
    target: list[float], question_losses: float, weight: float
) -> None:
    logits = torch.tensor([[0.0, math.log(3.0)]])  # sigmoid 1/2 and 3/4
    value = binary_cross_entropy(logits, torch.tensor([target]), torch.tensor([1.0, 3.0]))
    assert value.item() == pytest.approx(weight * question_losses / 2)


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "binary_cross_entropy"])
@pytest.mark.parametrize(("power", "optimum"), [(0.0, [0.9, 0.1]), (1.0, [0.5, 0.5])])
def test_balanced_weights_make_the_best_constant_prediction_call_all_classes_alike(
    name: LossName, power: float, optimum: list[float]
) -> None:
    targets = losses.one_hot(torch.tensor([0] * 90 + [1] * 10), 2).double()
    weights = class_weights([90, 10], "power", power=power).double()
    loss = losses.classifier_loss(name, weights, smoothing=0.0, focal_gamma=0.0)
    constant = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([constant], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimiser.zero_grad()
        value = loss(constant.expand(100, 2), targets)
        value.backward()  # type: ignore[no-untyped-call]
        return float(value.detach())

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    found = constant.detach().sigmoid() if name == "binary_cross_entropy" else constant.detach().softmax(dim=0)
    assert found.tolist() == pytest.approx(optimum, abs=1e-3)


def _masks() -> tuple[torch.Tensor, torch.Tensor]:
    """One picture of 2 x 2: class 0 overlaps in half, class 1 is absent from both."""
    probs = torch.tensor([[[[1.0, 0.5], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]])
    targets = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]])
    return probs, targets


def test_dice_and_iou_measure_overlap_and_an_absent_class_is_perfect() -> None:
    probs, targets = _masks()
    assert dice_loss(probs, targets).item() == pytest.approx((1 - 2 / 3.5 + 0) / 2, abs=1e-5)
    assert iou_loss(probs, targets).item() == pytest.approx((1 - 1 / 2.5 + 0) / 2, abs=1e-5)


def test_pixels_that_do_not_count_change_nothing() -> None:
    probs, targets = _masks()
    valid = torch.tensor([[[[1.0, 1.0], [0.0, 1.0]]]])  # the missed pixel is not valid
    assert dice_loss(probs, targets, valid).item() == pytest.approx((1 - 2 / 2.5) / 2, abs=1e-5)
    assert iou_loss(probs, targets, valid).item() == pytest.approx((1 - 1 / 1.5) / 2, abs=1e-5)


def test_smooth_l1_is_quadratic_then_linear() -> None:
    value = smooth_l1(torch.tensor([0.5, 3.0]), torch.tensor([0.0, 0.0]), beta=2.0)
    assert value.item() == pytest.approx((0.5**2 / 4 + (3 - 1)) / 2)


def _soft(n: int, c: int) -> torch.Tensor:
    return torch.rand(n, c, dtype=torch.float64).softmax(dim=1)


@pytest.mark.parametrize(
    "loss",
    [
        lambda x, t: cross_entropy(x, t, torch.linspace(0.5, 2, 4).double(), 0.1),
        lambda x, t: focal(x, t, torch.linspace(0.5, 2, 4).double(), 2.0, 0.1),
        lambda x, t: binary_cross_entropy(x, t, torch.linspace(0.5, 2, 4).double(), 0.1),
        lambda x, t: smooth_l1(x, t, 0.3),
        lambda x, t: dice_loss(x.sigmoid().view(3, 1, 2, 2), t.view(3, 1, 2, 2)),
        lambda x, t: iou_loss(x.sigmoid().view(3, 1, 2, 2), t.view(3, 1, 2, 2)),
    ],
)
def test_gradients_are_those_of_the_value(loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    targets = _soft(3, 4)
    assert torch.autograd.gradcheck(lambda x: loss(x, targets), (inputs,))


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "binary_cross_entropy"])
def test_the_mean_of_two_halves_is_the_whole_batch(name: LossName) -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(6, 4), _soft(6, 4).float()
    loss = losses.classifier_loss(name, torch.tensor([0.2, 1.0, 3.0, 1.0]), 0.1, 2.0)
    halves = (loss(logits[:3], targets[:3]) + loss(logits[3:], targets[3:])) / 2
    torch.testing.assert_close(halves, loss(logits, targets))


def test_each_name_chooses_its_own_loss() -> None:
    values = {
        name: losses.classifier_loss(name, EQUAL, 0.0, 2.0)(LOGITS, TARGETS).item()
        for name in ("cross_entropy", "focal", "binary_cross_entropy")
    }
    assert values["cross_entropy"] == pytest.approx(cross_entropy(LOGITS, TARGETS, EQUAL).item())
    assert values["focal"] == pytest.approx(focal(LOGITS, TARGETS, EQUAL, 2.0).item())
    assert values["binary_cross_entropy"] == pytest.approx(binary_cross_entropy(LOGITS, TARGETS, EQUAL).item())
    assert len({round(value, 6) for value in values.values()}) == 3


def test_weights_by_power_follow_frequency_and_average_to_one() -> None:
    assert class_weights([4, 1], "power", power=0).tolist() == [1.0, 1.0]
    balanced = class_weights([4, 1], "power", power=1)
    assert balanced.tolist() == pytest.approx([0.625, 2.5])
    half = class_weights([4, 1], "power", power=0.5)
    assert (half[1] / half[0]).item() == pytest.approx(2.0)
    assert (half * torch.tensor([4.0, 1.0])).sum().item() / 5 == pytest.approx(1.0)


def test_weights_by_effective_number_lie_between_unweighted_and_balanced() -> None:
    # 1 - 0.5 ** 2 = 0.75 and 1 - 0.5 = 0.5
    weights = class_weights([2, 1], "effective_number", beta=0.5)
    assert (weights[1] / weights[0]).item() == pytest.approx(0.75 / 0.5)
    assert class_weights([2, 1], "effective_number", beta=0.0).tolist() == pytest.approx([1.0, 1.0])


def test_a_class_without_pictures_is_refused() -> None:
    with pytest.raises(ValueError, match=r"class\(es\) \[1\] have no training picture"):
        class_weights([2, 0, 1], "power", power=0.5)


def test_the_loss_of_training_weighs_classes_by_how_often_they_are_drawn() -> None:
    labels, logits = [0, 0, 0, 1], torch.tensor([[1.0, -1.0], [0.5, 2.0]])
    targets = torch.eye(2)

    def value(**changed: Any) -> float:
        params = TrainParams(
            seed=0, batch_size=2, phases=(PhaseParams(trainable="all", epochs=1, lr=0.1),), weight_decay=0,
            label_smoothing=0, **{"class_weight_power": 1, **changed},
        )  # fmt: skip
        return float(training_loss(labels, 2, params, torch.device("cpu"))(logits, targets))

    first, second = (math.log(1 + math.exp(-gap)) for gap in (2.0, 1.5))
    assert value() == pytest.approx((2 / 3 * first + 2 * second) / 2)  # 1/3 and 1, times what makes their mean 1
    assert value(class_weight_power=0) == pytest.approx((first + second) / 2)
    assert value(sampling="balanced") == pytest.approx((first + second) / 2)  # drawn equally often already
    assert value(loss="focal", focal_gamma=0) == pytest.approx(value())
