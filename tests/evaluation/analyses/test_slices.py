"""Slices by attribute."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evaluation.analyses.slices import slice_by_attributes
from evaluation.predictions import Predictions


def predictions_by_exposure(right: dict[str, tuple[int, int]], **constant: str) -> Predictions:
    """Make two-class predictions; `right` gives, for each exposure, how many of how many images are right."""
    rows = [(value, i < good) for value, (good, total) in right.items() for i in range(total)]
    table = pd.DataFrame({"path": [f"{i}.png" for i in range(len(rows))], "label": "bad", "split": "test"})
    table["group"] = table["path"]
    table["attributes.exposure"] = [value for value, _ in rows]
    for name, value in constant.items():
        table[f"attributes.{name}"] = value
    probs = np.array([[0.9, 0.1] if good else [0.2, 0.8] for _, good in rows])
    return Predictions.from_table(table, probs, ("bad", "good"))


def test_slices_come_worst_first_with_their_figures() -> None:
    slices, num_smaller = slice_by_attributes(predictions_by_exposure({"1": (18, 20), "2": (6, 24), "3": (20, 20)}), 20)
    assert [(s.value, s.rows.size, s.accuracy) for s in slices] == [("2", 24, 0.25), ("1", 20, 0.9), ("3", 20, 1.0)]
    # Of class bad 6 of 24 are found (F1 0.4); class good is only ever predicted (F1 0).
    assert slices[0].macro_f1 == pytest.approx(0.2)
    assert num_smaller == 0


def test_small_slices_are_left_out_and_counted() -> None:
    slices, num_smaller = slice_by_attributes(predictions_by_exposure({"1": (20, 20), "2": (0, 19), "3": (0, 1)}), 20)
    assert [s.value for s in slices] == ["1"]
    assert num_smaller == 2


def test_an_attribute_with_one_value_is_no_slice() -> None:
    slices, _ = slice_by_attributes(predictions_by_exposure({"1": (20, 20), "2": (20, 20)}, camera="A"), 20)
    assert {s.attribute for s in slices} == {"exposure"}


def test_as_many_values_as_images_are_not_each_compared_with_every_image() -> None:
    num_compared = 0

    class Name(str):
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal num_compared
            num_compared += 1
            return str.__eq__(self, other)

        def __ne__(self, other: object) -> bool:
            return not self == other

    predictions = predictions_by_exposure({"1": (300, 700)})
    names = [Name("common") if i % 10 == 0 else Name(f"{i}") for i in range(700)]
    attributes = pd.DataFrame({"camera": pd.Series(names, dtype=object)})
    slices, num_smaller = slice_by_attributes(replace(predictions, attributes=attributes), 20)
    assert [(s.value, s.rows.tolist()) for s in slices] == [("common", list(range(0, 700, 10)))]
    assert num_smaller == 630
    assert num_compared < 20 * 700
