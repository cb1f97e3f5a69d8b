"""Connected parts of truth and answer, matched by hand."""

import numpy as np
import pytest

from evaluation.outlines.parts import Found, label_parts, match_parts, without_small
from evaluation.statistics.found_scores import NEVER
from tests.evaluation.outlines.drawn import drawn


def match(truth: np.ndarray, answer: np.ndarray, score: float = 0.75) -> Found:
    return match_parts(truth, answer, np.full(truth.shape, score, np.float32))


def test_parts_are_connected_over_corners_and_are_of_one_region() -> None:
    labelled = label_parts(drawn("1..2", ".1.2", "..22", "1..."))
    assert labelled.regions.tolist() == [1, 1, 2]
    assert labelled.areas_px.tolist() == [2, 1, 4]
    assert labelled.ids.tolist() == [[1, 0, 0, 3], [0, 1, 0, 3], [0, 0, 3, 3], [2, 0, 0, 0]]


def test_small_parts_are_no_answer() -> None:
    answer = drawn("11..2", "....2", "3....")
    assert without_small(answer, 2).tolist() == drawn("11..2", "....2", ".....").tolist()
    assert without_small(answer, 1) is answer
    assert not without_small(answer, 3).any()


@pytest.mark.parametrize(("last", "score"), [(70, 0.75), (71, NEVER)])
def test_an_overlap_of_a_tenth_finds_and_of_less_does_not(last: int, score: float) -> None:
    truth, answer = np.zeros((1, 80), np.uint8), np.zeros((1, 80), np.uint8)
    truth[0, :35], answer[0, 28:last] = 1, 1  # 7 of 70 pixels, 7 of 71; the centre of the answer is elsewhere
    found = match(truth, answer)
    assert found.found_by_any.tolist() == [score]
    assert found.is_any.tolist() == [score > 0]


def test_a_part_whose_centre_lies_on_the_defect_finds_it() -> None:
    truth = drawn("1" * 30)
    assert match(truth, drawn("." * 15 + "11" + "." * 13)).is_any.tolist() == [True]  # 2 of 30
    ring = drawn("1111111", "1.....1", "1111111")  # its mean is no pixel of it
    assert match(drawn(".......", "...2...", "......."), ring).is_any.tolist() == [False]


def test_a_crack_in_pieces_is_found_once_and_its_pieces_are_no_false_alarms() -> None:
    truth = drawn("." * 30, "1" * 30, "." * 30)
    answer = drawn("." * 30, "11" + "." * 12 + "11" + "." * 14, "." * 29 + "1")
    found = match(truth, answer)
    assert found.defect_px.tolist() == [30]
    assert found.found_by_any.tolist() == [0.75]
    assert found.is_any.tolist() == [True, True, False]


def test_a_find_of_another_region_is_a_find_but_not_of_that_region() -> None:
    found = match(drawn("11..", "11.."), drawn("22..", "22.3"))
    assert (found.found_by_any.tolist(), found.found_by_own.tolist()) == ([0.75], [NEVER])
    assert (found.is_any.tolist(), found.is_own.tolist()) == ([True, False], [False, False])
    assert found.part_regions.tolist() == [2, 3]


def test_the_best_part_states_the_score_of_a_find() -> None:
    truth, answer = drawn("1111"), drawn("1.11")
    found = match_parts(truth, answer, np.array([[0.5, 0.0, 0.875, 0.625]], np.float32))
    assert found.scores.tolist() == [0.5, 0.75]
    assert found.found_by_any.tolist() == [0.75]


@pytest.mark.parametrize(
    ("answer", "parts"), [(".1111.", [False]), ("...11.", [False]), ("...111", []), ("....1.", [])]
)
def test_a_part_most_of_which_nobody_knows_is_no_false_alarm(answer: str, parts: list[bool]) -> None:
    assert match(drawn("....??"), drawn(answer)).is_any.tolist() == parts


def test_what_nobody_knows_parts_and_shrinks_defects() -> None:
    found = match(drawn("11?11"), drawn("11111"))
    assert found.defect_px.tolist() == [2, 2]
    assert found.found_by_any.tolist() == [0.75, 0.75]  # 2 of 4 known pixels each


def test_an_empty_picture_has_nothing() -> None:
    found = match(drawn("...."), drawn("...."))
    assert not len(found.defect_px)
    assert not len(found.scores)
    missed = match(drawn("11.."), drawn("...."))
    assert missed.found_by_any.tolist() == [NEVER]
