"""Pairs of alike pictures: few of each picture, those that say most, and all of them counted."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.analyses import alike_pictures
from evaluation.analyses.alike_counts import AlikeCounts, read_counts
from evaluation.analyses.alike_pictures import find_alike
from evaluation.document import EvaluationError
from tests.dataset.picture_files import texture


def fixed_camera(num: int) -> list[np.ndarray]:
    """Thumbnails of one scene with a sensor's noise: every picture is like every other."""
    scene = texture(0, 64, 64).astype(np.float64)
    noise = [np.random.default_rng(number).normal(0, 4, scene.shape) for number in range(num)]
    return [np.clip(scene + one, 0, 255).astype(np.uint8) for one in noise]


def table(num: int, **columns: list[str]) -> pd.DataFrame:
    facts = {
        "path": [f"{number:04d}.png" for number in range(num)],
        "label": ["good"] * num,
        "group": [f"g{number // 2}" for number in range(num)],
        "split": ["train"] * num,
    }
    return pd.DataFrame(facts | columns)


def test_pairs_grow_with_the_pictures_and_not_with_their_square() -> None:
    num = 120
    splits = [("train", "val", "test")[number % 3] for number in range(num)]
    pairs, counts = find_alike(fixed_camera(num), table(num, split=splits), 0.8)
    assert len(pairs) == counts.num_listed <= 3 * num
    assert counts.num_pairs == num * (num - 1) / 2 - num / 2
    is_across = [splits[i] != splits[j] for i in range(num) for j in range(i) if i // 2 != j // 2]
    assert counts.num_across_splits == sum(is_across)
    assert set(pairs["path"]) | set(pairs["other_path"]) == set(table(num)["path"])


def test_pairs_on_two_sides_are_listed_before_others() -> None:
    splits = ["test", "test", *["train"] * 38]
    pairs, _ = find_alike(fixed_camera(40), table(40, split=splits), 0.8)
    tested = {"0000.png", "0001.png"}
    across = [{row.path, row.other_path} for row in pairs.itertuples() if len({row.path, row.other_path} & tested) == 1]
    assert len(across) >= 38  # every training picture lists a test picture


def test_one_group_says_nothing_but_one_picture_under_two_labels_does() -> None:
    thumbnails = [*fixed_camera(4), texture(5, 64, 64), texture(6, 64, 64)]
    labels = ["good", "good", "good", "bad", "good", "bad"]
    pairs, counts = find_alike(thumbnails, table(6, group=["g"] * 6, label=labels), 0.8)
    assert counts.num_pairs == 0
    assert {(row.path, row.other_path) for row in pairs.itertuples()} == {(f"000{i}.png", "0003.png") for i in range(3)}
    assert pairs["same_picture"].all()


def test_too_many_pictures_are_not_compared_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alike_pictures, "MAX_PICTURES", 5)
    pairs, counts = find_alike(fixed_camera(6), table(6), 0.8)
    assert pairs.empty
    assert not counts.is_searched


def test_counts_are_read_back_and_an_earlier_version_wrote_none(tmp_path: Path) -> None:
    path = tmp_path / "near_duplicates.json"
    assert read_counts(path) is None
    counts = AlikeCounts(threshold=0.9, num_pairs=7, num_across_splits=2, num_listed=3, max_partners=3)
    counts.write(path)
    assert read_counts(path) == counts
    path.write_text("{}")
    with pytest.raises(EvaluationError, match=r"near_duplicates\.json is not a valid count of near-dup"):
        read_counts(path)
