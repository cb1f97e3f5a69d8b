"""A folder with boxes in YOLO's text, through the commands that load it."""

from pathlib import Path

import pytest

from dataset.boxes import AnnotatedBox, Boxes
from dataset.manifest import Manifest
from tests.dataset.boxed_files import YoloFolder
from tests.dataset.masked_files import HEIGHT, WIDTH, turned
from tests.dataset.picture_files import save, texture
from tests.onnx_fixture import tiny_contract


@pytest.fixture
def yolo(tmp_path: Path) -> YoloFolder:
    folder = YoloFolder(tmp_path)
    folder.boxed("a", "0 0.25 0.25 0.5 0.5\n\n1 0.5 0.75 1e-1 0.125\n")
    folder.boxed("b", "")
    folder.write("classes.txt", "crack\nhole\nnever\n")
    return folder


def test_shares_become_pixels_and_the_class_is_the_object_of_the_largest_area(yolo: YoloFolder) -> None:
    yolo.boxed("sub/c", "1 0.49 0.5 1.0 1.0\n0 0.1 0.1 0.1 0.1")  # a third of a pixel outside
    assert yolo.load() == 0
    assert yolo.labels == {"a.png": "crack", "b.png": "good", "sub/c.png": "hole"}
    assert (yolo.description.objects, yolo.description.regions) == (("crack", "hole"), ())
    assert yolo.description.normal_class == "good"
    assert set(yolo.table["mask"]) == {""}
    assert yolo.boxes == {
        "a.png": [AnnotatedBox("crack", (0, 0, 16, 12)), AnnotatedBox("hole", (14.4, 16.5, 17.6, 19.5))],
        "sub/c.png": [AnnotatedBox("hole", (0, 0, 31.68, 24)), AnnotatedBox("crack", (1.6, 1.2, 4.8, 3.6))],
    }
    boxes = Boxes(Manifest.read(yolo.data / "pictures.csv"), tiny_contract(12, 16))
    assert boxes.read(0).corners[0].tolist() == [0, 0, 8, 6]


def test_names_may_lie_beside_the_labels_or_in_yaml_as_a_list_or_by_number(
    yolo: YoloFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    (yolo.root / "classes.txt").rename(yolo.root / "labels/classes.txt")
    assert yolo.load() == 0
    (yolo.root / "labels/classes.txt").unlink()
    for text in ("names: [x, y]\nnc: 2\ntrain: images", "names:\n  1: y\n  0: x\n"):
        yolo.write("data.yaml", text)
        assert yolo.load() == 0
        assert yolo.labels["a.png"] == "x"
    yolo.write("classes.txt", "crack\nhole")
    assert "classes.txt and data.yaml name different classes" in yolo.refused(capsys)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("classes.txt", "crack\n\nhole\n", "classes.txt, line 2: '' is no name"),
        ("classes.txt", "crack\nCrack\n", "classes.txt, line 2: 'Crack' is named twice, or differs"),
        ("classes.txt", "\n", "classes.txt names no class"),
        ("data.yaml", "names: [a, b]\nnc: 3\n", "data.yaml has 2 names, and nc is 3"),
        ("data.yaml", "names: {0: a, 2: b}\n", "data.yaml has no names: they are a list, or 0: first"),
        ("data.yaml", "names: [", "data.yaml is no YAML"),
    ],
)
def test_a_list_of_names_that_is_none_is_refused(
    yolo: YoloFolder, capsys: pytest.CaptureFixture[str], name: str, text: str, reason: str
) -> None:
    (yolo.root / "classes.txt").unlink()
    yolo.write(name, text)
    assert reason in yolo.refused(capsys)


def test_without_names_boxes_are_refused_but_folders_may_be_classes(
    yolo: YoloFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    (yolo.root / "classes.txt").unlink()
    assert "nothing says what their classes are called: write classes.txt" in yolo.refused(capsys)
    save(yolo.root / "labels/x.png", texture(90))
    assert yolo.load("--classes", "top") == 0
    assert yolo.labels == {"images/a.png": "images", "images/b.png": "images", "labels/x.png": "labels"}


def test_lines_that_are_no_box_are_named_together(yolo: YoloFolder, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        "3 .5 .5 .1 .1",
        "-1 .5 .5 .1 .1",
        "0 .5 .5 .1",
        "0 .5 .5 .1 x",
        "0 .5 .5 0 .1",
        "0 16 12 4 4",
        "0 .5 .5 nan 1",
    ]
    yolo.boxed("c", "\n".join(lines))
    (yolo.root / "labels/b.txt").write_bytes(b"\xff\xfe0")
    message = yolo.refused(capsys)
    assert "8 box(es) or file(s) cannot be used" in message
    for reason in (
        "labels/b.txt (it is not UTF-8 at byte 0)",
        "labels/c.txt, line 1 (its class is '3', and 3 are named, from 0 to 2)",
        "labels/c.txt, line 2 (its class is '-1'",
        "labels/c.txt, line 3 (it holds 4 values",
        "labels/c.txt, line 4 (a box has centre x, centre y, width and height as shares of the picture, and this one [",
        "labels/c.txt, line 5 (it has no area",
        "labels/c.txt, line 6 (it holds 16, as if in pixels",
        "labels/c.txt, line 7 (a box has",
    ):
        assert reason in message, reason


def test_a_box_outside_its_picture_is_refused_with_file_and_line(
    yolo: YoloFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    yolo.boxed("c", "0 0.5 0.5 0.1 0.1\n0 0.9 0.5 0.3 0.1\n0 1.01 0.5 0.01 0.1")
    message = yolo.refused(capsys)
    assert "2 box(es) or size(s) cannot be used" in message
    assert "labels/c.txt, line 2 (its x goes from 24 to 33.6, and the picture is 32 x 24)" in message
    assert "labels/c.txt, line 3 (all of it lies outside the picture)" in message


def test_pictures_and_files_without_a_counterpart_are_named_together(
    yolo: YoloFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    yolo.boxed("c", None)
    for name in ("gone.txt", "b.TXT"):
        (yolo.root / "labels" / name).write_text("")
    save(yolo.root / "images/a.bmp", texture(80, HEIGHT, WIDTH))
    save(yolo.root / "x.png", texture(81))
    message = yolo.refused(capsys)
    for reason in (
        "1 picture(s) outside images/: x.png", "1 file(s) of boxes without a picture: labels/gone.txt",
        "1 picture(s) without a file of boxes: c.png", "where nothing is to be found, one that is empty",
        "1 picture(s) that differ in their ending alone: a.bmp and a.png",
        "1 file(s) of boxes that differ in their ending alone: labels/b.",
    ):  # fmt: skip
        assert reason in message, reason


def test_parts_of_a_split_are_joined_and_other_files_left_out_aloud(
    yolo: YoloFolder, caplog: pytest.LogCaptureFixture
) -> None:
    for part in ("train", "val"):
        yolo.boxed(f"{part}/a", "0 .5 .5 .5 .5")
    (yolo.root / "labels.cache").write_bytes(b"x")
    assert yolo.load() == 0
    assert yolo.labels["train/a.png"] == yolo.labels["val/a.png"] == "crack"
    assert "train, val: pictures of all are taken together" in caplog.text
    assert "1 file(s) are no pictures and are left out (1 cache): labels.cache" in caplog.text


def test_shares_are_of_the_upright_picture(yolo: YoloFolder) -> None:
    turned(yolo.root / "images/c.jpg", texture(60, HEIGHT, WIDTH))
    (yolo.root / "labels/c.txt").write_text("0 .5 .25 1 .5")
    assert yolo.load() == 0
    assert yolo.boxes["c.jpg"] == [AnnotatedBox("crack", (0, 0, HEIGHT, WIDTH / 2))]


def test_a_picture_that_cannot_be_read_may_be_left_out_with_its_boxes(
    yolo: YoloFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    yolo.boxed("c", "1 .5 .5 .5 .5")
    (yolo.root / "images/c.png").write_bytes(b"no picture")
    assert "c.png" in yolo.refused(capsys)
    assert yolo.load("--skip-unreadable") == 0
    assert yolo.labels == {"a.png": "crack", "b.png": "good"}
    assert "c.png" not in yolo.boxes


def test_an_object_may_not_be_called_as_the_normal_class_is(
    yolo: YoloFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "crack is the class of pictures without a box, and an object" in yolo.refused(capsys, "--normal", "crack")
    assert yolo.load("--normal", "fine") == 0
    assert yolo.labels["b.png"] == "fine"
