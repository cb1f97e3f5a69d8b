"""Two models' outlines on the same pictures: differences by hand, groups drawn together."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.document import EvaluationError
from evaluation.outlines.paired import compare_outlines, find_region_table, read_region_table
from evaluation.outlines.region_table import RegionTable
from evaluation.params import EvaluateParams
from evaluation.predictions import Predictions

PARAMS = EvaluateParams(seed=0, confidence=0.95, bootstrap_samples=200)
NAMES = ("old", "new")
PATHS = np.array(["a.png", "b.png", "c.png"], dtype=object)
# Of any region, then of Crack and of Fray: overlapping, answered, true.
FIRST = RegionTable(
    PATHS, np.array(["x", "x", "y"], dtype=object), ("Crack", "Fray"), np.array([64, 64, 64]),
    np.array([
        [[4, 8, 8], [4, 8, 8], [0, 0, 0]],
        [[0, 0, 4], [0, 0, 4], [0, 0, 0]],
        [[6, 6, 12], [0, 0, 0], [6, 6, 12]],
    ]),
)  # fmt: skip


def better(table: RegionTable) -> RegionTable:
    pixels = table.pixels.copy()
    pixels[2, [0, 2], :2] += 3
    return dataclasses.replace(table, pixels=pixels)


def test_differences_are_those_computed_by_hand() -> None:
    whole, crack, fray = compare_outlines(FIRST, better(FIRST), NAMES, PARAMS)
    assert (whole.name, crack.name, fray.name) == ("", "Crack", "Fray")
    assert whole.dice.first == pytest.approx(2 * 10 / (14 + 24))
    assert whole.dice.second == pytest.approx(2 * 13 / (17 + 24))
    assert whole.dice.difference == pytest.approx(26 / 41 - 20 / 38)
    assert whole.iou.difference == pytest.approx(13 / 28 - 10 / 28)
    assert crack.dice.difference == 0
    assert fray.dice.first == pytest.approx(12 / 18)
    assert (whole.num_images, whole.num_groups, fray.num_images, fray.num_groups) == (3, 2, 1, 1)


def test_what_is_equal_in_every_group_differs_by_nothing_in_every_resample() -> None:
    whole = compare_outlines(FIRST, FIRST, NAMES, PARAMS)[0]
    assert (whole.dice.difference, whole.dice.low, whole.dice.high) == (0, 0, 0)
    changed = compare_outlines(FIRST, better(FIRST), NAMES, PARAMS)
    # Resamples hold tile x alone, y alone or both; only y differs.
    assert changed[0].dice.low == 0
    assert changed[0].dice.high == pytest.approx(2 * 9 / (9 + 12) - 2 * 6 / (6 + 12))
    assert changed[2].dice.low is None


def test_regions_are_matched_by_name_and_others_refused() -> None:
    turned = dataclasses.replace(FIRST, regions=("Fray", "Crack"), pixels=FIRST.pixels[:, [0, 2, 1]])
    assert [part.dice.difference for part in compare_outlines(FIRST, turned, NAMES, PARAMS)] == [0, 0, 0]
    other = dataclasses.replace(FIRST, regions=("Crack", "Break"))
    with pytest.raises(EvaluationError, match="old knows the regions Crack, Fray, new Crack, Break"):
        compare_outlines(FIRST, other, NAMES, PARAMS)


def test_a_table_is_found_beside_the_predictions_and_brought_to_their_order(tmp_path: Path) -> None:
    assert find_region_table(tmp_path / "predictions.csv") is None
    FIRST.write(tmp_path / "regions.csv")
    assert find_region_table(tmp_path / "predictions.csv") == tmp_path / "regions.csv"
    (tmp_path / "evaluation").mkdir()
    FIRST.write(tmp_path / "evaluation/regions.csv")
    found = find_region_table(tmp_path / "predictions.csv")
    assert found == tmp_path / "evaluation/regions.csv"
    rows = pd.DataFrame({"path": PATHS[[2, 0, 1]], "label": "a", "group": ["y", "x", "x"], "split": "test"})
    pictures = Predictions.from_table(rows, np.full((3, 2), 0.5), ("a", "b"))
    assert read_region_table(found, pictures).groups.tolist() == ["y", "x", "x"]
    with pytest.raises(EvaluationError, match=r"counts 3, and 0 of 2 are not among them; run python"):
        read_region_table(found, pictures.take(np.array([0, 1])))
