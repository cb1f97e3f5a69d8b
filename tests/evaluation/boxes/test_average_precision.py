"""Average precision and recall: by hand, the same as pycocotools', and the same when a group is written twice."""

import numpy as np
import pytest

from evaluation.boxes.average_precision import Ranking, average_precisions, average_recalls
from evaluation.boxes.matching import EVERY_SIZE, LEFT_OUT, RIGHT, WRONG, Matched, match_boxes
from evaluation.params import EvaluateParams
from evaluation.statistics.bootstrap import Resampling
from tests.evaluation.boxes.coco_reference import Picture, coco_evaluation, random_pictures

PARAMS = EvaluateParams(seed=0, confidence=0.95, bootstrap_samples=200)
AREAS = (EVERY_SIZE, (0.0, 1024.0), (1024.0, 9216.0), (9216.0, 1e10))


def ranking(pictures: list[Picture], name: int = 0, area: tuple[float, float] = EVERY_SIZE) -> Ranking:
    matched = []
    for truth, boxes in pictures:
        found = boxes.take(np.flatnonzero(boxes.objects == name))
        matched.append(match_boxes(truth.take(truth.objects == name), found.corners, found.scores, area))
    return Ranking.of(matched)


def groups(names: str) -> Resampling:
    return Resampling(np.array(list(names), dtype=object), PARAMS)


def one(scores: list[float], outcomes: list[int], num_there: int) -> Matched:
    levels = np.tile(np.array(outcomes, dtype=np.int8), (10, 1))
    return Matched(np.array(scores), levels, np.zeros(num_there), np.full(num_there, 9.0))


def test_average_precision_is_that_counted_by_hand() -> None:
    """Of four objects three are found, the third behind a wrong box: 50 recalls at 1, 25 at 3/4, 25 at 0."""
    pictures = [
        one([0.9, 0.6], [RIGHT, RIGHT], 3), one([0.8, 0.75, 0.1], [RIGHT, LEFT_OUT, WRONG], 1), one([0.7], [WRONG], 0)
    ]  # fmt: skip
    found = average_precisions(Ranking.of(pictures), groups("abc"), np.ones((1, 3)))
    assert found[0] == pytest.approx([(51 + 25 * 3 / 4) / 101] * 10)
    # Without the wrong box's picture; without the picture of three objects; with neither object.
    drawn = np.array([[1, 1, 0], [0, 2, 1], [0, 0, 3]], dtype=float)
    found = average_precisions(Ranking.of(pictures), groups("abc"), drawn)[:, 0]
    assert found[:2] == pytest.approx([76 / 101, 1])
    assert np.isnan(found[2])


def test_average_recall_counts_the_best_boxes_of_each_picture() -> None:
    pictures = [one([0.9, 0.6], [WRONG, RIGHT], 3), one([0.8], [RIGHT], 1)]
    found = average_recalls(Ranking.of(pictures), groups("ab"), np.array([[1, 1], [1, 0], [0, 2.0]]))
    assert found.ravel().tolist() == pytest.approx([1 / 4, 2 / 4, 2 / 4, 0, 1 / 3, 1 / 3, 1, 1, 1])


@pytest.mark.parametrize("seed", range(8))
def test_figures_are_pycocotools(seed: int) -> None:
    pictures = random_pictures(seed, num_pictures=15)
    expected = coco_evaluation(pictures, 3, areas=[(low, min(high, 1e10)) for low, high in AREAS]).eval
    resampling = groups("abcdefghijklmno")
    for name in range(3):
        for place, area in enumerate(AREAS):
            ranked, whole = ranking(pictures, name, area), np.ones((1, 15))
            precision = expected["precision"][:, :, name, place, 2].mean(axis=1)
            recall = expected["recall"][:, name, place].mean(axis=0)
            found = average_precisions(ranked, resampling, whole)[0], average_recalls(ranked, resampling, whole)[0]
            for ours, theirs in zip(found, (precision, recall), strict=True):
                np.testing.assert_allclose(np.nan_to_num(ours, nan=-1), theirs, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_a_resample_is_the_pictures_of_its_groups_written_out(seed: int) -> None:
    """Scores are drawn without ties: of equal scores the order of pictures decides, which a resample does not keep."""
    rng = np.random.default_rng(seed)
    pictures = [
        (truth, boxes._replace(scores=np.sort(rng.random(len(boxes.scores)))[::-1]))
        for truth, boxes in random_pictures(seed, num_objects=1)
    ]
    resampling = groups("aabbbcddefgg")
    drawn = next(iter(resampling.draws()))[:20].astype(np.float64)
    ours = average_precisions(ranking(pictures), resampling, drawn)
    recalls = average_recalls(ranking(pictures), resampling, drawn)
    for times, found, recall in zip(drawn, ours, recalls, strict=True):
        written = [
            picture for place, picture in enumerate(pictures) for _ in range(int(times[resampling.group_ids[place]]))
        ]
        alone = groups("x" * len(written))
        np.testing.assert_allclose(found, average_precisions(ranking(written), alone, np.ones((1, 1)))[0])
        np.testing.assert_allclose(recall, average_recalls(ranking(written), alone, np.ones((1, 1)))[0])
