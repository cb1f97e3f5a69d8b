"""Two ways to compute boxes are compared candidate by candidate, in any order."""

import numpy as np
import pytest

from evaluation.statistics.box_parity import BoxDifferences
from runtime.model.contract import Outputs

LIMIT = 1e-4
BOX, OTHER = (0.0, 0.0, 10.0, 10.0), (50.0, 50.0, 60.0, 60.0)


def _outputs(*found: tuple[tuple[float, ...], float, int]) -> Outputs:
    """One picture's candidates and one that scores nothing, which ends every list."""
    corners, scores, objects = zip(*found, ((0.0, 0.0, 1.0, 1.0), 0.0, 0), strict=True)
    return {
        "boxes": np.array([corners], np.float32), "scores": np.array([scores], np.float32),
        "objects": np.array([objects], np.uint8),
    }  # fmt: skip


def _compare(expected: Outputs, got: Outputs) -> BoxDifferences:
    differences = BoxDifferences(LIMIT)
    differences.add(expected, got)
    return differences


def test_what_both_have_within_the_limits_agrees_in_any_order() -> None:
    found = _compare(
        _outputs((BOX, 0.5, 0), (OTHER, 0.5, 1)), _outputs((OTHER, 0.50005, 1), ((0.0, 0.0, 10.0, 10.03), 0.5, 0))
    )
    assert (found.num_boxes, found.num_equal) == (4, 4)
    assert found.furthest_px == pytest.approx(0.03, abs=1e-5)
    assert found.furthest_score == pytest.approx(5e-5, abs=1e-6)


@pytest.mark.parametrize(
    "got",
    [
        ((0.0, 0.0, 10.0, 10.06), 0.5, 0), (BOX, 0.5002, 0), (BOX, 0.5, 1), (BOX, float("nan"), 0),
        ((0.0, 0.0, 10.0, float("nan")), 0.5, 0),
    ],
)  # fmt: skip
def test_another_side_score_or_object_is_another_candidate(got: tuple[tuple[float, ...], float, int]) -> None:
    found = _compare(_outputs((BOX, 0.5, 0)), _outputs(got))
    assert (found.num_boxes, found.num_equal) == (2, 0)


def test_one_that_only_the_graph_has_is_seen() -> None:
    found = _compare(_outputs((BOX, 0.5, 0)), _outputs((BOX, 0.5, 0), (OTHER, 0.3, 0)))
    assert (found.num_boxes, found.num_equal) == (3, 2)


def test_ties_at_the_end_of_the_list_and_scores_next_to_nothing_are_not_compared() -> None:
    full = {name: values[:, :-1] for name, values in _outputs((BOX, 0.5, 0), (OTHER, 0.3, 0)).items()}
    moved = {name: values[:, :-1] for name, values in _outputs((BOX, 0.5, 0), (BOX, 0.30002, 1)).items()}
    assert _compare(full, moved).num_boxes == _compare(full, moved).num_equal == 2
    low = _compare(_outputs((BOX, 0.009, 0)), _outputs((OTHER, 0.009, 1)))
    assert (low.num_boxes, low.num_equal) == (0, 0)
