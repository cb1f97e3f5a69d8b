"""The loss of pixel scores, against values worked out by hand."""

import math

import pytest
import torch

from dataset.annotations import IGNORED
from training.tasks.segmentation_loss import mask_loss


def test_loss_of_two_cells_is_the_hand_computed_value() -> None:
    # Cell 0 is background with scores (0, 0): p = 1/2. Cell 1 is the defect with scores (0, log 3): p = 3/4.
    logits = torch.tensor([[[[0.0, 0.0]], [[0.0, math.log(3)]]]])
    masks = torch.tensor([[[0, 1]]], dtype=torch.uint8)
    entropy = (math.log(2) + 3.0 * math.log(4 / 3)) / 2
    dice = 1 - (2 * 0.75 + 1) / (0.5 + 0.75 + 1 + 1)
    assert float(mask_loss(logits, masks, 3.0)) == pytest.approx(entropy + dice)


def test_a_picture_without_defect_has_no_dice_term() -> None:
    logits = torch.zeros(1, 3, 4, 4)
    assert float(mask_loss(logits, torch.zeros(1, 16, 16, dtype=torch.uint8), 5.0)) == pytest.approx(math.log(3))


def test_ignored_pixels_teach_nothing() -> None:
    logits = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    masks = torch.zeros(1, 16, 16, dtype=torch.uint8)
    masks[:, :8] = IGNORED
    masks[:, 8:12] = 2
    mask_loss(logits, masks, 2.0).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert not logits.grad[:, :, :2].any()
    assert logits.grad[:, :, 2:].all()
    all_ignored = torch.full((1, 16, 16), IGNORED, dtype=torch.uint8)
    assert float(mask_loss(logits.detach(), all_ignored, 2.0)) == 0


def test_one_marked_pixel_makes_its_cell_a_defect() -> None:
    """A crack one pixel wide covers a quarter of a cell; a mean or nearest neighbour would lose it."""
    masks = torch.zeros(1, 16, 16, dtype=torch.uint8)
    masks[0, 5, 6] = 1
    sure = torch.zeros(1, 2, 4, 4)
    sure[:, 0], sure[:, 1] = 20.0, -20.0
    sure[0, 0, 1, 1], sure[0, 1, 1, 1] = -20.0, 20.0
    assert float(mask_loss(sure, masks, 3.0)) == pytest.approx(0, abs=1e-4)


def test_the_loss_of_a_batch_is_the_mean_of_its_halves() -> None:
    """Processes that share a batch average their gradients; a Dice over the batch would break this."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, 4, 4, generator=generator)
    masks = torch.randint(0, 3, (4, 16, 16), generator=generator, dtype=torch.uint8)
    halves = [mask_loss(logits[i : i + 2], masks[i : i + 2], 3.0) for i in (0, 2)]
    torch.testing.assert_close(mask_loss(logits, masks, 3.0), torch.stack(halves).mean())
