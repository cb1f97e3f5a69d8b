"""Splits: whole groups, every class everywhere, the same for the same pictures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dataset.description import DataDescription
from dataset.manifest import COLUMNS, Manifest, ManifestError
from dataset.params import SplitParams
from dataset.split import main, summarise_splits
from dataset.splits import assign_fold, assign_splits

PARAMS = SplitParams(seed=0, num_folds=5, test_fold=0)


def table(groups_of: dict[str, int], shots: int = 6) -> pd.DataFrame:
    """`groups_of[label]` objects with `shots` pictures each."""
    return pd.DataFrame(
        [
            dict(zip(COLUMNS, (f"{label}/{g}_{s}.png", label, f"{label}{g}", "", "", "", 8, 8, ""), strict=True))
            for label, num_groups in groups_of.items()
            for g in range(num_groups)
            for s in range(shots)
        ]
    )


IMBALANCED = table({"Free": 76, "Blowhole": 13, "Crack": 6, "Fray": 5})


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("test_fold", range(5))
def test_no_group_is_torn_and_no_class_is_missing(seed: int, test_fold: int) -> None:
    result = assign_splits(IMBALANCED, SplitParams(seed=seed, num_folds=5, test_fold=test_fold))
    assert result.groupby("group")["split"].nunique().max() == 1
    for column in ("split", "split_by_image"):
        counts = pd.crosstab(result["label"], result[column])
        assert sorted(counts.columns) == ["test", "train", "val"]
        assert counts.to_numpy().min() > 0


def test_shares_are_one_fold_for_test_one_for_validation_and_the_rest() -> None:
    shares = assign_splits(IMBALANCED, PARAMS)["split"].value_counts(normalize=True)
    assert shares["test"] == pytest.approx(0.2, abs=0.01)
    assert shares["val"] == pytest.approx(0.2, abs=0.01)


def test_split_by_image_leaks_groups_and_split_by_group_does_not() -> None:
    result = assign_splits(IMBALANCED, PARAMS)
    train = set(result.loc[result["split_by_image"] == "train", "group"])
    test = result[result["split_by_image"] == "test"]
    assert test["group"].isin(train).mean() > 0.9


def test_the_order_of_rows_does_not_matter() -> None:
    shuffled = IMBALANCED.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(assign_splits(shuffled, PARAMS), assign_splits(IMBALANCED, PARAMS))


def test_seed_and_fold_change_the_test_set_and_folds_cover_everything() -> None:
    def test_set(seed: int, fold: int) -> set[str]:
        result = assign_splits(IMBALANCED, SplitParams(seed=seed, num_folds=5, test_fold=fold))
        return set(result.loc[result["split"] == "test", "path"])

    folds = [test_set(0, fold) for fold in range(5)]
    assert set.union(*folds) == set(IMBALANCED["path"])
    assert sum(map(len, folds)) == len(IMBALANCED)
    assert test_set(1, 0) != folds[0]


def test_validation_is_the_next_folds_test_set() -> None:
    def side(fold: int, name: str) -> list[str]:
        result = assign_splits(IMBALANCED, SplitParams(seed=0, num_folds=5, test_fold=fold))
        return sorted(result.loc[result["split"] == name, "path"])

    assert side(4, "val") == side(0, "test")


def test_groups_of_very_different_sizes_are_kept_whole() -> None:
    rng = np.random.default_rng(0)
    frame = pd.concat([table({f"c{i}": 8}, int(size)) for i, size in enumerate(rng.integers(1, 30, 6))])
    assert assign_splits(frame, PARAMS).groupby("group")["split"].nunique().max() == 1


def test_a_class_that_is_only_a_minority_of_its_groups_is_on_every_side_if_it_can_be() -> None:
    frame = table({"Free": 40})
    rare = frame["path"].str.endswith("_0.png") & frame["group"].isin([f"Free{i}" for i in range(6)])
    frame.loc[rare, "label"] = "Rare"
    result = assign_splits(frame, PARAMS)
    assert set(result.loc[result["label"] == "Rare", "split"]) == {"train", "val", "test"}


def test_a_class_of_two_objects_is_refused_by_name_with_its_pictures_and_the_ways_out() -> None:
    with pytest.raises(ManifestError) as caught:
        assign_splits(table({"Free": 20, "Rare": 2}), PARAMS)
    message = str(caught.value)
    assert "class Rare has 12 picture(s) of 2 object(s): Rare0 (Rare/0_0.png, " in message
    assert "Free" not in message
    for way_out in ("more objects", "SKIP=rare", "GROUPS=groups.csv", "data.near_duplicate_correlation"):
        assert way_out in message


def test_a_thousand_classes_of_two_objects_are_counted_and_not_all_listed() -> None:
    with pytest.raises(ManifestError, match=r"; and 990 more class\(es\)\. Training") as caught:
        assign_splits(table({f"c{i}": 2 for i in range(1000)}, 1), PARAMS)
    assert len(str(caught.value)) < 2000


def objects(frame: pd.DataFrame, label: str, column: str = "split") -> tuple[int, ...]:
    """Objects of a class in train, val and test; with `split_by_image`, pictures."""
    rows = frame[frame["label"] == label]
    return tuple(rows.loc[rows[column] == side, "group"].nunique() for side in ("train", "val", "test"))


@pytest.mark.parametrize("others", [{}, {"a": 3}, {"a": 4, "z": 4}, {"a": 76, "z": 13}, {"a": 7, "b": 3, "c": 4}])
@pytest.mark.parametrize("num_folds", [5, 10])
@pytest.mark.parametrize("test_fold", range(5))
def test_a_class_of_three_or_four_objects_is_on_three_sides_whatever_the_others_are(
    others: dict[str, int], num_folds: int, test_fold: int
) -> None:
    params = SplitParams(seed=0, num_folds=num_folds, test_fold=test_fold)
    result = assign_splits(table({**others, "three": 3, "four": 4}, 1), params)
    for column in ("split", "split_by_image"):
        assert objects(result, "three", column) == (1, 1, 1)
        assert objects(result, "four", column) == (2, 1, 1)


def test_rare_classes_do_not_move_the_objects_of_others() -> None:
    result = assign_splits(table({"Free": 76, "Rare": 3}), PARAMS)
    assert objects(result, "Free") in {(46, 15, 15), (45, 16, 15), (45, 15, 16)}
    alone = assign_splits(table({"Free": 76}), PARAMS)
    kept = result[result["label"] == "Free"]["split"].tolist()
    assert kept == alone["split"].tolist()


def test_objects_of_several_classes_are_moved_so_that_every_class_is_on_every_side() -> None:
    # Each rare class is in three objects and these overlap in a ring: one way alone puts both on every side.
    frame = table({"Free": 30})
    first = frame["path"].str.endswith("_0.png")
    second = frame["path"].str.endswith("_1.png")
    frame.loc[first & frame["group"].isin(["Free0", "Free1", "Free2"]), "label"] = "Crack"
    frame.loc[second & frame["group"].isin(["Free1", "Free2", "Free3"]), "label"] = "Fray"
    for test_fold in range(5):
        result = assign_splits(frame, SplitParams(seed=0, num_folds=5, test_fold=test_fold))
        assert objects(result, "Crack") == objects(result, "Fray") == (1, 1, 1)
        assert result.groupby("group")["split"].nunique().max() == 1


def test_classes_that_their_objects_bind_together_are_refused_with_the_reason() -> None:
    # Three objects show A and B, A and C, B and C: with three sides each class would need an object more.
    frame = table({"x": 3, "Free": 9}, 2)
    frame.loc[frame["group"] == "x0", "label"] = ["A", "B"]
    frame.loc[frame["group"] == "x1", "label"] = ["A", "C"]
    frame.loc[frame["group"] == "x2", "label"] = ["B", "C"]
    one = table({"A": 1, "B": 1, "C": 1}, 1)
    one["group"] = "y"
    with pytest.raises(ManifestError, match=r"is missing in .* Objects that show several classes at once bind"):
        assign_splits(pd.concat([frame, one]), PARAMS)


def test_twenty_pictures_in_all_are_divided() -> None:
    result = assign_splits(table({"bad": 10, "good": 10}, 1), PARAMS)
    assert objects(result, "bad") == objects(result, "good") == (6, 2, 2)


def test_over_all_rounds_every_picture_is_tested_once_also_of_a_class_smaller_than_the_folds() -> None:
    frame = table({"Free": 12, "Four": 4, "Three": 3}, 2)
    rounds = [assign_fold(frame, SplitParams(seed=1, num_folds=5, test_fold=index)) for index in range(5)]
    tested = [path for one in rounds for path in one.loc[one["split"] == "test", "path"]]
    assert sorted(tested) == sorted(frame["path"])
    for one in rounds:
        assert set(one.loc[one["split"] == "train", "label"]) == {"Free", "Four", "Three"}
        assert one.groupby("group")["split"].nunique().max() == 1


def test_a_round_is_the_split_of_its_fold_where_nothing_is_missing() -> None:
    params = SplitParams(seed=2, num_folds=5, test_fold=3)
    assert assign_fold(IMBALANCED, params)["split"].tolist() == assign_splits(IMBALANCED, params)["split"].tolist()


def test_more_folds_than_objects_leave_no_round_to_test() -> None:
    with pytest.raises(ManifestError, match=r"split\.num_folds \(10\) is more than the 6 objects .* lower it"):
        assign_fold(table({"a": 3, "b": 3}), SplitParams(seed=0, num_folds=10, test_fold=0))


def test_three_objects_are_enough_for_three_folds() -> None:
    params = SplitParams(seed=0, num_folds=3, test_fold=1)
    assert set(assign_splits(table({"a": 3, "b": 3}, 1), params)["split"]) == {"train", "val", "test"}


def test_a_picture_without_a_group_is_refused() -> None:
    frame = IMBALANCED.copy()
    frame.loc[7, "group"] = ""
    with pytest.raises(ManifestError, match=r"1 picture\(s\) have no group, such as Free/1_1\.png"):
        assign_splits(frame, PARAMS)


def test_the_summary_counts_pictures_and_groups() -> None:
    text = summarise_splits(assign_splits(table({"a": 3, "b": 3}, 2), SplitParams(seed=0, num_folds=3, test_fold=0)))
    assert text.splitlines()[0] == "pictures / groups"
    assert text.splitlines()[2].split() == ["a", "2", "/", "1", "2", "/", "1", "2", "/", "1"]
    assert text.splitlines()[-1].split() == ["all", "4", "/", "2", "4", "/", "2", "4", "/", "2"]


def test_the_command_writes_the_same_manifest_twice_and_prints_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Manifest(IMBALANCED, tmp_path).write(tmp_path / "pictures.csv")
    (tmp_path / "params.yaml").write_text("split: {seed: 0, num_folds: 5, test_fold: 0}\n")
    arguments = ["--pictures", str(tmp_path / "pictures.csv"), "--params", str(tmp_path / "params.yaml"), "--out"]
    outputs = []
    for name in ("one.csv", "two.csv"):
        assert main([*arguments, str(tmp_path / name)]) == 0
        outputs.append((tmp_path / name).read_bytes())
        assert "Blowhole" in capsys.readouterr().out
    assert outputs[0] == outputs[1]
    assert set(Manifest.read(tmp_path / "one.csv").table["split"]) == {"train", "val", "test"}


def test_the_command_fails_with_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--pictures", str(tmp_path / "absent.csv"), "--out", str(tmp_path / "m.csv")])
    assert code == 2
    assert capsys.readouterr().err.startswith("error: cannot read the manifest")
    assert not (tmp_path / "m.csv").exists()


def test_a_split_that_fails_repeats_what_likeness_joined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Manifest(table({"a": 1, "b": 9}), tmp_path).write(tmp_path / "pictures.csv")
    likeness = "Likeness joins 6 of 6 pictures of class a into one object."
    DataDescription(name="n", title="t", summary="s", group_meaning="g", likeness=likeness).write(tmp_path)
    (tmp_path / "params.yaml").write_text("split: {seed: 0, num_folds: 5, test_fold: 0}\n")
    arguments = [
        "--pictures",
        tmp_path / "pictures.csv",
        "--params",
        tmp_path / "params.yaml",
        "--out",
        tmp_path / "m.csv",
    ]
    assert main([str(argument) for argument in arguments]) == 2
    assert likeness in capsys.readouterr().err
