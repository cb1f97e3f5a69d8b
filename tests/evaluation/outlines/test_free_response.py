"""Recall at false alarms, computed by hand."""

import numpy as np
import pytest

from evaluation.outlines.document import Objects
from evaluation.outlines.free_response import Candidates, measure_objects
from evaluation.params import EvaluateParams
from evaluation.statistics.bootstrap import Resampling
from evaluation.statistics.found_scores import NEVER

PARAMS = EvaluateParams(seed=0, confidence=0.95, bootstrap_samples=200)
GROUPS = np.repeat(np.array(list("abcde"), dtype=object), 2)  # ten pictures
# Five defects; parts find four of them. Three false alarms score 0.85, 0.7 and 0.7.
FOUND = Candidates(
    defect_picture=np.array([0, 0, 2, 4, 6]),
    defect_px=np.array([4, 10, 20, 30, 40]),
    found_by=np.array([0.9, 0.8, 0.7, 0.6, NEVER]),
    part_picture=np.array([0, 0, 2, 4, 1, 3, 5]),
    scores=np.array([0.9, 0.8, 0.7, 0.6, 0.85, 0.7, 0.7]),
    is_hit=np.array([True] * 4 + [False] * 3),
)


def measure(found: Candidates = FOUND, groups: np.ndarray = GROUPS, in_detail: bool = True) -> Objects:
    return measure_objects("", found, Resampling(groups, PARAMS), in_detail=in_detail)


def test_all_parts_and_all_false_alarms_count_at_the_threshold() -> None:
    objects = measure()
    assert (objects.num_objects, objects.num_found, objects.num_groups) == (5, 4, 4)
    assert (objects.num_parts, objects.num_false) == (7, 3)
    assert objects.recall.value == pytest.approx(4 / 5)
    assert objects.false_alarms.value == pytest.approx(3 / 10)
    assert objects.recall.low is not None
    assert objects.false_alarms.high is not None


def test_recall_at_a_tenth_allows_one_false_alarm_in_ten_pictures() -> None:
    tenth, one = measure().recall_at
    # The one at 0.85 is raised; the next, at 0.7, would be too many, so that parts must score more.
    assert (tenth.false_alarms, tenth.score, tenth.is_all) == (0.1, 0.8, False)
    assert tenth.recall.value == pytest.approx(2 / 5)
    assert (one.false_alarms, one.score, one.is_all) == (1.0, 0.6, True)
    assert one.recall.value == pytest.approx(4 / 5)


def test_of_equal_scores_all_count_or_none() -> None:
    pictures = np.repeat(np.array(list("abcde"), dtype=object), 4)  # twenty pictures: two may be raised, of the three
    tenth = measure(groups=pictures).recall_at[0]
    assert tenth.recall.value == pytest.approx(2 / 5)
    assert tenth.score == 0.8


def test_the_curve_begins_with_the_surest_part_and_ends_with_all() -> None:
    curve = measure().curve
    assert [point.score for point in curve] == [0.9, 0.85, 0.8, 0.7, 0.6]
    assert [point.false_alarms for point in curve] == pytest.approx([0, 0.1, 0.1, 0.3, 0.3])
    assert [point.recall for point in curve] == pytest.approx([0.2, 0.2, 0.4, 0.6, 0.8])
    assert not measure(in_detail=False).curve
    assert not measure(in_detail=False).by_size


def test_recall_by_size_parts_defects_into_thirds() -> None:
    small, middle, large = measure().by_size
    assert [(s.low_px, s.high_px, s.num_objects) for s in (small, middle, large)] == [
        (1, 14, 2), (14, 27, 1), (27, None, 2),
    ]  # fmt: skip
    assert [s.recall.value for s in (small, middle, large)] == [1, 1, 0.5]
    assert (small.num_groups, small.recall.low) == (1, None)
    assert large.recall.low is not None


def test_defects_of_one_size_are_one_class() -> None:
    same = Candidates(**{**vars(FOUND), "defect_px": np.full(5, 7)})
    (only,) = measure(same).by_size
    assert (only.num_objects, only.recall.value) == (5, 0.8)


def test_without_parts_nothing_is_found_and_without_defects_nothing_is_defined() -> None:
    none = np.array([], dtype=np.intp)
    silent = Candidates(
        FOUND.defect_picture, FOUND.defect_px, np.full(5, NEVER), none, none.astype(float), none.astype(bool)
    )
    objects = measure(silent)
    assert (objects.recall.value, objects.false_alarms.value, objects.curve) == (0, 0, ())
    assert [at.score for at in objects.recall_at] == [None, None]
    clean = Candidates(
        none, none, none.astype(float), FOUND.part_picture, FOUND.scores, np.zeros(7, dtype=bool)
    )  # fmt: skip
    objects = measure(clean)
    assert (objects.recall.value, objects.false_alarms.value, objects.by_size) == (None, 0.7, ())


def test_intervals_are_those_of_drawing_groups_by_hand() -> None:
    """Each resample is measured once more as if it were the data; groups are of several sizes."""
    groups = np.array(list("aabbbbbcde"), dtype=object)
    resampling = Resampling(groups, PARAMS)
    by_hand = []
    for times in np.concatenate(list(resampling.draws())):
        pictures = np.concatenate([np.tile(np.flatnonzero(resampling.group_ids == g), n) for g, n in enumerate(times)])
        defects = [d for p in pictures for d in np.flatnonzero(FOUND.defect_picture == p)]
        alarms = [FOUND.scores[i] for p in pictures for i in np.flatnonzero((FOUND.part_picture == p) & ~FOUND.is_hit)]
        allowed = [s for s in sorted(set(FOUND.scores)) if sum(a >= s for a in alarms) <= 0.1 * len(pictures)]
        if defects:
            best = FOUND.found_by[defects]
            by_hand.append(float((best >= min(allowed, default=2)).mean()))
    tenth = measure(groups=groups).recall_at[0].recall
    assert [tenth.low, tenth.high] == pytest.approx(np.quantile(by_hand, [0.025, 0.975]))
