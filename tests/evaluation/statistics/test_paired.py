"""Two models on the same pictures: differences by hand, pairs kept together, tables that do not match refused."""

import numpy as np
import pandas as pd
import pytest

from evaluation.params import EvaluateParams
from evaluation.predictions import Predictions, PredictionsError
from evaluation.statistics.paired import compare_predictions

PARAMS = EvaluateParams.model_validate({"seed": 0, "confidence": 0.95, "bootstrap_samples": 200})
NAMES = ("old", "new")


def predictions(labels: str, answers: str, groups: str = "", classes: str = "abc", prefix: str = "") -> Predictions:
    """One letter a picture; each answer has probability 0.8."""
    table = pd.DataFrame(
        {
            "path": [f"{prefix}{number}.png" for number in range(len(labels))],
            "label": list(labels),
            "group": list(groups or [str(number) for number in range(len(labels))]),
            "split": "test",
        }
    )
    probs = np.full((len(labels), len(classes)), 0.2 / (len(classes) - 1))
    probs[np.arange(len(labels)), [classes.index(answer) for answer in answers]] = 0.8
    return Predictions.from_table(table, probs, tuple(classes))


def test_differences_and_changes_are_those_counted_by_hand() -> None:
    first, second = predictions("aaaabbbbcc", "aaabbbbacc"), predictions("aaaabbbbcc", "aaaabbaacb")
    comparison = compare_predictions(first, second, NAMES, PARAMS, {"3.png": "f" * 64})
    recalls = {part.name: part.recall for part in comparison.per_class}
    assert (recalls["a"].first, recalls["a"].second, recalls["a"].difference) == (0.75, 1.0, 0.25)
    assert recalls["b"].difference == -0.25
    assert recalls["c"].difference == -0.5
    assert comparison.accuracy.difference == pytest.approx(-0.1)
    # F1 of the first: 6/8, 6/8, 1; of the second: 8/10, 4/7, 2/3.
    assert comparison.macro_f1.difference == pytest.approx((8 / 10 + 4 / 7 + 2 / 3 - 2.5) / 3)
    assert [change.path for change in comparison.fixed] == ["3.png"]
    assert comparison.fixed[0].sha256 == "f" * 64
    assert [(c.path, c.first_predicted, c.second_predicted) for c in comparison.broken] == [
        ("6.png", "b", "a"),
        ("9.png", "c", "b"),
    ]
    assert (comparison.mcnemar.num_first, comparison.mcnemar.num_second) == (2, 1)
    assert comparison.mcnemar.p_value == pytest.approx(1.0)


def test_mcnemar_is_exact_and_the_sign_test_counts_a_group_once() -> None:
    first, second = predictions("a" * 8, "bbbbbbaa", "ppppqqrr"), predictions("a" * 8, "aaaaaaba", "ppppqqrr")
    comparison = compare_predictions(first, second, NAMES, PARAMS)
    # 6 against 1 of 7: two-sided 2 * (C(7,0) + C(7,1)) / 2^7; over groups 2 against 1 of 3 is no evidence at all.
    assert comparison.mcnemar.p_value == pytest.approx(2 * 8 / 128)
    assert (comparison.by_group.num_first, comparison.by_group.num_second) == (1, 2)
    assert comparison.by_group.p_value == pytest.approx(1.0)


def test_a_model_against_itself_differs_by_nothing_and_surely_so() -> None:
    same = predictions("aabbcc", "abbbca")
    comparison = compare_predictions(same, same, NAMES, PARAMS)
    assert (comparison.macro_f1.difference, comparison.macro_f1.low, comparison.macro_f1.high) == (0, 0, 0)
    assert comparison.mcnemar.p_value == 1
    assert not comparison.fixed + comparison.broken


def test_what_is_hard_for_both_models_cancels_out() -> None:
    """Resampled one by one, each model's accuracy moves by about ±0.15; paired, the difference moves by one picture."""
    labels, answers = "ab" * 20, "ab" * 10 + "ba" * 10
    first, second = predictions(labels, answers), predictions(labels, "bb" + answers[2:])
    accuracy = compare_predictions(first, second, NAMES, PARAMS).accuracy
    assert accuracy.difference == pytest.approx(-1 / 40)
    assert accuracy.low is not None
    assert accuracy.high == 0
    assert -4.5 / 40 < accuracy.low < 0


def test_pictures_of_one_group_are_drawn_together() -> None:
    labels, groups = "ab" * 10, "ppqqrrssttuuvvwwxxyy"
    first, second = predictions(labels, labels, groups), predictions(labels, "ba" + labels[2:], groups)
    accuracy = compare_predictions(first, second, NAMES, PARAMS).accuracy
    assert accuracy.low is not None
    assert round(20 * accuracy.low, 6) % 2 == 0


def test_rows_and_classes_in_another_order_are_brought_together() -> None:
    first = predictions("aabbcc", "abbbca")
    rows = np.asarray([5, 3, 1, 0, 2, 4])
    shuffled = first.take(rows)
    columns = [2, 0, 1]
    labels = np.asarray([columns.index(label) for label in shuffled.labels])
    other = Predictions(
        shuffled.paths, labels, shuffled.groups, shuffled.splits, shuffled.probs[:, columns], ("c", "a", "b"),
        shuffled.attributes,
    )  # fmt: skip
    comparison = compare_predictions(first, other, NAMES, PARAMS)
    assert comparison.num_fixed == comparison.num_broken == comparison.num_wrong_otherwise == 0
    assert comparison.accuracy.second == pytest.approx(4 / 6)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (predictions("aab", "aab", prefix="x"), r"3 row\(s\) are only in old, such as 0\.png, 1\.png, 2\.png"),
        (predictions("aabb", "aabb"), r"1 row\(s\) are only in new, such as 3\.png"),
        (predictions("abb", "abb"), r"different labels for 1\.png"),
        (predictions("aab", "aab", groups="ppq"), r"different groups for 0\.png"),
        (predictions("aab", "aab", classes="abd"), "knows the classes a, b, c, new a, b, d"),
    ],
)
def test_tables_that_are_not_of_the_same_pictures_are_refused_by_name(other: Predictions, message: str) -> None:
    with pytest.raises(PredictionsError, match=message):
        compare_predictions(predictions("aab", "aab"), other, NAMES, PARAMS)


def test_a_resample_without_a_class_compares_the_models_on_the_others() -> None:
    """One false positive of a rare class costs nothing but its own picture where the resample lacks that class."""
    right, worse = (
        predictions("aaaaaaaabb", "aaaaaaaabb", classes="ab"),
        predictions("aaaaaaaabb", "aaaaaaabbb", classes="ab"),
    )
    macro_f1 = compare_predictions(right, worse, NAMES, PARAMS).macro_f1
    assert macro_f1.low is not None
    # Counted as F1 = 0, the 11% of resamples that lack b would put the lower end at or below -0.5.
    assert -0.45 < macro_f1.low < 0
