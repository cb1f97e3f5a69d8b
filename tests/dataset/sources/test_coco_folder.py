"""A folder with a COCO document of outlines, through the commands that load it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as cocotools

from dataset.annotations import IGNORED
from dataset.boxes import AnnotatedBox
from tests.dataset.masked_files import HEIGHT, WIDTH, MaskedFolder, marks, turned
from tests.dataset.picture_files import save, texture

CATEGORIES = [{"id": 7, "name": "hole"}, {"id": 3, "name": "crack"}, {"id": 9, "name": "never seen"}]
UPPER_LEFT = [[0, 0, WIDTH // 2, 0, WIDTH // 2, HEIGHT // 2, 0, HEIGHT // 2]]


class CocoFolder(MaskedFolder):
    """`root/images` with `root/annotations.json`."""

    def __init__(self, tmp_path: Path) -> None:
        super().__init__(tmp_path)
        self.document: dict[str, Any] = {"images": [], "annotations": [], "categories": CATEGORIES}

    def picture(self, name: str, /, **entry: object) -> None:
        """Draw a picture and enter it; `entry` changes what is entered."""
        self.add(name)
        self.enter(f"{name}.png", **entry)

    def enter(self, name: str, /, **entry: object) -> None:
        number = len(self.document["images"]) + 1
        whole = {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT}
        self.document["images"].append(whole | entry)

    def outline(self, segmentation: object, category: int = 3, **entry: object) -> None:
        """Outline something in the picture that was entered last."""
        whole = {"id": len(self.document["annotations"]) + 100, "image_id": self.document["images"][-1]["id"]}
        more = {"category_id": category, "segmentation": segmentation, "iscrowd": 0}
        self.document["annotations"].append(whole | more | entry)

    def write(self, name: str = "annotations.json") -> "CocoFolder":
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.document), encoding="utf-8")
        return self


@pytest.fixture
def coco(tmp_path: Path) -> CocoFolder:
    folder = CocoFolder(tmp_path)
    folder.picture("sub/a")
    folder.outline(UPPER_LEFT)
    folder.picture("b")
    return folder


def _runs(mask: np.ndarray) -> dict[str, Any]:
    """Return COCO's compressed run lengths, as pycocotools writes them."""
    found: dict[str, Any] = cocotools.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": found["size"], "counts": found["counts"].decode()}


def test_polygons_become_masks_and_the_class_of_a_picture_is_its_largest_region(coco: CocoFolder) -> None:
    coco.picture("c")
    coco.outline([[16, 12, 32, 12, 32, 24, 16, 24], [0, 20, 4, 20, 4, 24, 0, 24]], category=7)
    coco.outline([[2, 2, 6, 2, 6, 6, 2, 6]])
    assert coco.write().load() == 0
    assert coco.labels == {"sub/a.png": "crack", "b.png": "good", "c.png": "hole"}
    assert coco.description.regions == ("crack", "hole")
    assert coco.description.normal_class == "good"
    np.testing.assert_array_equal(coco.mask("sub/a.png"), marks(upper_left=1))
    assert not coco.mask("b.png").any()
    expected = marks(lower_right=2)
    expected[20:24, :4], expected[2:6, 2:6] = 2, 1
    np.testing.assert_array_equal(coco.mask("c.png"), expected)
    assert coco.load("--normal", "fine") == 0
    assert coco.labels["b.png"] == "fine"


def test_run_lengths_are_read_compressed_or_not_and_crowds_are_ignored(coco: CocoFolder) -> None:
    mask = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.3
    mask[0, 0] = True  # so that the first run, of background, is empty
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = [0, *np.diff([0, *edges, flat.size]).tolist()]
    coco.outline({"size": [HEIGHT, WIDTH], "counts": counts}, category=7)
    coco.picture("c")
    coco.outline(_runs(mask))
    coco.picture("d")
    coco.outline(_runs(marks(lower_left=1)))
    coco.outline(_runs(marks(lower_left=1, lower_right=1)), iscrowd=1)
    assert coco.write().load() == 0
    np.testing.assert_array_equal(coco.mask("b.png"), 2 * mask)
    np.testing.assert_array_equal(coco.mask("c.png"), 1 * mask)
    np.testing.assert_array_equal(coco.mask("d.png"), marks(lower_left=1, lower_right=IGNORED))


def test_where_outlines_overlap_the_later_wins_and_it_is_said_once(
    coco: CocoFolder, caplog: pytest.LogCaptureFixture
) -> None:
    coco.outline(_runs(marks(upper_left=1, upper_right=1)))
    coco.outline(_runs(marks(upper_right=1, lower_right=1)), category=7)
    coco.outline([[5, 5, 5, 5, 5, 5]], category=7)
    assert coco.write().load() == 0
    np.testing.assert_array_equal(coco.mask("b.png"), marks(upper_left=1, upper_right=2, lower_right=2))
    said = [message for message in caplog.messages if "overlap" in message]
    assert len(said) == 1
    assert "overlap in 1 picture(s), by 192 pixels in all: the later one wins there" in said[0]
    assert "1 outline(s) cover no pixel, such as annotation 103 of b.png" in said[0]


@pytest.mark.parametrize("place", ["instances_default.json", "annotations/instances_val2017.json"])
def test_a_document_has_the_names_that_tools_give_it(coco: CocoFolder, place: str) -> None:
    assert coco.write(place).load() == 0
    assert coco.labels["sub/a.png"] == "crack"


def test_pictures_may_lie_beside_the_document_and_be_named_without_their_folder(coco: CocoFolder) -> None:
    shutil.move(coco.root / "images", coco.root / "val2017")
    coco.document["images"][0]["file_name"] = "a.png"
    assert coco.write().load() == 0
    assert coco.labels == {"val2017/sub/a.png": "crack", "val2017/b.png": "good"}


def test_pictures_that_differ_in_their_ending_alone_have_a_mask_each(coco: CocoFolder) -> None:
    save(coco.root / "images/b.bmp", texture(70, HEIGHT, WIDTH))
    coco.enter("b.bmp")
    coco.outline(UPPER_LEFT)
    assert coco.write().load() == 0
    assert coco.mask("b.bmp").any()
    assert not coco.mask("b.png").any()


def test_groups_are_named_as_for_any_folder(coco: CocoFolder, tmp_path: Path) -> None:
    (tmp_path / "groups.csv").write_text("path,group\nsub/a.png,x\nb.png,y\n")
    assert coco.write().load("--groups", str(tmp_path / "groups.csv")) == 0
    assert dict(coco.table["group"]) == {"sub/a.png": "x", "b.png": "y"}


def test_entries_that_cannot_be_used_are_named_together(coco: CocoFolder, capsys: pytest.CaptureFixture[str]) -> None:
    outside = [[0, 0, 40, 0, 40, 9, 0, 9]]
    for segmentation, entry in (
        (UPPER_LEFT, {"category_id": 5}), (UPPER_LEFT, {"image_id": 99}), (UPPER_LEFT, {"id": 100}), (outside, {}),
        ([], {}), ([[1, 2, 3, 4]], {}), ({"size": [WIDTH, HEIGHT], "counts": [WIDTH * HEIGHT]}, {}),
        ({"size": [HEIGHT, WIDTH], "counts": [5, 2]}, {}), ({"size": [HEIGHT, WIDTH], "counts": ";2300"}, {}),
    ):  # fmt: skip
        coco.outline(segmentation, **entry)
    message = coco.write().refused(capsys)
    assert "annotations.json: 9 entries cannot be used: " in message
    for reason in (
        "annotation 101 of b.png (its category_id 5 is that of no category)",
        "annotation 102 (its image_id 99 is that of no image)",
        "annotation 100 (several have this id)",
        "annotation 104 of b.png (its x goes from 0 to 40, and the picture is 32 x 24)",
        "annotation 105 of b.png (it has no outline",
        "annotation 106 of b.png (a polygon has x and y of at least 3 points)",
        "annotation 107 of b.png (its size is [32, 24], and its image [24, 32], height and width)",
        "annotation 108 of b.png (its run lengths are of 7 pixels, and its picture has 768)",
        "annotation 109 of b.png (its run lengths are of ",
    ):
        assert reason in message, reason


def test_images_and_categories_that_say_nothing_are_named(coco: CocoFolder, capsys: pytest.CaptureFixture[str]) -> None:
    coco.document["categories"] = [*CATEGORIES, {"id": 3, "name": "x"}, {"id": 4, "name": "hole"}, {"id": 5}, "what"]
    for entry in ({"id": 2}, {"file_name": "b.png"}, {"file_name": None}, {"width": 0}, {"height": "24"}):
        coco.enter(f"n{len(coco.document['images'])}.png", **entry)
    message = coco.write().refused(capsys)
    assert "9 entries cannot be used" in message
    for reason in (
        "image 2 (several have this id)", "image 4 (several have the file_name b.png)", "image 5 (it has no file_name)",
        "image 6, n5.png (its width and height are 0 and 24)", "category 3 (several have this id)",
        "category 4 (several are called hole)", "category 5 (its name is None)",
        "category at position 6 (it has no id)",
    ):  # fmt: skip
        assert reason in message, reason


def test_categories_of_annotations_whose_names_differ_in_case_alone_are_named(
    coco: CocoFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    coco.document["categories"] = [*CATEGORIES, {"id": 1, "name": "Crack"}]
    assert coco.write().load() == 0  # nothing is of the second one
    coco.outline(UPPER_LEFT, category=1)
    assert "1 entries cannot be used: categories whose names differ in case alone: Crack, crack" in (
        coco.write().refused(capsys)
    )


def test_pictures_and_entries_without_a_counterpart_are_named_together(
    coco: CocoFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    coco.add("unknown")
    coco.enter("absent.png")
    coco.enter("images/b.png")
    save(coco.root / "elsewhere/c.png", texture(80))
    message = coco.write().refused(capsys)
    assert "names 1 image(s) that are not there: absent.png (image 3)" in message
    assert "names 1 picture(s) twice: b.png (images 2 and 4)" in message
    assert "2 picture(s) have no entry in " in message
    assert ": unknown.png, elsewhere/c.png. Names are relative to " in message


def test_a_size_other_than_the_files_is_refused_with_the_image(
    coco: CocoFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    coco.picture("c", width=64, height=48)
    turned(coco.root / "images/d.jpg", texture(60, HEIGHT, WIDTH))
    coco.enter("d.jpg")
    message = coco.write().refused(capsys)
    assert "annotations.json, image 3, c.png (it is 64 x 48 pixels, and its picture 32 x 24)" in message
    assert "image 4, d.jpg (it is 32 x 24 pixels, as its picture is stored, which its EXIF orientation turns" in message


def test_what_is_no_json_is_refused_with_line_and_column(coco: CocoFolder, capsys: pytest.CaptureFixture[str]) -> None:
    (coco.write().root / "annotations.json").write_text('{"images": [],\n "annotations": [}')
    assert "annotations.json, line 2, column 18 is no JSON: Expecting value" in coco.refused(capsys)
    (coco.root / "annotations.json").write_bytes(b'{"images": "\xff"}')
    assert "annotations.json is not UTF-8 at byte 12" in coco.refused(capsys)


def test_several_documents_are_refused_and_other_json_is_left_out(
    coco: CocoFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    coco.write().write("instances_test.json")
    assert "holds 2 COCO documents: annotations.json, instances_test.json" in coco.refused(capsys)
    (coco.root / "instances_test.json").write_text('{"version": 1}')
    assert coco.load() == 0


def test_masks_and_a_document_are_not_both_read(coco: CocoFolder, capsys: pytest.CaptureFixture[str]) -> None:
    coco.add("c", marks())
    assert "holds masks/ and annotations.json: move the one away" in coco.write().refused(capsys)


def test_outlines_have_boxes_and_crowds_ignored_ones(coco: CocoFolder) -> None:
    """The box of an outline is its own, whatever `bbox` says."""
    coco.picture("c")
    coco.outline([[16.25, 12, 30, 12, 30, 24.5], [2, 20, 4, 20, 4, 24, 2, 24]], category=7, bbox=[1, 1, 1, 1])
    coco.outline(_runs(marks(lower_left=1)), category=7)
    coco.outline(_runs(marks(lower_left=1, lower_right=1)), iscrowd=1)
    coco.outline([[5, 5, 5, 5, 5, 5]], category=7)
    assert coco.write().load() == 0
    assert coco.description.objects == ("crack", "hole")
    assert coco.boxes == {
        "sub/a.png": [AnnotatedBox("crack", (0, 0, 16, 12))],
        "c.png": [
            AnnotatedBox("hole", (2, 12, 30, 24)),
            AnnotatedBox("hole", (0, 12, 16, 24)),
            AnnotatedBox("crack", (0, 12, 32, 24), ignored=True),
        ],
    }


def test_boxes_alone_make_no_masks_and_say_the_class_by_their_area(coco: CocoFolder) -> None:
    coco.document["annotations"].clear()
    coco.outline(None, category=7, bbox=[1.5, 2, 10, 4])
    coco.outline([], bbox=[0, 0, 6, 6])
    coco.outline(None, bbox=[-0.75, 20, 7, 4.9])
    coco.picture("c")
    coco.outline(None, bbox=[0, 0, 32, 24], category=7, iscrowd=1)
    coco.picture("d")
    coco.outline(None, bbox=[0, 0, 32, 24], category=7, iscrowd=1)
    coco.outline(None, bbox=[3, 3, 5, 5])
    for annotation in coco.document["annotations"]:
        if annotation["segmentation"] is None:
            del annotation["segmentation"]
    assert coco.write().load() == 0
    assert coco.labels == {"sub/a.png": "good", "b.png": "crack", "c.png": "hole", "d.png": "crack"}
    assert (coco.description.regions, coco.description.objects) == ((), ("crack", "hole"))
    assert coco.description.normal_class == "good"
    assert set(coco.table["mask"]) == {""}
    assert coco.boxes["b.png"] == [
        AnnotatedBox("hole", (1.5, 2, 11.5, 6)), AnnotatedBox("crack", (0, 0, 6, 6)),
        AnnotatedBox("crack", (0, 20, 6.25, 24)),
    ]  # fmt: skip
    assert coco.boxes["c.png"] == [AnnotatedBox("hole", (0, 0, 32, 24), ignored=True)]


def test_a_box_beside_outlines_is_ignored_in_the_mask_and_says_the_class_where_nothing_is_outlined(
    coco: CocoFolder,
) -> None:
    coco.outline(None, category=7, bbox=[8.5, 0, 7.5, 12])
    coco.picture("c")
    coco.outline(UPPER_LEFT)
    coco.outline(None, category=7, bbox=[0, 0, 32, 24])
    coco.picture("d")
    assert coco.write().load() == 0
    assert coco.labels == {"sub/a.png": "crack", "b.png": "hole", "c.png": "crack", "d.png": "good"}
    assert (coco.description.regions, coco.description.objects) == (("crack",), ("crack", "hole"))
    expected = np.zeros((HEIGHT, WIDTH))
    expected[:12, 8:16] = IGNORED
    np.testing.assert_array_equal(coco.mask("b.png"), expected)
    np.testing.assert_array_equal(
        coco.mask("c.png"), marks(upper_left=1, upper_right=IGNORED, lower_left=IGNORED, lower_right=IGNORED)
    )
    assert coco.boxes["b.png"] == [AnnotatedBox("hole", (8.5, 0, 16, 12))]


def test_boxes_that_are_none_are_named_together(coco: CocoFolder, capsys: pytest.CaptureFixture[str]) -> None:
    for box in ([0, 0, 0, 5], [0, 0, 5], [0, 0, 5, "5"], [27, 0, 7, 5], [40, 0, -7, 5]):
        coco.outline([], bbox=box)
    message = coco.write().refused(capsys)
    assert "5 entries cannot be used" in message
    for reason in (
        "annotation 101 of b.png (it has no area: it is 0 x 5 pixels)",
        "annotation 102 of b.png (a box has left, top, width and height, and this one [0, 0, 5])",
        "annotation 103 of b.png (a box has left, top, width and height, and this one [0, 0, 5, '5'])",
        "annotation 104 of b.png (its x goes from 27 to 34, and the picture is 32 x 24)",
        "annotation 105 of b.png (it has no area: it is -7 x 5 pixels)",
    ):
        assert reason in message, reason


def test_a_size_other_than_the_files_is_refused_where_there_are_only_boxes(
    coco: CocoFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    coco.document["annotations"].clear()
    coco.picture("c", width=64, height=48)
    coco.outline(None, bbox=[40, 40, 5, 5])
    turned(coco.root / "images/d.jpg", texture(60, HEIGHT, WIDTH))
    coco.enter("d.jpg")
    message = coco.write().refused(capsys)
    assert "annotations.json, image 3, c.png (its size is 64 x 48 pixels, and its picture 32 x 24)" in message
    assert "image 4, d.jpg (its size is 32 x 24 pixels, as its picture is stored, which its EXIF orient" in message


def test_two_classes_are_needed_of_boxes_too(coco: CocoFolder, capsys: pytest.CaptureFixture[str]) -> None:
    coco.document["annotations"].clear()
    for image in coco.document["images"]:
        coco.outline([], bbox=[0, 0, 5, 5], image_id=image["id"])
    assert "all 2 picture(s) are of the class crack, and at least 2 classes" in coco.write().refused(capsys)


def test_a_category_may_not_be_called_as_the_normal_class_is(
    coco: CocoFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    coco.write()
    assert "has a category of this name" in coco.refused(capsys, "--normal", "crack")
