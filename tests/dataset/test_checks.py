"""What is refused: the message names the files and says what to do."""

import pandas as pd
import pytest

from dataset.checks import (
    check_classes,
    check_every_class_in_every_split,
    check_every_class_trains,
    check_no_group_on_two_sides,
    check_readable,
    check_same_bytes,
    check_validation_pictures,
    named,
)
from dataset.manifest import ManifestError


def rows(*values: tuple[str, str, str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(values, columns=["path", "label", "group", "split", "sha256"])


def test_ten_names_are_given_and_the_rest_is_counted() -> None:
    assert named(["a", "b"]) == "a, b"
    assert named([str(i) for i in range(13)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 3 more"


def test_an_empty_class_and_a_single_class_are_refused_by_name() -> None:
    check_classes({"a": 1, "b": 2})
    with pytest.raises(ManifestError, match=r"without a picture: b, c\. Add pictures or remove"):
        check_classes({"a": 1, "c": 0, "b": 0})
    with pytest.raises(ManifestError, match="at least 2 classes are needed, got 1: a"):
        check_classes({"a": 3})
    with pytest.raises(ManifestError, match=r"without a picture: b \(2 file\(s\): 2 txt\), c\. Add"):
        check_classes({"a": 1, "c": 0, "b": 0}, {"b": " (2 file(s): 2 txt)"})
    with pytest.raises(ManifestError, match="got 0: none"):
        check_classes({})


def test_all_unreadable_pictures_are_named_with_their_reasons() -> None:
    check_readable({})
    with pytest.raises(ManifestError, match=r"12 picture\(s\) cannot be read: p00 \(why\), .* and 2 more"):
        check_readable({f"p{i:02d}": "why" for i in range(12)})


def test_same_bytes_under_two_labels_name_both_files() -> None:
    table = rows(("a/1", "a", "g1", "", "x"), ("b/2", "b", "g1", "", "x"), ("a/3", "a", "g2", "", "y"))
    with pytest.raises(ManifestError, match=r"different labels: a/1 \(label a\) and b/2 \(label b\)\. Decide"):
        check_same_bytes(table)


def test_same_bytes_with_one_label_must_share_a_group() -> None:
    check_same_bytes(rows(("a/1", "a", "g1", "", "x"), ("a/2", "a", "g1", "", "x")))
    with pytest.raises(ManifestError, match=r"different groups: a/1 \(group g1\) and a/2 \(group g2\)\. They show"):
        check_same_bytes(rows(("a/1", "a", "g1", "", "x"), ("a/2", "a", "g2", "", "x")))


def test_a_group_on_two_sides_is_refused_with_an_example_of_each() -> None:
    check_no_group_on_two_sides(rows(("1", "a", "g", "train", ""), ("2", "a", "h", "test", "")))
    with pytest.raises(ManifestError, match=r"on two sides of the split: g \(1 in train, 3 in val\)"):
        check_no_group_on_two_sides(
            rows(("1", "a", "g", "train", ""), ("2", "a", "g", "train", ""), ("3", "a", "g", "val", ""))
        )


def test_a_class_missing_on_a_side_names_class_objects_files_and_ways_out() -> None:
    table = rows(
        ("a1", "a", "g1", "train", ""),
        ("a2", "a", "g2", "val", ""),
        ("a3", "a", "g3", "test", ""),
        ("b1", "b", "g4", "train", ""),
        ("b2", "b", "g4", "train", ""),
        ("b3", "b", "g5", "test", ""),
    )
    check_every_class_in_every_split(table[table["label"] == "a"])
    with pytest.raises(ManifestError) as caught:
        check_every_class_in_every_split(table)
    message = str(caught.value)
    assert "class b is missing in val: it has 3 picture(s) of 2 object(s): g4 (b1, b2), g5 (b3)" in message
    assert "class a" not in message
    assert "Add pictures of more objects" in message
    assert "path,group" in message


def test_a_split_that_nothing_can_be_trained_or_chosen_by_is_refused() -> None:
    good = [("a", "hole", "1", "train", "x"), ("b", "good", "2", "train", "y"), ("c", "good", "3", "val", "z")]
    table = rows(*good)
    check_every_class_trains(table)
    check_validation_pictures(table)
    torn = rows(*good, ("d", "crack", "4", "val", "u"), ("e", "crack", "5", "test", "v"), ("f", "fray", "6", "", "w"))
    with pytest.raises(
        ManifestError,
        match=r"without a training picture: crack \(2 picture\(s\), in test and val\), fray \(1 picture\(s\), in no "
        r"split\)\. Make the split again",
    ):
        check_every_class_trains(torn)
    with pytest.raises(ManifestError, match=r"no validation picture: .* Make the split again"):
        check_validation_pictures(rows(*good[:2]))
    by_image = table.assign(split_by_image=["train", "test", "test"])
    with pytest.raises(ManifestError, match=r"without a training picture: good \(2"):
        check_every_class_trains(by_image, "image")
    with pytest.raises(ManifestError, match="no validation picture"):
        check_validation_pictures(by_image, "image")
