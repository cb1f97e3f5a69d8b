"""Figures of boxes on validation pictures, counted by hand."""

import pytest
import torch

from evaluation.boxes.matching import LEFT_OUT, RIGHT, WRONG
from training.network.centre_points import Candidates
from training.tasks.box_figures import BoxCounts, outcomes
from training.tasks.detection_loss import COUNTS, IGNORED, NO_BOX

BOX, FAR, CROWD = (0.0, 0.0, 10.0, 10.0), (50.0, 50.0, 60.0, 60.0), (20.0, 0.0, 40.0, 40.0)


def _found(*boxes: tuple[tuple[float, ...], float, int]) -> Candidates:
    corners, scores, objects = zip(*boxes, strict=True)
    return Candidates(torch.tensor([corners]), torch.tensor([scores]), torch.tensor([objects], dtype=torch.uint8))


def test_a_candidate_is_right_once_and_only_for_its_object_and_crowds_leave_it_out() -> None:
    targets = torch.tensor([[(*BOX, 0, COUNTS), (*CROWD, 1, IGNORED), (*FAR, 1, COUNTS), (0, 0, 0, 0, 0, NO_BOX)]])
    found = _found(
        ((0.0, 0.0, 10.0, 8.0), 0.9, 0),
        (BOX, 0.8, 0),
        (BOX, 0.7, 1),
        ((21.0, 1.0, 25.0, 5.0), 0.6, 1),
        ((21.0, 1.0, 25.0, 5.0), 0.5, 0),
        ((52.0, 50.0, 62.0, 60.0), 0.4, 1),
        (FAR, 0.0, 1),
    )
    assert outcomes(found, targets).tolist() == [[RIGHT, WRONG, WRONG, LEFT_OUT, WRONG, RIGHT, LEFT_OUT]]
    assert outcomes(found, torch.full((1, 1, 6), NO_BOX).float()).tolist() == [[WRONG] * 6 + [LEFT_OUT]]


def _counts() -> BoxCounts:
    """Three objects of each of two kinds are there; one candidate is left out."""
    return BoxCounts.of(
        [[0.9, 0.8, 0.35], [0.7, 0.5, 0.2]],
        [[0, 0, 1], [1, 0, 0]],
        [[RIGHT, LEFT_OUT, RIGHT], [WRONG, RIGHT, WRONG]],
        [[2, 1], [1, 2]],
    )


def test_figures_at_a_threshold_are_those_counted_by_hand() -> None:
    figures = _counts().figures(0.5, ("hole", "fray?"))
    assert figures == {
        "val_precision": pytest.approx(2 / 3), "val_recall": pytest.approx(2 / 6), "val_f1": pytest.approx(4 / 9),
        "val_f1.hole": pytest.approx(4 / 5), "val_f1.fray_": 0,
    }  # fmt: skip


def test_the_best_threshold_is_the_middle_of_those_with_the_highest_f1() -> None:
    # At up to 0.35 three of four are right of six: 6 / 10. Thresholds from 0.22 to 0.34 give that.
    assert _counts().best_threshold() == 0.28


def test_where_nothing_is_there_nothing_is_measured_and_the_threshold_is_the_default() -> None:
    counts = BoxCounts.of([[0.9]], [[0]], [[WRONG]], [[0, 0]])
    assert counts.figures(0.3, ("a", "b")) == {}
    assert counts.best_threshold() == 0.3
