"""Directories that are no folders of classes: seen by their shape, while classes with folders of equal names train."""

import os
import subprocess
from pathlib import Path

import pytest

from dataset.manifest import ManifestError
from dataset.sources.folder import read_folder
from dataset.sources.folder_shape import check_mask_files, check_shape, shape_of
from tests.dataset.picture_files import save, texture


def check(folders: str, empty: str = "") -> None:
    """Check a directory whose `folders` hold three pictures each, and whose `empty` ones hold none."""
    top = shape_of(f"{folder}/{number}.png" for folder in folders.split() for number in range(3))
    check_shape(Path("/sets/tiles"), top, [*top.folders, *empty.split()])


def refusal(folders: str) -> str:
    """Return why `check` refuses a directory, '' if it is taken."""
    try:
        check(folders)
    except ManifestError as exc:
        return str(exc)
    return ""


def make(root: Path, folders: str) -> Path:
    """Draw a directory whose folders hold one picture each, all different."""
    for number, folder in enumerate(folders.split()):
        save(root / folder / "picture.png", texture(number))
    return root


@pytest.mark.parametrize(
    ("folders", "parts"),
    [
        ("train/a train/b test/a test/b", "train, test"),
        ("training_set/cats training_set/dogs test_set/cats test_set/dogs", "training_set, test_set"),
        (
            "seg_train/seg_train/sea seg_train/seg_train/ice seg_test/seg_test/sea seg_pred",
            "seg_train, seg_test, seg_pred",
        ),
        ("fold1/a fold1/b fold2/a fold2/b fold3/a", "fold1, fold2, fold3"),
        ("fold_1 fold_2", "fold_1, fold_2"),
        ("TrainImages/a ValImages/a", "TrainImages, ValImages"),
        ("leaf_train/a leaf_test/a", "leaf_train, leaf_test"),
        ("train2017 val2017", "train2017, val2017"),
        ("train/a test/a unlabelled", "train, test"),
        ("train/a valid/a extra/a extra/b", "train, valid"),
        ("train/good test/good test/broken ground_truth/broken", "train, test"),
        ("train/images test/images", "train, test"),
        ("labeled/a labeled/b unlabeled", "labeled, unlabeled"),
        ("hold-out/a train/a", "hold-out, train"),
        ("Trainingsdaten/gut Testdaten/gut", "Trainingsdaten, Testdaten"),
        ("Entraînement/chat Validation/chat", "Entraînement, Validation"),
        ("entrenamiento/gato prueba/gato", "entrenamiento, prueba"),
        ("训练集/猫 测试集/猫", "训练集, 测试集"),
        ("обучение/кот тест/кот", "обучение, тест"),
        ("学習データ/猫 テスト/猫", "学習データ, テスト"),
        ("split_1/train/a split_1/test/a split_2/train/a split_2/test/a", "split_1, split_2"),
        ("dataset/train/a dataset/test/a", "train, test"),
        ("old/dataset/train/a old/dataset/test/a", "train, test"),
        ("bottle/train/good bottle/test/good cable/train/good cable/test/good", "train, test"),
    ],
)
def test_parts_of_a_split_are_refused_by_name(folders: str, parts: str) -> None:
    with pytest.raises(ManifestError, match=f"is divided into {parts},.*splits by itself, by object.*CLASSES=top"):
        check(folders)


@pytest.mark.parametrize(
    "folders",
    [
        "good good/monday bad",
        "good/monday bad/monday",
        "good/monday good/tuesday bad/monday bad/tuesday",
        "good/images bad/images",
        "good/cam1 good/cam2 bad/cam1 bad/cam2",
        "bolt/line_A bolt/line_B nut/line_A nut/line_B",
        "bolt/2024-05-01 bolt/2024-05-02 nut/2024-05-01 nut/2024-05-02",
        "bolt/001 bolt/002 nut/001 nut/002",
        "good/bolt good/nut bad/bolt bad/nut",
        "gut/Schraube gut/Mutter schlecht/Schraube schlecht/Mutter",
        "cats/train cats/test dogs/train dogs/test",
        "cats/train/2020 cats/test/2020 dogs/train/2020 dogs/test/2020",
        "animals/cat animals/dog vehicles/car vehicles/bus",
        "train car bus",
        "train/steam car/red bus/red",
        "test good",
        "test_tube test_strip",
        "fold crease tear",
        "part1 part2",
        "mask no_mask",
        "0 1 2",
        "a/x b/x",
    ],
)
def test_classes_train_whatever_lies_in_them(folders: str) -> None:
    assert refusal(folders) == ""


@pytest.mark.parametrize(
    ("folders", "places", "classes"),
    [
        ("site_A/crack site_A/hole site_B/crack site_B/hole", "site_A, site_B", "crack, hole"),
        ("alice/crack alice/hole bob/crack bob/hole", "alice, bob", "crack, hole"),
        ("line1/good line1/bad line2/good", "line1, line2", "good"),
        ("2024-05/ok 2024-05/ng 2024-06/ok", "2024-05, 2024-06", "ok"),
        ("batch1/images/ok batch1/images/nok batch2/images/ok batch2/images/nok", "batch1, batch2", "nok, ok"),
        ("printed/0 printed/1 written/0 written/1", "printed, written", "0, 1"),
        ("a/x a/y a/z b/x b/y c/x c/z d", "a, b, c", "x, y, z"),
    ],
)
def test_what_cannot_be_told_is_refused_with_both_ways_out(folders: str, places: str, classes: str) -> None:
    message = refusal(folders)
    assert f"the folders {places} of /sets/tiles hold folders of the same names ({classes})" in message
    assert f"If {places} are, say so with CLASSES=top" in message
    assert f"If {classes} are: put the folders of equal names together" in message


def test_one_part_beside_folders_of_another_kind_is_refused_with_both_ways_out() -> None:
    with pytest.raises(
        ManifestError, match=r"train in /sets/tiles is named as a part.*CLASSES=top.*DATA=/sets/tiles/train"
    ):
        check("train/a train/b misc")


@pytest.mark.parametrize(("folders", "where"), [("set/good set/bad", "set"), ("a/b/good a/b/bad", "a/b")])
def test_classes_one_level_deeper_are_refused_with_the_folder_to_take(folders: str, where: str) -> None:
    with pytest.raises(ManifestError, match=rf"lie in one folder, {where}, .*take DATA=/sets/tiles/{where}$"):
        check(folders)


def test_the_one_part_that_holds_class_folders_is_said() -> None:
    with pytest.raises(ManifestError, match=r"divided into Train, Test, .*class folders: DATA=/sets/tiles/Train; if"):
        check("Train/00001 Train/00002 Test")


def test_parts_of_an_archive_are_no_classes() -> None:
    with pytest.raises(ManifestError, match=r"are called images_001, images_002, which names no class"):
        check("images_001 images_002")


def test_days_of_a_single_class_are_not_taken_for_classes() -> None:
    assert refusal("good/monday good/tuesday") == ""  # that there is one class alone is refused afterwards


def test_a_folder_to_take_is_quoted_for_the_shell() -> None:
    top = shape_of(f"my set/{label}/{number}.png" for label in ("good", "bad") for number in range(3))
    with pytest.raises(ManifestError, match=r"take DATA='/sets/tiles/my set'$"):
        check_shape(Path("/sets/tiles"), top, list(top.folders))


@pytest.mark.parametrize(
    ("folders", "empty", "seen"),
    [
        ("images masks", "", "images and masks"),
        ("images", "labels", "images and labels"),
        ("JPEGImages SegmentationClass", "Annotations ImageSets", "JPEGImages and SegmentationClass"),
        ("images/train images/val labels/train", "", "images and labels"),
        ("good/images good/masks bad/images bad/masks", "", "good/images and good/masks"),
        ("good good/ground_truth bad", "", r"good/\. and good/ground_truth"),
        ("train/images train/masks test/images test/masks", "", "train/images and train/masks"),
    ],
)
def test_layouts_of_segmentation_and_detection_are_refused_by_name(folders: str, empty: str, seen: str) -> None:
    with pytest.raises(ManifestError, match=rf"masks, boxes or labels \({seen}\).*DATA/<class>/<picture>"):
        check(folders, empty)


def test_masks_beside_their_pictures_are_refused_and_single_names_are_not() -> None:
    benign = [f"benign/{number}.png" for number in range(4)]
    with pytest.raises(ManifestError, match=r"2 file\(s\) in tiles are masks by name.*benign/0_mask, benign/1_mask"):
        check_mask_files(Path("tiles"), [*benign, "benign/0_mask.png", "benign/1_mask.png"])
    check_mask_files(Path("tiles"), [*benign, "benign/0_mask.png"])
    check_mask_files(Path("tiles"), [*benign, "benign/face_mask.png", "benign/her_mask.png"])


@pytest.mark.parametrize("name", ["set", "my set's", os.fsdecode(b"caf\xe9's \\ \r x")])
def test_the_printed_command_makes_a_folder_of_classes_by_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    root = make(tmp_path / name, "seg_train/seg_train/sea seg_train/seg_train/ice seg_test/sea seg_test/ice seg_pred")
    with pytest.raises(ManifestError) as caught:
        read_folder(root, None)
    assert str(caught.value).encode()
    command = str(caught.value).split("by links: ")[1].split("; then take DATA=merged")[0]
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    subprocess.run(["bash", "-euc", command], check=True, capture_output=True)
    merged = read_folder(Path("merged"), None, classes="top")
    assert sorted(picture.path for picture in merged.pictures) == [
        "pictures/images/ice/seg_test/picture.png",
        "pictures/images/ice/seg_train/picture.png",
        "pictures/images/sea/seg_test/picture.png",
        "pictures/images/sea/seg_train/picture.png",
    ]
    assert not list(root.rglob("*merged*"))
    again = subprocess.run(["bash", "-euc", command], check=False, capture_output=True, text=True)
    assert "File exists" in again.stderr
    assert len(list(root.rglob("*.png"))) == 5
    assert not [path for path in root.rglob("*") if path.is_symlink()]


def test_the_user_may_say_that_the_folders_at_the_top_are_the_classes(tmp_path: Path) -> None:
    root = make(tmp_path / "set", "train/red train/blue car/red car/blue")
    with pytest.raises(ManifestError, match="CLASSES=top"):
        read_folder(root, None)
    assert {picture.label for picture in read_folder(root, None, classes="top").pictures} == {"train", "car"}


def test_a_divided_folder_is_seen_through_links_and_beside_litter(tmp_path: Path) -> None:
    root = make(tmp_path / "set", "parts/train/a parts/train/b test/a test/b @eaDir/x")
    (root / "train").symlink_to(root / "parts" / "train")
    with pytest.raises(ManifestError, match=r"train .the same folder as .*parts/train"):
        read_folder(root, None)
    (root / "parts").rename(tmp_path / "parts")
    (root / "train").unlink()
    (root / "train").symlink_to(tmp_path / "parts" / "train")
    with pytest.raises(ManifestError, match="is divided into test, train, which hold the same folders"):
        read_folder(root, None)
