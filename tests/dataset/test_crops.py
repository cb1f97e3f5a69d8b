"""Crops of annotated boxes: a data set of its own, cut as the service cuts, divided as its pictures are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.checks import check_no_group_on_two_sides
from dataset.crops import cut
from dataset.description import DataDescription
from dataset.manifest import SPLITS, Manifest
from runtime.model.crops import crop_box, open_picture
from runtime.model.preprocess import read_for_model
from tests.dataset.boxed_files import VocFolder, voc_object
from tests.dataset.masked_files import HEIGHT, WIDTH
from tests.runtime.formats.drawn_pictures import matrix_profile
from tests.service.detecting_models import crop_contract

WIDE = matrix_profile(((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407)), 2.2)
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


def _cut(voc: VocFolder, margin: float = 0.1, jitter: float = 0, jittered: int = 0) -> int:
    keys = f"margin: {margin}, jitter: {jitter}, jittered: {jittered}"
    (params := voc.data / "crops.yaml").write_text(f"crops: {{{keys}}}")
    words = ["--manifest", str(voc.data / "manifest.csv"), "--out", str(voc.data / "crops"), "--params", str(params)]
    return cut.main(words)


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


def test_pictures_are_not_replaced_by_their_crops(voc: VocFolder, capsys: pytest.CaptureFixture[str]) -> None:
    _split(voc)
    before = sorted(voc.data.rglob("*"))
    (params := voc.root / "crops.yaml").write_text("crops: {margin: 0.1}")
    assert cut.main([f"--manifest={voc.data}/manifest.csv", f"--out={voc.data}", f"--params={params}"]) == 2
    assert "holds the pictures that crops are cut from: name another folder by --out" in capsys.readouterr().err
    assert sorted(voc.data.rglob("*")) == before


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


def test_training_boxes_alone_are_cut_again_with_moved_sides_and_each_time_alike(voc: VocFolder) -> None:
    _split(voc)
    assert _cut(voc, 0, jitter=0.2, jittered=3) == 0
    table = Manifest.read(voc.data / "crops/manifest.csv").table
    num_crops = table.groupby(["split", "label"]).size().to_dict()
    assert num_crops == {
        (split, label): 4 if split == "train" else 1 for split in SPLITS for label in ("crack", "hole")
    }
    moved = table[table["path"].str.contains("train.x.png-0-moved")]
    assert len(set(moved["sha256"])) == 3
    # The crack is 10 pixels wide and high, each side of it moves by up to 2, and touched pixels are cut out, too.
    assert moved[["width", "height"]].to_numpy().min() >= 6
    assert moved[["width", "height"]].to_numpy().max() <= 15
    assert (moved[["width", "height"]].to_numpy() != 10).any()
    before = Manifest.read(voc.data / "crops/manifest.csv").sha256
    assert _cut(voc, 0, jitter=0.2, jittered=3) == 0
    assert Manifest.read(voc.data / "crops/manifest.csv").sha256 == before
    description = DataDescription.read(voc.data / "crops")
    assert "each box is cut out 3 more time(s) with sides moved by up to 20% of its own" in description.summary


@pytest.mark.parametrize("has_profile", [False, True])
def test_a_crop_of_the_data_set_gives_a_model_the_pixels_that_the_service_gives_it(
    voc: VocFolder, *, has_profile: bool
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    picture = voc.root / "JPEGImages/test.x.png"
    Image.fromarray(pixels).save(picture, icc_profile=WIDE if has_profile else None)
    _split(voc)
    assert _cut(voc, 0.25) == 0
    contract = crop_contract(crop_margin=0.25, height=24, width=20)
    opened = open_picture(picture.read_bytes(), contract, is_cut=True)
    served = opened.crop(crop_box((10, 10, 20, 20), contract.crop_margin, (WIDTH, HEIGHT)), contract)
    crop = voc.data / "crops/pictures/images/test.x.png-0.png"
    np.testing.assert_array_equal(read_for_model(crop.read_bytes(), contract), served)
