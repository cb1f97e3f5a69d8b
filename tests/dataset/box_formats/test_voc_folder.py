"""A folder with boxes in Pascal VOC's XML, through the commands that load it."""

from pathlib import Path

import pytest

from dataset.boxes import AnnotatedBox
from dataset.manifest import Manifest
from tests.dataset.boxed_files import VocFolder, voc_object
from tests.dataset.masked_files import HEIGHT, WIDTH, turned
from tests.dataset.picture_files import save, texture


@pytest.fixture
def voc(tmp_path: Path) -> VocFolder:
    folder = VocFolder(tmp_path)
    folder.annotated("a", voc_object("crack", 1, 1, 16, 12), voc_object("hole", 17, 5, 20, 5.5))
    folder.annotated("b")
    return folder


def test_pixels_count_from_one_and_difficult_objects_are_ignored(voc: VocFolder) -> None:
    voc.annotated("c", voc_object("crack", 1, 1, WIDTH, HEIGHT, difficult=1), voc_object("hole", 3, 3, 4, 4))
    voc.annotated("d", voc_object("hole", 0, 1, 9, 9, difficult=1), size=None)
    assert voc.load() == 0
    assert voc.labels == {"a.png": "crack", "b.png": "good", "c.png": "hole", "d.png": "hole"}
    assert voc.description.objects == ("crack", "hole")
    assert voc.boxes == {
        "a.png": [AnnotatedBox("crack", (0, 0, 16, 12)), AnnotatedBox("hole", (16, 4, 20, 5.5))],
        "c.png": [
            AnnotatedBox("crack", (0, 0, WIDTH, HEIGHT), ignored=True),
            AnnotatedBox("hole", (2, 2, 4, 4)),
        ],
        "d.png": [AnnotatedBox("hole", (0, 0, 9, 9), ignored=True)],
    }


def test_a_corrected_box_is_other_data_of_detection_alone(voc: VocFolder) -> None:
    def hashes() -> tuple[str, str]:
        assert voc.load() == 0
        manifest = Manifest.read(voc.data / "pictures.csv")
        return manifest.data_sha256("detection"), manifest.data_sha256("classification")

    before = hashes()
    assert [bool(digest) for digest in voc.table["boxes_sha256"]] == [True, False]
    path = voc.root / "Annotations/a.xml"
    path.write_text(path.read_text().replace("<ymax>5.5<", "<ymax>5.6<"))
    after = hashes()
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_an_object_of_which_every_box_is_ignored_is_left_out_aloud(
    voc: VocFolder, caplog: pytest.LogCaptureFixture
) -> None:
    voc.annotated("c", voc_object("dent", 1, 1, 9, 9, difficult=1), voc_object("hole", 3, 3, 4, 4))
    assert voc.load() == 0
    assert voc.description.objects == ("crack", "hole")
    assert "every box of dent is ignored" in caplog.text
    assert voc.boxes["c.png"] == [AnnotatedBox("hole", (2, 2, 4, 4))]


def test_parts_of_an_object_and_further_words_are_passed_over(voc: VocFolder) -> None:
    part = "<part><name>tip</name><bndbox><xmin>1</xmin></bndbox></part></object>"
    voc.annotated("c", voc_object("hole", 2, 2, 9, 9).replace("</object>", part), "<segmented>1</segmented>")
    for name in ("SegmentationClass", "SegmentationObject"):
        save(voc.root / name / "c.png", texture(80, HEIGHT, WIDTH))
    assert voc.load() == 0
    assert voc.boxes["c.png"] == [AnnotatedBox("hole", (1, 1, 9, 9))]


def test_what_cannot_be_used_is_named_together_with_file_and_line(
    voc: VocFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>nan</xmax><ymax>4</ymax></bndbox>"
    voc.annotated(
        "c", voc_object("", 1, 1, 4, 4), "<object><name>hole</name></object>", voc_object("hole", 9, 9, 4, 4),
        f"<object><name>hole</name>{box}</object>", f"<object><name>hole</name>{box.replace('xmin', 'x')}</object>",
        size=(0, 24),
    )  # fmt: skip
    voc.boxed("d", "<annotation>\n<object>\n</annotation>")
    voc.boxed("e", "<boxes/>")
    voc.boxed("f", "")
    message = voc.refused(capsys)
    assert "9 box(es) or file(s) cannot be used" in message
    for reason in (
        "Annotations/c.xml, line 3 (its name is '')", "Annotations/c.xml, line 4 (hole has no bndbox)",
        "Annotations/c.xml, line 5 (hole goes from 9, 9 to 4, 4", "Annotations/c.xml, line 6 (its xmax is 'nan')",
        "Annotations/c.xml, line 7 (it has no xmin)", "Annotations/c.xml, line 2 (its size is 0 x 24)",
        "Annotations/d.xml, line 3: it is no XML: mismatched tag", "Annotations/e.xml, line 1 (it is <boxes>",
        "Annotations/f.xml, line 1: it is no XML: no element found",
    ):  # fmt: skip
        assert reason in message, reason


def test_a_document_type_is_refused_before_an_entity_is_expanded(
    voc: VocFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    entities = '<!DOCTYPE a [\n<!ENTITY x "crack">\n<!ENTITY y SYSTEM "file:///etc/hostname">]>\n'
    voc.boxed("c", f"{entities}<annotation><object><name>&x;&y;</name></object></annotation>")
    assert "Annotations/c.xml, line 1: a document type is not read" in voc.refused(capsys)


def test_sizes_and_places_that_are_not_the_pictures_are_refused_with_file_and_line(
    voc: VocFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    voc.annotated("c", size=(64, 48))
    voc.annotated("d", voc_object("hole", 5, 5, 34, 9))
    turned(voc.root / "JPEGImages/e.jpg", texture(60, HEIGHT, WIDTH))
    (voc.root / "Annotations/e.xml").write_text((voc.root / "Annotations/b.xml").read_text())
    message = voc.refused(capsys)
    assert "3 box(es) or size(s) cannot be used" in message
    assert "Annotations/c.xml, line 2 (its size is 64 x 48 pixels, and its picture 32 x 24)" in message
    assert "Annotations/d.xml, line 3 (its x goes from 4 to 34, and the picture is 32 x 24)" in message
    assert "Annotations/e.xml, line 2 (its size is 32 x 24 pixels, as its picture is stored" in message


def test_names_that_differ_in_case_alone_and_single_classes_are_refused(
    voc: VocFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    voc.annotated("b", voc_object("crack", 1, 1, 4, 4))
    assert "all 2 picture(s) are of the class crack" in voc.refused(capsys)
    voc.annotated("c", voc_object("Crack", 1, 1, 4, 4))
    assert "names that differ in case alone: Crack, crack" in voc.refused(capsys)
