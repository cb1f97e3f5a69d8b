"""Folders that are divided into train, val and test already: kept or taken together, as the user says."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dataset.data_source import DataSource
from dataset.load import load
from dataset.manifest import Manifest, ManifestError
from dataset.params import DataParams, SplitParams
from dataset.source import main as note_source
from dataset.sources.folder import read_folder
from dataset.sources.folder_options import SplitWord
from dataset.split import split as divide_pictures
from tests.dataset.picture_files import exposed, save, texture

PARAMS = SplitParams(seed=0, num_folds=5, test_fold=0)


def make(root: Path, folders: str, number: int = 4) -> Path:
    """Folders of small pictures of one object each, all different."""
    for at, folder in enumerate(folders.split()):
        for index in range(number):
            save(root / folder / f"{index}.png", texture(100 * at + index, 24, 32))
    return root


def placed(root: Path, split: SplitWord) -> dict[str, tuple[str, str]]:
    start = "pictures/images/"
    return {
        one.path.removeprefix(start): (one.label, one.split) for one in read_folder(root, None, split=split).pictures
    }


def divided(root: Path, data_dir: Path, split: SplitWord = "given", max_leak_share: float = 0.05) -> pd.DataFrame:
    """Load and divide as `make data` does; return the manifest by the path in the user's folder."""
    params = DataParams(near_duplicate_correlation=0.9, max_leak_share=max_leak_share)
    load(DataSource(source="folder", path=str(root), split=split), data_dir, params)
    divide_pictures(Manifest.read(data_dir / "pictures.csv"), data_dir / "manifest.csv", PARAMS)
    table = Manifest.read(data_dir / "manifest.csv").table
    return table.set_index(table["path"].str.removeprefix("pictures/images/"))


@pytest.mark.parametrize(
    ("folders", "part"),
    [
        ("train/cat train/dog valid/cat valid/dog test/cat test/dog", "valid"),
        ("set/training_set/cat set/training_set/dog set/valid/cat set/valid/dog set/test/cat", "set/valid"),
        ("seg_train/seg_train/cat seg_train/seg_train/dog seg_val/seg_val/cat seg_test/dog", "seg_val/seg_val"),
        ("train/images/cat train/images/dog val/images/cat test/images/dog", "val/images"),
        ("cat/train cat/val cat/test dog/train dog/test", "cat/val"),
        ("train/cat/monday train/dog/monday dev/cat/tuesday test/dog/monday", "dev"),
    ],
)  # fmt: skip
def test_given_sides_and_classes_are_found_at_any_level(tmp_path: Path, folders: str, part: str) -> None:
    root = make(tmp_path / "pets", folders, 1)
    found = placed(root, "given")
    assert {label for label, _ in found.values()} == {"cat", "dog"}
    for path, (label, side) in found.items():
        assert label in path.split("/")
        expected = "val" if path.startswith(f"{part}/") else "train" if "train" in path else "test"
        assert side == expected, path
    assert {path: label for path, (label, _) in placed(root, "ours").items()} == {
        path: label for path, (label, _) in found.items()
    }
    assert {side for _, side in placed(root, "ours").values()} == {""}


def test_without_a_word_both_commands_are_said(tmp_path: Path) -> None:
    root = make(tmp_path / "my pets", "train/cat train/dog test/cat test/dog", 1)
    with pytest.raises(ManifestError, match="is divided into test, train") as caught:
        read_folder(root, None)
    for word in ("given", "ours"):
        assert f"make data DATA='{root}' SPLIT={word}" in str(caught.value)


@pytest.mark.parametrize(
    ("folders", "split", "problem"),
    [
        ("cat dog", "given", r"holds no folders that are named as parts of a split"),
        ("train/cat train/dog test/cat test/dog other/cat", "given", r"lie beside the parts .*other/cat/0"),
        ("train/cat train/dog test/cat test", "ours", r"1 picture\(s\) .* lie in no class folder: test/0\.png"),
        ("fold1/cat fold1/dog fold2/cat", "given", r"fold1, fold2 do not say what is for training .*SPLIT=ours"),
        ("val/cat val/dog test/cat", "given", r"are not training and validation or test.*SPLIT=ours"),
        ("train/cat test/cat", "ours", r"at least 2 classes are needed, got 1: cat"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_by_name(tmp_path: Path, folders: str, split: SplitWord, problem: str) -> None:
    root = make(tmp_path / "pets", folders, 1)
    with pytest.raises(ManifestError, match=problem):
        read_folder(root, None, split=split)


def test_given_sides_come_to_the_manifest_as_they_are(tmp_path: Path) -> None:
    root = make(tmp_path / "pets", "train/cat train/dog val/cat val/dog test/cat test/dog")
    table = divided(root, tmp_path / "data")
    assert all(side == str(path).split("/")[0] for path, side in table["split"].items())
    ours = divided(root, tmp_path / "other", "ours")
    assert any(side != str(path).split("/")[0] for path, side in ours["split"].items())


def test_sides_that_were_given_are_not_ours_and_the_other_way_round(tmp_path: Path) -> None:
    root = make(tmp_path / "pets", "train/cat train/dog val/cat val/dog test/cat test/dog")
    words: tuple[SplitWord, ...] = ("given", "ours")
    alone = {word: divided(root, tmp_path / word, word)["split"].tolist() for word in words}
    assert alone["given"] != alone["ours"]
    for word in (*words, *words):
        assert divided(root, tmp_path / "data", word)["split"].tolist() == alone[word]


def test_what_was_divided_here_keeps_its_side_also_after_the_given_sides_were_taken(tmp_path: Path) -> None:
    root = make(tmp_path / "pets", "train/cat train/dog val/cat val/dog test/cat test/dog")
    words: tuple[SplitWord, ...] = ("ours", "given", "ours")
    divided(root, tmp_path / "data", "ours")
    for number in range(10, 22):  # enough for a division from nothing to be another one
        save(root / f"train/cat/{number}.png", texture(500 + number, 24, 32))
    first, _, second = (divided(root, tmp_path / "data", word) for word in words)
    assert second["split"].equals(first["split"])
    assert not divided(root, tmp_path / "other", "ours")["split"].equals(first["split"]), (
        "otherwise this proves nothing"
    )


def test_objects_on_two_sides_are_reported_and_refused_above_the_stated_share(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = make(tmp_path / "pets", "train/cat train/dog val/cat val/dog test/cat test/dog")
    save(root / "test/cat/again.png", exposed(texture(0, 24, 32), 0.9))  # train/cat/0.png in another light
    with pytest.raises(
        ManifestError, match=r"1 of 9 pictures for test \(11\.1%\).*again\.png \(as .*train/cat/0\.png\)"
    ):
        divided(root, tmp_path / "data")
    assert not (tmp_path / "data/pictures.csv").exists()
    table = divided(root, tmp_path / "data", max_leak_share=0.2)
    assert table["split"]["test/cat/again.png"] == "test"
    assert table["group"]["test/cat/again.png"].endswith("-test")
    assert table.groupby("group")["split"].nunique().max() == 1
    save(root / "test/cat/same.png", texture(1, 24, 32))  # the very file of train/cat/1.png
    divided(root, tmp_path / "data", max_leak_share=0.5)
    kept = sorted((tmp_path / "data/kept").iterdir())
    divided(root, tmp_path / "data", max_leak_share=0.5)
    assert sorted((tmp_path / "data/kept").iterdir()) == kept, "a file on two sides moves once"
    assert "1 of 9 pictures for test (11.1%) show objects that are for train" in caplog.text
    assert "2 of 10 pictures for test" in (tmp_path / "data/description.json").read_text()


@pytest.mark.parametrize(("given", "missing"), [("test", "val"), ("val", "test")])
def test_a_missing_side_is_taken_from_training_by_object_and_stays(
    tmp_path: Path, given: str, missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    root = make(tmp_path / "pets", f"train/cat train/dog {given}/cat {given}/dog", 8)
    before = divided(root, tmp_path / "data")
    assert f"None are given for {missing}: objects for training are taken" in caplog.text
    counts = before.groupby(["label", "split"]).size().unstack()
    assert counts[given].tolist() == [8, 8]
    assert counts[missing].tolist() == [2, 2]
    for number in range(8, 12):
        save(root / f"train/cat/{number}.png", texture(500 + number, 24, 32))
    after = divided(root, tmp_path / "data")
    assert (after["split"][before.index] == before["split"]).all()
    assert len(after) == len(before) + 4


def test_pictures_beside_masks_keep_their_parts(tmp_path: Path) -> None:
    root = tmp_path / "parts"
    mask = np.zeros((24, 32), dtype=np.uint8)
    mask[4:9, 4:9] = 255
    for number, part in enumerate(("train", "val", "test")):
        save(root / f"images/{part}/a.png", texture(number, 24, 32))
        save(root / f"masks/{part}/a.png", mask)
    with pytest.raises(ManifestError, match=rf"is divided into .*DATA={root} SPLIT=given .*DATA={root} SPLIT=ours"):
        read_folder(root, None)
    assert placed(root, "given") == {f"{part}/a.png": ("", part) for part in ("train", "val", "test")}
    assert set(placed(root, "ours").values()) == {("", "")}
    for part in ("train", "test"):  # with class folders in the parts
        for label in ("crack", "hole"):
            save(tmp_path / f"classes/images/{part}/{label}/a.png", texture(9, 24, 32))
            save(tmp_path / f"classes/masks/{part}/{label}/a.png", mask)
    with pytest.raises(ManifestError, match=rf"DATA={tmp_path}/classes SPLIT=given .*{tmp_path}/classes SPLIT=ours"):
        read_folder(tmp_path / "classes", None)
    assert placed(tmp_path / "classes", "given")["test/hole/a.png"] == ("hole", "test")


def test_boxes_of_yolo_keep_their_parts(tmp_path: Path) -> None:
    root = tmp_path / "parts"
    for number, part in enumerate(("train", "val", "test")):
        save(root / f"images/{part}/a.png", texture(number, 24, 32))
        (root / f"labels/{part}").mkdir(parents=True)
        (root / f"labels/{part}/a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (root / "classes.txt").write_text("hole\n")
    assert {path: side for path, (_, side) in placed(root, "given").items()} == {
        f"{part}/a.png": part for part in ("train", "val", "test")
    }
    assert {side for _, side in placed(root, "").values()} == {""}
    save(root / "images/b.png", texture(9, 24, 32))
    (root / "labels/b.txt").write_text("")
    with pytest.raises(ManifestError, match=r"SPLIT=given: 1 picture\(s\) .* lie in no folder .*: b\.png"):
        placed(root, "given")


def test_parts_of_yolo_may_hold_images_and_labels(tmp_path: Path) -> None:
    root = tmp_path / "parts"
    for number, part in enumerate(("train", "valid", "test")):
        save(root / part / "images/a.png", texture(number, 24, 32))
        (root / part / "labels").mkdir()
        (root / part / "labels/a.txt").write_text(f"0 0.5 0.5 0.{number + 2} 0.2\n")
    (root / "data.yaml").write_text("names: [hole]\nnc: 1\n")
    collection = read_folder(root, None, split="given")
    assert collection.boxes
    for number, (picture, side) in enumerate(zip(("train", "valid", "test"), ("train", "val", "test"), strict=True)):
        path = f"pictures/images/{picture}/a.png"
        assert collection.originals[path] == root / picture / "images/a.png"
        assert {one.path: one.split for one in collection.pictures}[path] == side
        left, _, right, _ = collection.boxes[path].boxes[0].corners
        assert right - left == pytest.approx((number + 2) / 10)
    (groups := tmp_path / "groups.csv").write_text(
        "path,group\ntrain/images/a.png,1\nvalid/images/a.png,2\ntest/images/a.png,3\n"
    )
    stated = {one.path.split("/")[2]: one.group for one in read_folder(root, groups, split="given").pictures}
    assert stated == {"train": "1", "valid": "2", "test": "3"}
    (root / "test/labels/a.txt").write_text("7 0.5 0.5 0.2 0.2\n")
    with pytest.raises(ManifestError, match=r"test/labels/a\.txt, line 1 \(its class is '7'"):
        read_folder(root, None)
    (root / "test/labels/a.txt").rename(root / "test/labels/b.txt")
    missing = r"boxes without a picture: test/labels/b\.txt.*without a file of boxes: test/images/a\.png"
    with pytest.raises(ManifestError, match=missing):
        read_folder(root, None)


def test_the_word_is_noted_and_needs_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make(tmp_path / "pets", "train/cat test/cat", 1)
    out = tmp_path / "data/source.yaml"
    assert note_source([str(root), "--split", "given", "--out", str(out)]) == 0
    assert re.search(r"^split: given$", out.read_text(), re.M)
    assert note_source(["--split", "ours", "--out", str(out)]) == 2
    assert "SPLIT=ours given without pictures" in capsys.readouterr().err
