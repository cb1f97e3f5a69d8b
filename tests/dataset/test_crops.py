"""Crops of annotated boxes: a data set of its own, cut as the service cuts, divided as its pictures are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset import crops
from dataset.checks import check_no_group_on_two_sides
from dataset.description import DataDescription
from dataset.manifest import SPLITS, Manifest
from tests.dataset.boxed_files import VocFolder, voc_object
from tests.dataset.masked_files import HEIGHT, WIDTH

SEEN = ("crack", 11, 11, 20, 20)  # pixels 10 to 20 both ways


@pytest.fixture
def voc(tmp_path: Path) -> VocFolder:
    """A crack and a hole in a picture of each split, and a picture with nothing."""
    folder = VocFolder(tmp_path)
    for name in ("train", "val", "test"):
        folder.annotated(f"{name}.x", voc_object(*SEEN), voc_object("hole", 1, 1, 10.5, 9))
    folder.annotated("none")
    return folder


def _split(voc: VocFolder) -> None:
    assert voc.load() == 0
    pictures = Manifest.read(voc.data / "pictures.csv")
    names = pictures.table["path"].str.extract(r"(train|val|test|none)")[0].replace("none", "train")
    table = pictures.table.assign(split=names, split_by_image=names)
    Manifest(table.assign(**{"attributes.shift": "late"}), voc.data).write(voc.data / "manifest.csv")


def _cut(voc: VocFolder, margin: float = 0.1) -> int:
    (params := voc.data / "crops.yaml").write_text(f"crops: {{margin: {margin}}}")
    words = ["--manifest", str(voc.data / "manifest.csv"), "--out", str(voc.data / "crops"), "--params", str(params)]
    return crops.main(words)


def test_each_box_is_a_picture_of_its_object_with_the_margin(voc: VocFolder) -> None:
    _split(voc)
    assert _cut(voc, 0.25) == 0
    manifest = Manifest.read(voc.data / "crops/manifest.csv")
    assert manifest.classes == ("crack", "hole")
    assert manifest.table["path"].tolist() == [
        f"pictures/images/{name}.x.png-{number}.png" for name in ("test", "train", "val") for number in (0, 1)
    ]
    assert manifest.table["label"].tolist() == ["crack", "hole"] * 3
    sizes = manifest.table[["width", "height"]].drop_duplicates().to_numpy().tolist()
    assert sizes == [[16, 16], [14, 12]]  # 2.5 pixels on each side, in whole ones; none beyond the picture's edge
    with Image.open(voc.data / "pictures/images/train.x.png") as whole:
        pixels = np.asarray(whole.convert("RGB"))
    with Image.open(voc.data / "crops" / manifest.table["path"][2]) as crop:
        np.testing.assert_array_equal(np.asarray(crop), pixels[7:23, 7:23])
    description = DataDescription.read(voc.data / "crops")
    assert (description.crop_margin, description.objects, description.regions) == (0.25, (), ())
    assert description.normal_class == ""


def test_crops_are_divided_as_their_pictures_are(voc: VocFolder) -> None:
    _split(voc)
    assert _cut(voc) == 0
    table = Manifest.read(voc.data / "crops/manifest.csv").table
    pictures = Manifest.read(voc.data / "manifest.csv").table.set_index("path")
    origins = table["path"].str.replace(r"-\d\.png$", "", regex=True)
    for column in ("split", "split_by_image", "group", "attributes.shift"):
        assert table[column].tolist() == pictures[column].reindex(origins).tolist(), column
    assert set(table["split"]) == set(SPLITS)
    check_no_group_on_two_sides(table)


def test_ignored_boxes_and_crops_that_the_service_would_not_classify_are_left_out(
    voc: VocFolder, caplog: pytest.LogCaptureFixture
) -> None:
    difficult = voc_object("crack", 1, 1, WIDTH, HEIGHT, difficult=1)
    voc.annotated("train.y", voc_object(*SEEN), voc_object("hole", 1, 1, 4, 20), difficult)
    _split(voc)
    assert _cut(voc, 0) == 0
    paths = Manifest.read(voc.data / "crops/manifest.csv").table["path"]
    assert [path for path in paths if "train.y" in path] == ["pictures/images/train.y.png-0.png"]
    assert "1 box(es) are too small for a crop that is classified" in caplog.text


def test_a_second_run_replaces_the_first_and_nothing_of_a_persons(
    voc: VocFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    _split(voc)
    assert _cut(voc) == 0
    before = Manifest.read(voc.data / "crops/manifest.csv").sha256
    assert _cut(voc, 0.5) == 0
    assert Manifest.read(voc.data / "crops/manifest.csv").sha256 != before
    (voc.data / "crops/pictures/mine.txt").write_text("a person's")
    assert _cut(voc) == 2
    assert "mine.txt" in capsys.readouterr().err
    assert (voc.data / "crops/pictures/mine.txt").read_text() == "a person's"
    assert not (voc.data / "crops/.loading").exists()


def test_what_no_classifier_can_learn_from_is_refused(voc: VocFolder, capsys: pytest.CaptureFixture[str]) -> None:
    voc.annotated("test.x", voc_object(*SEEN))
    _split(voc)
    assert _cut(voc) == 2
    assert "class hole is missing in test" in capsys.readouterr().err
    for name in ("train", "val", "test"):
        voc.annotated(f"{name}.x", voc_object(*SEEN))
    _split(voc)
    assert _cut(voc) == 2
    assert "the boxes hold crack alone" in capsys.readouterr().err
    voc.annotated("train.x", voc_object(*SEEN), voc_object("hole", 1, 1, 2, 2))
    _split(voc)
    assert _cut(voc) == 2
    assert "no crop can be cut of hole: every box is too small" in capsys.readouterr().err


def test_data_without_boxes_and_a_picture_that_is_gone_are_named(
    voc: VocFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    _split(voc)
    (voc.data / "pictures/images/val.x.png").write_bytes(b"")
    assert _cut(voc) == 2
    assert "val.x.png can no longer be read" in capsys.readouterr().err
    assert not (voc.data / "crops/manifest.csv").exists()
    description = DataDescription.read(voc.data)
    description.model_copy(update={"objects": ()}).write(voc.data)
    assert _cut(voc) == 2
    assert "have no boxes to cut crops from: docs/FOLDERS.md" in capsys.readouterr().err
