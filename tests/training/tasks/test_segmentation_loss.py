"""The loss of pixel scores, against values worked out by hand."""

import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812  # the field's name for it

from dataset.annotations import IGNORED
from training.tasks.segmentation_loss import BOUNDARY_SIGMA_PX, LossWeights, mask_loss

# Cell 0 is background with scores (0, 0): p = 1/2. Cell 1 is the defect with scores (0, log 3): p = 3/4.
TWO_CELLS = torch.tensor([[[[0.0, 0.0]], [[0.0, math.log(3)]]]])
TWO_MASKS = torch.tensor([[[0, 1]]], dtype=torch.uint8)
ENTROPIES = math.log(2), math.log(4 / 3)
DICE = 1 - (2 * 0.75 + 1) / (0.5 + 0.75 + 1 + 1)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (LossWeights(defect=3), (ENTROPIES[0] + 3 * ENTROPIES[1]) / 2 + DICE),
        (LossWeights(cross_entropy=0.5, dice=2), (ENTROPIES[0] + ENTROPIES[1]) / 4 + 2 * DICE),
        (LossWeights(cross_entropy=0), DICE),
        (LossWeights(dice=0), sum(ENTROPIES) / 2),
        (LossWeights(dice=0, focal_gamma=2, defect=3), (ENTROPIES[0] / 4 + 3 * ENTROPIES[1] / 16) / 2),
        (LossWeights(dice=0, boundary=4), 5 * sum(ENTROPIES) / 2),  # both are at an edge
    ],
)
def test_loss_of_two_cells_is_the_hand_computed_value(weights: LossWeights, expected: float) -> None:
    assert float(mask_loss(TWO_CELLS, TWO_MASKS, weights)) == pytest.approx(expected)


def test_cells_count_less_the_further_they_are_from_an_edge_and_ignored_ones_make_none() -> None:
    """Sixteen columns of cells as large as a pixel: ignored, eleven of background, the last four marked."""
    masks = torch.zeros(1, 16, 16, dtype=torch.uint8)
    masks[:, :, 0], masks[:, :, 12:] = IGNORED, 1
    logits = torch.zeros(1, 2, 16, 16, requires_grad=True)
    mask_loss(logits, masks, LossWeights(dice=0, boundary=4)).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    plain = 0.5 / (16 * 15)  # of a cell far from every edge
    distances = [*range(10, -1, -1), 0, 1, 2, 3]
    weights = [1 + 4 * math.exp(-(d**2) / (2 * BOUNDARY_SIGMA_PX**2)) for d in distances]
    assert (logits.grad[0, 0, 8].abs() / plain).tolist() == pytest.approx([0, *weights], rel=1e-4)


def test_distances_from_an_edge_are_in_pixels_whatever_the_stride() -> None:
    masks = torch.zeros(1, 16, 64, dtype=torch.uint8)
    masks[:, :, 32:] = 1
    logits = torch.zeros(1, 2, 4, 16, requires_grad=True)
    mask_loss(logits, masks, LossWeights(dice=0, boundary=4)).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    weights = [1 + 4 * math.exp(-((4 * d) ** 2) / (2 * BOUNDARY_SIGMA_PX**2)) * (4 * d <= 2 * 5) for d in range(8)]
    assert (logits.grad[0, 0, 1, 8:].abs() * 2 * 64).tolist() == pytest.approx(weights, rel=1e-4)


def test_at_pixels_the_answers_own_pixels_are_compared() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 3, 4, 4, generator=generator)
    masks = torch.randint(0, 3, (1, 16, 16), generator=generator, dtype=torch.uint8)
    large = F.interpolate(logits, size=(16, 16), mode="bilinear", align_corners=False)
    entropy = F.cross_entropy(large, masks.long())
    found = mask_loss(logits, masks, LossWeights(dice=0, at_pixels=True))
    torch.testing.assert_close(found, entropy)


def test_a_picture_without_defect_has_no_dice_term() -> None:
    logits = torch.zeros(1, 3, 4, 4)
    loss = mask_loss(logits, torch.zeros(1, 16, 16, dtype=torch.uint8), LossWeights(defect=5))
    assert float(loss) == pytest.approx(math.log(3))


@pytest.mark.parametrize("weights", [LossWeights(defect=2), LossWeights(2, 1, 1.5, 3, 2), LossWeights(focal_gamma=0.5)])
def test_ignored_pixels_teach_nothing(weights: LossWeights) -> None:
    logits = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    masks = torch.zeros(1, 16, 16, dtype=torch.uint8)
    masks[:, :8] = IGNORED
    masks[:, 8:12] = 2
    mask_loss(logits, masks, weights).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert not logits.grad[:, :, :2].any()
    assert logits.grad[:, :, 2:].all()
    all_ignored = torch.full((1, 16, 16), IGNORED, dtype=torch.uint8)
    assert float(mask_loss(logits.detach(), all_ignored, weights)) == 0


def test_one_marked_pixel_makes_its_cell_a_defect() -> None:
    """A crack one pixel wide covers a quarter of a cell; a mean or nearest neighbour would lose it."""
    masks = torch.zeros(1, 16, 16, dtype=torch.uint8)
    masks[0, 5, 6] = 1
    sure = torch.zeros(1, 2, 4, 4)
    sure[:, 0], sure[:, 1] = 20.0, -20.0
    sure[0, 0, 1, 1], sure[0, 1, 1, 1] = -20.0, 20.0
    assert float(mask_loss(sure, masks, LossWeights(defect=3))) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("weights", [LossWeights(defect=3), LossWeights(1, 0.5, 2, 3, 3), LossWeights(at_pixels=True)])
def test_the_loss_of_a_batch_is_the_mean_of_its_halves(weights: LossWeights) -> None:
    """Processes that share a batch average their gradients; a Dice over the batch would break this."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, 4, 4, generator=generator)
    masks = torch.randint(0, 3, (4, 16, 16), generator=generator, dtype=torch.uint8)
    halves = [mask_loss(logits[i : i + 2], masks[i : i + 2], weights) for i in (0, 2)]
    torch.testing.assert_close(mask_loss(logits, masks, weights), torch.stack(halves).mean())


def test_a_certain_pixel_has_a_finite_gradient_whatever_the_focal_exponent() -> None:
    logits = torch.tensor([[[[200.0]], [[-200.0]]]], requires_grad=True)
    mask_loss(logits, torch.zeros(1, 4, 4, dtype=torch.uint8), LossWeights(focal_gamma=0.3)).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
