"""The loss of heat maps and distances, against values worked out by hand."""

import math

import pytest
import torch

from training.network.centre_points import candidates
from training.tasks.detection_loss import COUNTS, IGNORED, NO_BOX, SIGMA_SHARE, LossWeights, box_loss, cell_targets

SIZE = (8, 8)  # cells of four pixels
PADDING = (0.0, 0.0, 0.0, 0.0, 0.0, NO_BOX)


def _targets(*boxes: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor([boxes], dtype=torch.float32)


def _outputs(logit: float, distance_px: float = 4.0) -> torch.Tensor:
    """One object on 8 x 8 cells, everywhere the same."""
    cells = torch.full((1, 5, *SIZE), logit)
    cells[:, 1:] = math.log(distance_px / 4)
    return cells


def test_a_box_is_a_bell_as_wide_and_as_high_as_itself() -> None:
    wanted = cell_targets(_targets((0, 8, 32, 16, 1, COUNTS), PADDING), 2, SIZE)
    assert not wanted.heat[0, 0].any()
    assert wanted.num_boxes.tolist() == [1]
    sigma = SIGMA_SHARE * 8
    across = [math.exp(-((column - 4) ** 2) / (2 * sigma**2)) for column in range(8)]
    assert wanted.heat[0, 1, 3].tolist() == pytest.approx(across, abs=1e-6)
    assert wanted.heat[0, 1, 2, 4] == pytest.approx(math.exp(-1 / (2 * 0.4**2)))
    assert wanted.counts.all()


def test_two_standard_deviations_along_leave_an_iou_of_seven_tenths() -> None:
    moved = 2 * SIGMA_SHARE
    assert (1 - moved) / (1 + moved) == pytest.approx(0.7, abs=0.01)


def test_where_boxes_share_a_cell_it_is_to_find_the_smallest_and_each_counts_once() -> None:
    large, small = (0.0, 0.0, 32.0, 32.0, 0.0, COUNTS), (14.0, 14.0, 22.0, 22.0, 0.0, COUNTS)
    alone = cell_targets(_targets(large, PADDING), 1, SIZE)
    assert alone.weights.sum().item() == pytest.approx(1)
    assert alone.weights.max() == alone.weights[0, 4, 4]
    both = cell_targets(_targets(large, small), 1, SIZE)
    assert both.boxes[0, :, 4, 4].tolist() == list(small[:4])
    assert both.boxes[0, :, 2, 4].tolist() == list(large[:4])
    assert both.num_boxes.tolist() == [2]


def test_in_an_ignored_box_no_cell_of_its_object_counts_but_a_centre() -> None:
    ignored, box = (0.0, 0.0, 32.0, 16.0, 0.0, IGNORED), (8.0, 4.0, 16.0, 12.0, 0.0, COUNTS)
    wanted = cell_targets(_targets(ignored, box), 2, SIZE)
    assert torch.nonzero(wanted.counts[0, 0, :4]).tolist() == [[2, 3]]
    assert wanted.counts[0, 0, 4:].all()
    assert wanted.counts[0, 1].all()
    assert wanted.num_boxes.tolist() == [1]


def test_loss_of_a_picture_without_a_box_is_the_hand_computed_value() -> None:
    """At p = 1/4 each of 64 cells gives p**2 * -log(3/4)."""
    outputs = _outputs(-math.log(3))
    expected = 64 * 0.25**2 * -math.log(0.75)
    assert float(box_loss(outputs, _targets(PADDING), LossWeights())) == pytest.approx(expected, rel=1e-5)
    expected = 64 * 0.25 * -math.log(0.75)
    assert float(box_loss(outputs, _targets(PADDING), LossWeights(focal_gamma=1))) == pytest.approx(expected, rel=1e-5)
    everywhere = _targets((0, 0, 32, 32, 0, IGNORED))
    assert float(box_loss(outputs, everywhere, LossWeights())) == 0


def test_loss_of_a_box_is_the_hand_computed_value() -> None:
    """A box of 4 pixels in one cell: no other cell is near enough to learn its sides."""
    outputs, box = _outputs(-math.log(3), distance_px=4.0), (12.0, 12.0, 16.0, 16.0, 0.0, COUNTS)
    along = [math.exp(-(d**2) / (2 * 0.4**2)) for d in (-3, -2, -1, 0, 1, 2, 3, 4)]
    near = [(1 - a * b) ** 4 for a in along for b in along]
    heat = 0.75**2 * math.log(4) + sum(near) * 0.25**2 * -math.log(0.75)
    # Found are 8 x 8 pixels around the middle of 4 x 4: IoU and GIoU are both 1/4.
    assert float(box_loss(outputs, _targets(box), LossWeights())) == pytest.approx(heat + 0.75, rel=1e-4)
    assert float(box_loss(outputs, _targets(box), LossWeights(box=2))) == pytest.approx(heat + 1.5, rel=1e-4)
    # Each side is half a cell off.
    smooth = heat + 0.5**2 / 2
    assert float(box_loss(outputs, _targets(box), LossWeights("smooth_l1"))) == pytest.approx(smooth, rel=1e-4)


def test_two_pictures_give_the_mean_of_their_losses_however_many_boxes_each_has() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(2, 6, *SIZE, generator=generator)
    first = [(0.0, 0.0, 8.0, 20.0, 0.0, COUNTS), (4.0, 8.0, 30.0, 30.0, 1.0, COUNTS)]
    targets = torch.tensor([first, [(9.0, 9.0, 20.0, 30.0, 1.0, COUNTS), PADDING]])
    parts = [box_loss(outputs[i : i + 1], targets[i : i + 1], LossWeights()) for i in range(2)]
    torch.testing.assert_close(box_loss(outputs, targets, LossWeights()), torch.stack(parts).mean())


@pytest.mark.parametrize("name", ["giou", "smooth_l1"])
def test_descending_finds_the_box(name: str) -> None:
    outputs = _outputs(-2.0, 6.0).requires_grad_()
    targets = _targets((5.0, 9.0, 17.0, 23.0, 0.0, COUNTS))
    optimiser = torch.optim.Adam([outputs], lr=0.1)
    for _ in range(200):
        optimiser.zero_grad()
        box_loss(outputs, targets, LossWeights(name)).backward()  # type: ignore[arg-type, no-untyped-call]
        optimiser.step()
    found = candidates(outputs.detach(), 2, (32, 32))
    assert found.scores[0, 0] > 0.8
    assert found.scores[0, 1] < 0.5
    assert found.boxes[0, 0].tolist() == pytest.approx([5, 9, 17, 23], abs=0.5)


@pytest.mark.parametrize("state", [NO_BOX, IGNORED])
def test_gradients_are_finite_without_a_box_and_where_all_is_sure(state: int) -> None:
    outputs = _outputs(200.0).requires_grad_()
    box_loss(outputs, _targets((0.0, 0.0, 0.0, 0.0, 0.0, state)), LossWeights(focal_gamma=0.5)).backward()  # type: ignore[no-untyped-call]
    assert outputs.grad is not None
    assert outputs.grad.isfinite().all()
