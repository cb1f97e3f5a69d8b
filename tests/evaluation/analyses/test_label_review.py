"""What a person should look at again: planted label errors, duplicates and outliers are found, and little else."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dataset.manifest import Manifest
from evaluation.analyses.image_statistics import STATISTICS
from evaluation.analyses.label_review import LabelReview, read_near_duplicates, review_labels
from evaluation.document import EvaluationError
from evaluation.predictions import Predictions

CLASSES = ("Blowhole", "Crack", "Free")
NO_PAIRS = pd.DataFrame({"path": [], "other_path": [], "correlation": []})


def scene(swapped: list[int], num: int = 120, present: int = 3) -> tuple[Predictions, Manifest, pd.DataFrame]:
    """A model that is mostly right, pictures whose statistics scatter, and some labels that are wrong on purpose."""
    rng = np.random.default_rng(0)
    truth = np.arange(num) % present
    probs = rng.dirichlet(np.ones(3), num) * 0.3 + 0.7 * np.eye(3)[truth]
    # Confident learning believes a model against a label only where it is surer than it usually is of that class.
    probs[swapped] = 0.1 * probs[swapped] + 0.9 * np.eye(3)[truth[swapped]]
    labels = truth.copy()
    labels[swapped] = (labels[swapped] + 1) % present
    table = pd.DataFrame({"path": [f"{i}.png" for i in range(num)], "label": np.asarray(CLASSES)[labels]})
    table["group"] = [f"g{i // 2}" for i in range(num)]
    table["split"] = table["split_by_image"] = np.array(["val", "test"])[(np.arange(num) // 2) % 2]
    table["sha256"] = [f"hash of {i}" for i in range(num)]
    statistics = pd.DataFrame({"path": table["path"], **{name: rng.normal(100, 5, num) for name in STATISTICS}})
    return Predictions.from_table(table, probs, CLASSES), Manifest(table, Path()), statistics


def review(swapped: list[int], pairs: pd.DataFrame = NO_PAIRS, **planted: float) -> LabelReview:
    predictions, manifest, statistics = scene(swapped)
    for name, value in planted.items():
        statistics.loc[7, name] = value
    return review_labels(predictions, manifest, statistics, pairs, 0.9)


def test_planted_label_errors_are_found_and_named_with_the_right_label() -> None:
    swapped = [4, 31, 77]
    found = review(swapped)
    assert {issue.path for issue in found.label_issues[:3]} == {f"{i}.png" for i in swapped}
    assert found.num_label_issues <= 5
    assert found.num_checked == 120
    for issue in found.label_issues[:3]:
        number = int(issue.path.removesuffix(".png"))
        assert issue.suggested_label == CLASSES[number % 3]
        assert issue.label == CLASSES[(number + 1) % 3]
        assert issue.sha256 == f"hash of {number}"
        assert issue.quality < 0.3


def test_right_labels_are_left_alone() -> None:
    assert review([]).label_issues == ()


def test_a_class_without_pictures_among_the_checked_is_no_obstacle() -> None:
    predictions, manifest, statistics = scene([4], present=2)
    found = review_labels(predictions, manifest, statistics, NO_PAIRS, 0.9)
    assert [issue.path for issue in found.label_issues] == ["4.png"]


def test_only_pairs_across_splits_are_duplicates_to_look_at_and_contradictions_show() -> None:
    pairs = pd.DataFrame({"path": ["0.png", "0.png"], "other_path": ["2.png", "4.png"], "correlation": [0.99, 0.98]})
    found = review([], pairs)
    assert found.num_near_duplicates == 1
    (pair,) = found.near_duplicates
    assert (pair.other_path, pair.split, pair.other_split) == ("2.png", "val", "test")
    assert (pair.label, pair.other_label, pair.same_label) == ("Blowhole", "Free", False)


def test_a_planted_outlier_is_found_by_the_statistic_that_sets_it_apart() -> None:
    assert review([]).outliers == ()
    found = review([], sharpness=170, brightness=140)
    (outlier,) = found.outliers
    assert (outlier.path, outlier.statistic, outlier.value) == ("7.png", "sharpness", 170)
    assert outlier.deviation > 10


def test_one_coloured_picture_among_grey_ones_is_an_outlier() -> None:
    predictions, manifest, statistics = scene([])
    statistics["colourfulness"] = 0.0
    statistics.loc[9, "colourfulness"] = 30
    (outlier,) = review_labels(predictions, manifest, statistics, NO_PAIRS, 0.9).outliers
    assert (outlier.path, outlier.statistic) == ("9.png", "colourfulness")


def test_duplicates_of_other_pictures_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "near_duplicates.csv"
    path.write_text("path,other_path,correlation\n0.png,elsewhere.png,0.99\n")
    with pytest.raises(EvaluationError, match="not of the manifest's pictures"):
        read_near_duplicates(path, scene([])[1])
    with pytest.raises(EvaluationError, match="run python -m evaluation"):
        read_near_duplicates(tmp_path / "missing.csv", scene([])[1])


def test_one_picture_under_two_labels_is_named_on_whatever_side_and_in_whatever_group() -> None:
    # 0 and 1 are of one group and side, 0 and 5 of two; the second correlates too little for a near-duplicate.
    pairs = pd.DataFrame({"path": ["0.png", "0.png"], "other_path": ["1.png", "5.png"], "correlation": [0.99, 0.7]})
    found = review([], pairs.assign(same_picture=True))
    assert found.num_contradictions == 2
    assert [(pair.other_path, pair.label, pair.other_label) for pair in found.contradictions] == [
        ("1.png", "Blowhole", "Crack"),
        ("5.png", "Blowhole", "Free"),
    ]
    assert found.num_near_duplicates == 0


def test_the_count_is_of_all_pairs_also_where_few_are_listed() -> None:
    predictions, manifest, statistics = scene([])
    pairs = pd.DataFrame({"path": ["0.png"], "other_path": ["2.png"], "correlation": [0.99]})
    found = review_labels(predictions, manifest, statistics, pairs, 0.9, num_across_splits=1234)
    assert (found.num_near_duplicates, len(found.near_duplicates)) == (1234, 1)
