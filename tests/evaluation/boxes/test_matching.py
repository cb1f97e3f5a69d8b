"""Matching counted by hand, and the same as pycocotools' for random pictures."""

import numpy as np
import pytest

from evaluation.boxes.matching import EVERY_SIZE, IOUS, LEFT_OUT, RIGHT, WRONG, Truth, areas_of, match_boxes
from evaluation.outlines.parts import NEVER
from tests.evaluation.boxes.coco_reference import coco_evaluation, random_pictures

AREAS = (EVERY_SIZE, (0.0, 900.0), (900.0, 4000.0))


def truth(*corners: tuple[float, ...], ignored: tuple[int, ...] = ()) -> Truth:
    number = len(corners)
    return Truth(
        np.asarray(corners, dtype=np.float64).reshape(number, 4), np.zeros(number, np.int64),
        np.isin(np.arange(number), ignored),
    )  # fmt: skip


def match(there: Truth, *corners: tuple[float, ...]) -> list[str]:
    """Return a word a threshold, with a letter a box: r right, w wrong, i left out."""
    boxes = np.asarray(corners, dtype=np.float64).reshape(-1, 4)
    found = match_boxes(there, boxes, np.linspace(0.9, 0.5, len(boxes)))
    letters = {RIGHT: "r", WRONG: "w", LEFT_OUT: "i"}
    return ["".join(letters[int(one)] for one in row) for row in found.outcomes]


def test_a_box_is_right_up_to_its_overlap() -> None:
    # 8 of 10 columns: 80 / (100 + 80 - 80).
    assert match(truth((0, 0, 10, 10)), (0, 0, 8, 10)) == ["r"] * 7 + ["w"] * 3
    assert match(truth((0, 0, 10, 10)), (0, 0, 10, 10)) == ["r"] * 10
    assert match(truth(), (0, 0, 10, 10)) == ["w"] * 10
    assert match(truth((0, 0, 10, 10))) == [""] * 10


def test_a_second_box_on_one_object_is_wrong_even_if_it_fits_better() -> None:
    outcomes = match(truth((0, 0, 10, 10)), (0, 0, 7, 10), (0, 0, 10, 10))
    assert outcomes == ["rw"] * 5 + ["wr"] * 5  # where the first overlaps too little, the second takes the object


def test_a_box_takes_the_object_that_it_overlaps_most() -> None:
    there = truth((0, 0, 10, 10), (0, 0, 10, 8))
    found = match_boxes(there, np.array([[0, 0, 10, 8.0]]), np.array([0.9]))
    assert found.found_by.tolist() == [NEVER, 0.9]


def test_boxes_in_an_ignored_one_are_neither_right_nor_wrong() -> None:
    there = truth((0, 0, 100, 100), ignored=(0,))
    assert match(there, (0, 0, 10, 10), (5, 5, 9, 9), (95, 0, 105, 10)) == ["iii"] + ["iiw"] * 9
    found = match_boxes(there, np.zeros((0, 4)), np.zeros(0))
    assert (len(found.found_by), len(found.areas_px)) == (0, 0)


def test_an_object_comes_before_an_ignored_one() -> None:
    there = truth((0, 0, 100, 100), (0, 0, 10, 10), ignored=(0,))
    assert match(there, (0, 0, 10, 6)) == ["r"] * 3 + ["i"] * 7


def test_the_order_of_memory_does_not_matter() -> None:
    boxes = np.array([[0, 0, 10, 10.0], [20, 0, 30, 10]])
    there = truth((0, 0, 10, 10), (20, 0, 30, 10))
    found = match_boxes(
        there._replace(corners=np.asfortranarray(boxes)), np.asfortranarray(boxes), np.array([0.9, 0.8])
    )
    assert (found.outcomes == RIGHT).all()


def test_only_the_hundred_best_boxes_count() -> None:
    boxes = np.tile([50.0, 50, 60, 60], (101, 1))
    boxes[100] = 0, 0, 10, 10
    found = match_boxes(truth((0, 0, 10, 10)), boxes, np.linspace(1, 0, 101))
    assert found.outcomes.shape == (10, 100)
    assert found.found_by.tolist() == [NEVER]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("area", AREAS)
def test_matching_is_pycocotools(seed: int, area: tuple[float, float]) -> None:
    pictures = random_pictures(seed, num_objects=1)
    reference = coco_evaluation(pictures, 1, areas=[(area[0], min(area[1], 1e10))])
    for (there, boxes), result in zip(pictures, reference.evalImgs, strict=True):
        found = match_boxes(there, boxes.corners, boxes.scores, area)
        if result is None:
            assert not len(found.scores)
            continue
        assert result["dtScores"] == found.scores.tolist()
        expected = np.where(result["dtIgnore"], LEFT_OUT, np.where(result["dtMatches"] > 0, RIGHT, WRONG))
        np.testing.assert_array_equal(found.outcomes, expected)
        counted = ~np.asarray(result["gtIgnore"], dtype=bool)
        assert len(found.found_by) == counted.sum()
        assert sorted(found.areas_px) == sorted(
            areas_of(there.corners)[
                ~there.ignored & (areas_of(there.corners) >= area[0]) & (areas_of(there.corners) <= area[1])
            ]
        )
        assert (found.found_by > NEVER).sum() == (result["gtMatches"][0][counted] > 0).sum()
        assert (found.outcomes[0] == RIGHT).sum() == (found.found_by > NEVER).sum()


def test_thresholds_are_cocos() -> None:
    np.testing.assert_array_equal(IOUS, coco_evaluation(random_pictures(0), 3).params.iouThrs)
