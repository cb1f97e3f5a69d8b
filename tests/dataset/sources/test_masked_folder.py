"""A folder of anybody's with masks beside its pictures, through the commands that load it."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from dataset.annotations import IGNORED
from dataset.boxes import AnnotatedBox, boxes_file
from dataset.manifest import MASK_SHA256, Manifest
from tests.dataset.masked_files import HEIGHT, WIDTH, MaskedFolder, marks, turned
from tests.dataset.picture_files import save, texture


@pytest.fixture
def folder(tmp_path: Path) -> MaskedFolder:
    return MaskedFolder(tmp_path)


@pytest.fixture
def binary(folder: MaskedFolder) -> MaskedFolder:
    """Three classes in folders, of which `good` has no masks."""
    folder.add("crack/a", marks(upper_left=255))
    folder.add("crack/b", marks(lower_right=128))
    folder.add("hole/deep/a", marks(upper_right=200), suffix=".bmp")
    folder.add("hole/b", marks())
    folder.add("good/a")
    folder.add("good/b")
    return folder


def test_a_binary_mask_marks_the_class_of_its_picture(binary: MaskedFolder) -> None:
    assert binary.load("--normal", "good") == 0
    assert binary.description.regions == ("crack", "hole")
    assert binary.description.normal_class == "good"
    np.testing.assert_array_equal(binary.mask("crack/b.png"), marks(lower_right=1))
    np.testing.assert_array_equal(binary.mask("hole/deep/a.png"), marks(upper_right=2))
    assert not binary.mask("hole/b.png").any()
    assert binary.table["mask"]["good/a.png"] == ""
    masks = sorted(path.relative_to(binary.data).as_posix() for path in (binary.data / "pictures/masks").rglob("*.png"))
    assert masks == sorted(mask for mask in binary.table["mask"] if mask)


def test_a_corrected_mask_changes_the_hash_of_segmentation_data_and_no_other(binary: MaskedFolder) -> None:
    def hashes() -> tuple[str, str]:
        manifest = Manifest.read(binary.data / "pictures.csv")
        return manifest.data_sha256("segmentation"), manifest.data_sha256("classification")

    assert binary.load("--normal", "good") == 0
    assert [bool(digest) for digest in binary.table[MASK_SHA256]] == [bool(mask) for mask in binary.table["mask"]]
    before = hashes()
    mask = binary.root / "masks/crack/a.png"
    pixels = np.array(Image.open(mask))
    Image.fromarray(pixels).save(mask, compress_level=0)  # other bytes, the same mask
    assert binary.load("--normal", "good") == 0
    assert hashes() == before
    pixels[-1, -1] = 255
    save(mask, pixels)
    assert binary.load("--normal", "good") == 0
    assert hashes()[0] != before[0]
    assert hashes()[1] == before[1]


def test_without_masks_the_manifest_is_as_it_was(folder: MaskedFolder) -> None:
    for number in range(6):
        save(folder.root / "ab"[number % 2] / f"{number}.png", texture(number, HEIGHT, WIDTH))
    assert folder.load() == 0
    assert MASK_SHA256 not in Manifest.read(folder.data / "pictures.csv").table.columns


def test_values_mean_what_the_class_map_says_whatever_the_picture_is_of(binary: MaskedFolder) -> None:
    binary.name("value,name\n3,pore\n7,edge\n255,ignored\n9,never seen\n")
    for name in ("crack/a.png", "crack/b.png", "hole/deep/a.bmp", "hole/b.png"):
        save(binary.root / "masks" / name, marks(upper_left=7, upper_right=3, lower_left=255).astype(np.uint8))
    assert binary.load("--normal", "good") == 0
    assert binary.description.regions == ("edge", "pore")
    assert binary.labels["crack/a.png"] == "crack"
    np.testing.assert_array_equal(
        binary.mask("crack/a.png"), marks(upper_left=1, upper_right=2, lower_left=IGNORED).astype(np.uint8)
    )


def test_what_masks_mark_has_boxes(binary: MaskedFolder) -> None:
    dot = np.pad(np.full((2, 2), 255), ((20, 2), (28, 2)))
    binary.add("crack/c", marks(upper_left=255) + dot)
    assert binary.load("--normal", "good") == 0
    assert binary.description.objects == ("crack", "hole")
    assert binary.boxes == {
        "crack/a.png": [AnnotatedBox("crack", (0, 0, 16, 12))],
        "crack/b.png": [AnnotatedBox("crack", (16, 12, 32, 24))],
        "crack/c.png": [AnnotatedBox("crack", (0, 0, 16, 12))],  # and not of a dot of 4 pixels
        "hole/deep/a.png": [AnnotatedBox("hole", (16, 0, 32, 12))],
    }


def test_without_masks_there_are_no_objects_and_no_file_of_boxes(folder: MaskedFolder) -> None:
    for label in ("bad", "good"):
        for number in range(3):
            save(folder.root / label / f"{number}.png", texture(ord(label[0]) + number))
    assert folder.load() == 0
    assert folder.description.objects == ()
    assert "objects" in folder.description.model_fields_set
    assert not boxes_file(folder.data).exists()


def test_a_region_that_no_mask_marks_is_left_out_aloud(binary: MaskedFolder, caplog: pytest.LogCaptureFixture) -> None:
    binary.name("value;name\n255;pore\n128;pore\n200;pore\n9;never seen\n")
    assert binary.load("--normal", "good") == 0
    assert "no mask marks never seen, which is named as a region" in caplog.text


def test_without_folders_the_class_is_the_largest_region_or_normal(folder: MaskedFolder) -> None:
    folder.name("value,name\n1,crack\n2,hole\n255,ignored\n")
    folder.add("a", marks(upper_left=1, upper_right=2, lower_left=2))
    folder.add("b", marks(upper_left=1))
    folder.add("c", marks())
    folder.add("d", marks(upper_left=255))
    assert folder.load() == 0
    assert folder.labels == {"a.png": "hole", "b.png": "crack", "c.png": "good", "d.png": "good"}
    assert folder.description.normal_class == "good"
    assert folder.load("--normal", "fine") == 0
    assert folder.labels["c.png"] == "fine"
    assert folder.description.normal_class == "fine"


def test_without_folders_and_names_a_mask_marks_a_defect(folder: MaskedFolder) -> None:
    folder.add("a", marks(upper_left=255))
    folder.add("b", marks())
    assert folder.load() == 0
    assert folder.labels == {"a.png": "defect", "b.png": "good"}
    assert folder.description.regions == ("defect",)
    np.testing.assert_array_equal(folder.mask("a.png"), marks(upper_left=1))


def test_without_folders_two_classes_are_needed(folder: MaskedFolder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.add("a", marks(upper_left=255))
    folder.add("b", marks(upper_right=255))
    assert "all 2 picture(s) are of the class defect, and at least 2 classes are needed" in folder.refused(capsys)


def test_a_picture_of_which_all_is_ignored_has_no_class(
    folder: MaskedFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.name("value,name\n1,crack\n255,ignored\n")
    folder.add("a", marks(upper_left=1))
    folder.add("b", marks())
    folder.add("c", np.full((HEIGHT, WIDTH), 255))
    assert "masks/c.png (all of it is ignored, so that it does not say which class" in folder.refused(capsys)


def test_a_region_may_not_be_called_as_the_normal_class_is(
    folder: MaskedFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.name("value,name\n1,good\n")
    folder.add("a", marks(upper_left=1))
    assert "good is the class of pictures in which nothing is marked" in folder.refused(capsys)


def test_groups_are_named_as_for_any_folder(binary: MaskedFolder, tmp_path: Path) -> None:
    groups = tmp_path / "groups.csv"
    names = ["crack/a.png", "crack/b.png", "images/hole/deep/a.png", "hole/b.png", "good/a.png", "good/b.png"]
    groups.write_text("path,group,line\n" + "".join(f"{name},part{i},L{i}\n" for i, name in enumerate(names)))
    assert binary.load("--normal", "good", "--groups", str(groups)) == 0
    assert dict(binary.table["group"])["hole/deep/a.png"] == "part2"
    assert dict(binary.table["attributes.line"])["good/b.png"] == "L5"


def test_colours_of_a_palette_are_read_by_index_and_others_by_name(folder: MaskedFolder) -> None:
    folder.name("value,name\n1,crack\n2,hole\n")
    folder.add("a", marks())
    folder.add("b")
    indexed = Image.fromarray(marks(upper_left=2, lower_left=1).astype(np.uint8), "P")
    indexed.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    indexed.save(folder.root / "masks" / "b.png")
    assert folder.load() == 0
    expected = marks(upper_left=2, lower_left=1)
    np.testing.assert_array_equal(folder.mask("b.png"), expected)
    folder.name("value,name\n#C80000,crack\n#00c800,hole\n")
    assert folder.load() == 0
    np.testing.assert_array_equal(folder.mask("b.png"), expected)
    indexed.convert("RGB").save(folder.root / "masks" / "b.png")
    assert folder.load() == 0
    np.testing.assert_array_equal(folder.mask("b.png"), expected)


def test_masks_that_cannot_be_used_are_named_together_with_their_reasons(
    binary: MaskedFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    save(binary.root / "masks/crack/a.png", np.zeros((10, 12), np.uint8))
    save(binary.root / "masks/crack/b.png", marks(upper_left=3).astype(np.uint8))
    save(binary.root / "masks/good/a.png", marks(upper_left=255).astype(np.uint8))
    message = binary.refused(capsys, "--normal", "good")
    assert "3 mask(s) cannot be used: " in message
    assert "masks/crack/a.png (it is 12 x 10 pixels, and its picture 32 x 24)" in message
    assert (
        "masks/crack/b.png (it holds 3, where a binary mask holds 0 and one value above 127, and these are" in message
    )
    assert "masks/good/a.png (it marks 192 pixels, and good, its picture's class, is the normal one)" in message
    assert "masks/classes.csv, with the first line value,name" in message
    assert not (binary.data / "pictures.csv").exists()


@pytest.mark.parametrize("named", ["", "value,name\n255,defect\n"])
def test_edges_that_fade_are_marked_by_half_and_counted_in_one_line(
    folder: MaskedFolder, caplog: pytest.LogCaptureFixture, named: str
) -> None:
    if named:
        folder.name(named)
    hard = Image.fromarray(marks(upper_left=255).astype(np.uint8))
    soft = np.asarray(
        hard.resize((WIDTH // 2, HEIGHT // 2)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).rotate(5)
    )
    soft = np.asarray(Image.fromarray(soft).filter(ImageFilter.GaussianBlur(0.5)))
    for name in ("a", "b"):
        folder.add(name, soft)
    folder.add("c", np.asarray(hard))
    folder.add("d", marks())
    assert folder.load() == 0
    np.testing.assert_array_equal(folder.mask("b.png"), soft > 127)
    (line,) = [record.message for record in caplog.records if "edges that fade" in record.message]
    assert line.startswith("2 mask(s) have edges that fade from black to white, such as ")
    assert line.endswith("masks/a.png: what is above 127 is marked")


def test_a_value_without_a_name_is_refused_with_its_pixels(
    folder: MaskedFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.name("value,name\n1,crack\n")
    folder.add("a", marks(upper_left=1, upper_right=4, lower_left=255))
    folder.add("b", marks())
    message = folder.refused(capsys)
    assert "masks/a.png (it holds 4 (192 pixels), 255 (192 pixels), which classes.csv does not name)" in message


def test_pictures_and_masks_without_a_counterpart_are_named(
    binary: MaskedFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    (binary.root / "masks/crack/b.png").rename(binary.root / "masks/crack/b_mask.png")
    message = binary.refused(capsys)
    assert "holds 1 mask(s) without a picture: masks/crack/b_mask.png" in message
    (binary.root / "masks/crack/b_mask.png").unlink()
    message = binary.refused(capsys)
    assert "holds 3 picture(s) without a mask: crack/b.png, good/a.png, good/b.png." in message
    assert "NORMAL=" in message
    message = binary.refused(capsys, "--normal", "good")
    assert "holds 1 picture(s) without a mask: crack/b.png. " in message
    assert "SKIP=masks" in message


def test_masks_that_nobody_made_may_be_left_out_and_ignore_the_whole_picture(binary: MaskedFolder) -> None:
    (binary.root / "masks/crack/b.png").unlink()
    assert binary.load("--normal", "good", "--skip-masks") == 0
    assert (binary.mask("crack/b.png") == IGNORED).all()
    assert binary.mask("crack/b.png").shape == (HEIGHT, WIDTH)
    assert binary.table["mask"]["good/a.png"] == ""


def test_a_mask_that_says_the_class_may_not_be_left_out(
    folder: MaskedFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.add("a", marks(upper_left=255))
    folder.add("b")
    assert "holds 1 picture(s) without a mask: b.png. Their masks say their class" in folder.refused(
        capsys, "--skip", "masks"
    )


def test_files_that_differ_in_their_ending_alone_are_refused(
    binary: MaskedFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    save(binary.root / "images/crack/a.bmp", texture(77, HEIGHT, WIDTH))
    save(binary.root / "masks/crack/b.tif", marks().astype(np.uint8))
    message = binary.refused(capsys, "--normal", "good")
    assert "crack/a.bmp and crack/a.png, masks/crack/b.png and masks/crack/b.tif" in message


def test_a_broken_mask_makes_its_picture_unreadable_and_may_be_left_out_with_it(
    binary: MaskedFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    (binary.root / "masks/crack/b.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    message = binary.refused(capsys, "--normal", "good")
    assert "1 picture(s) cannot be read: " in message
    assert "images/crack/b.png (its mask " in message
    assert binary.load("--normal", "good", "--skip-unreadable") == 0
    assert "crack/b.png" not in binary.labels
    with (binary.data / "skipped.csv").open(encoding="utf-8", newline="") as file:
        assert [row["path"].rpartition("images/")[2] for row in csv.DictReader(file)] == ["crack/b.png"]


def test_without_folders_a_broken_picture_or_mask_is_named_and_may_be_left_out(
    folder: MaskedFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, mask in (("a", marks(upper_left=255)), ("b", marks()), ("c", marks()), ("d", marks())):
        folder.add(name, mask)
    (folder.root / "images/c.png").write_bytes(b"no picture")
    (folder.root / "masks/d.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    message = folder.refused(capsys)
    assert "2 picture(s) cannot be read: " in message
    assert "no picture can be read" not in message
    assert folder.load("--skip-unreadable") == 0
    assert folder.labels == {"a.png": "defect", "b.png": "good"}


def test_a_rare_class_takes_its_region_with_it(folder: MaskedFolder) -> None:
    for label, number in (("crack", 3), ("hole", 1), ("good", 3)):
        for index in range(number):
            folder.add(f"{label}/{index}", marks(upper_left=255) if label != "good" else marks())
    assert folder.load("--normal", "good", "--skip-rare") == 0
    assert folder.description.regions == folder.description.objects == ("crack",)
    assert np.unique(folder.mask("crack/0.png")).tolist() == [0, 1]


def test_a_mask_lies_on_the_upright_picture_and_one_on_its_side_is_refused(
    folder: MaskedFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.add("crack/a", marks(upper_left=255))
    folder.add("good/a", marks())
    turned(folder.root / "images/crack/b.jpg", texture(60, HEIGHT, WIDTH))
    upright = np.zeros((WIDTH, HEIGHT), np.uint8)
    upright[:4] = 255
    save(folder.root / "masks/crack/b.png", upright)
    assert folder.load("--normal", "good") == 0
    assert (folder.table["width"]["crack/b.jpg"], folder.table["height"]["crack/b.jpg"]) == (HEIGHT, WIDTH)
    np.testing.assert_array_equal(folder.mask("crack/b.jpg"), upright > 0)
    save(folder.root / "masks/crack/b.png", marks(upper_left=255).astype(np.uint8))
    message = folder.refused(capsys, "--normal", "good")
    assert "it is 32 x 24 pixels, as its picture is stored, which its EXIF orientation turns to 24 x 32" in message


def test_pictures_beside_the_two_folders_are_refused(binary: MaskedFolder, capsys: pytest.CaptureFixture[str]) -> None:
    save(binary.root / "overlays/a.png", texture(5))
    save(binary.root / "b.png", texture(6))
    message = binary.refused(capsys, "--normal", "good")
    assert "2 picture(s) beside them: b.png, overlays/a.png" in message


def test_parts_of_a_split_are_refused_in_the_folder_of_pictures_too(
    folder: MaskedFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("train", "test"):
        for label in ("crack", "good"):
            folder.add(f"{part}/{label}/a", marks())
    message = folder.refused(capsys)
    assert "is divided into test, train" in message
    assert message.rstrip().endswith("What is moved in images/ must be moved in masks/ as well")


def test_other_layouts_are_refused_and_the_message_says_which_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = MaskedFolder(tmp_path)
    for label in ("crack", "good"):
        save(folder.root / label / "images/a.png", texture(1))
        save(folder.root / label / "masks/a.png", texture(2))
    assert "Masks are read from DATA/masks/<class>/<picture>.png" in folder.refused(capsys)


def test_a_mask_that_changes_while_pictures_are_loaded_is_noticed(
    binary: MaskedFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataset import load

    tabulate = load.tabulate

    def change(*arguments: object) -> object:
        save(binary.root / "masks/crack/a.png", np.zeros((10, 12), np.uint8))
        return tabulate(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(load, "tabulate", change)
    assert "its mask has changed while it was loaded" in binary.refused(capsys, "--normal", "good")
