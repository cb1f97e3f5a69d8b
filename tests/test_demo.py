"""The demo asks about a picture of each class, shows them and leaves nothing running."""

import base64
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from dataset.annotations import write_mask
from dataset.boxes import BoxesOfPicture
from demo import (
    NEXT,
    DemoError,
    describe,
    describe_one,
    in_one_request,
    next_steps,
    pictures_of_test_split,
    summarise,
)
from demo_answers import Picture, found_in_words, overlap, with_boxes
from demo_sheet import render
from runtime.answers.pipeline import PipelineResult, StageTimes
from runtime.answers.results import ModelIdentity, Prediction
from runtime.answers.segmentation import Box, Region, RunLengths, Segmentation
from runtime.model.contract import Task
from runtime.serving.settings import ServingSettings
from tests.bento_project import ROOT, Project, copy_project, write_pictures
from tests.onnx_detector import BESIDE, CONTRACT, SPOT, write_data
from tests.onnx_segmenter import SpottedData

MANIFEST = """path,label,group,split
pictures/red.png,red,a,train
pictures/green.png,green,b,test
pictures/blue.png,red,c,test
pictures/red.png,green,d,test
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a built Bento and a manifest of three pictures."""
    project = copy_project(tmp_path_factory.mktemp("demo"))
    for name in ("demo.py", "demo_answers.py", "demo_sheet.py"):
        shutil.copyfile(ROOT / name, project.folder / name)
    shutil.copytree(ROOT / "benchmarks", project.folder / "benchmarks", ignore=shutil.ignore_patterns("__pycache__"))
    pictures = project.folder / "data" / "pictures"
    pictures.mkdir(parents=True)
    write_pictures(pictures)
    (project.folder / "data" / "manifest.csv").write_text(MANIFEST)
    project.register()
    built = project.build()
    assert built.returncode == 0, built.stderr
    return project


def run_demo(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "demo.py", *arguments],
        cwd=project.folder,
        env=project.environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


def servers_of(project: Project) -> list[str]:
    """Command lines of running processes that name this project's Bento."""
    version = (project.home / "bentos" / "vision" / "latest").read_text().strip()
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it ended while we looked
    return [line for line in lines if version in line]


@pytest.mark.slow
def test_demo_asks_about_the_first_test_picture_of_each_class_and_leaves_no_process(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the environment names proxies that nobody is, and exempts nothing from them."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name)
    done = run_demo(project)
    assert done.returncode == 0, done.stderr
    assert "asking it about 2 picture(s)" in done.stdout
    assert re.search(r"green\.png +green +green +99\.6%\n", done.stdout)
    assert re.search(r"blue\.png +red +blue +99\.\d%  wrong\n1 of 2 right \(50%\)", done.stdout)
    page = (project.folder / "artifacts/demo.html").read_text()
    assert page.count('<img src="data:image/jpeg;base64,') == 2
    bento = next((project.home / "bentos" / "vision").glob("*/bento.yaml")).parent
    for place in ("artifacts/report.html", "artifacts/MODEL_CARD.md", str(bento)):
        assert place in done.stdout
    assert servers_of(project) == []


@pytest.mark.slow
def test_ctrl_c_ends_the_demo_in_one_line_and_the_server_with_it(project: Project) -> None:
    demo = subprocess.Popen(
        [sys.executable, "demo.py"], cwd=project.folder, env=project.environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 600
    while not servers_of(project) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert servers_of(project)
    os.killpg(demo.pid, signal.SIGINT)
    _, error = demo.communicate(timeout=600)
    assert demo.returncode == 130
    assert error.strip().splitlines()[-1] == "demo: stopped, and the server with it; nothing was changed"
    assert "Traceback" not in error
    assert servers_of(project) == []


ANSWER = Prediction(
    label="b",
    class_id=1,
    probability=0.75,
    probabilities={"a": 0.25, "b": 0.75},
    logits={"a": 0, "b": 1},
    model=ModelIdentity(name="m", version="1", sha256="0" * 64),
)


def test_picture_of_ones_own_is_described_by_all_probabilities() -> None:
    lines = describe_one(Path("own.png"), ANSWER).splitlines()
    assert lines[:2] == ["picture      own.png", "answer       b (75.0%)"]
    assert [line.split()[:2] for line in lines[2:]] == [["b", "75.0%"], ["a", "25.0%"]]


def test_a_wrong_answer_is_called_wrong_and_a_right_one_is_not(tmp_path: Path) -> None:
    paths = write_pictures(tmp_path)
    pictures = [Picture(paths["red"], "a<b"), Picture(paths["green"], "b")]
    table = describe(pictures, [ANSWER, ANSWER]).splitlines()
    assert [row.split()[1:] for row in table[1:]] == [["a<b", "b", "75.0%", "wrong"], ["b", "b", "75.0%"]]
    summary = summarise(pictures, [ANSWER, ANSWER], num_classes=3, report=Path("report.html"))
    assert summary.startswith(
        "1 of 2 right (50%), one picture of each class (of 3 classes; one request carries no more)"
    )
    page = render(pictures, [ANSWER, ANSWER], summary, max_value=None)
    assert [page.count(word) for word in ("<figure class=wrong>", "<figure>", "is <b>a&lt;b</b>")] == [1, 1, 1]


def _outlined(left: int, mask: Path) -> tuple[Picture, Segmentation]:
    """A red picture of 80 x 40 whose mask marks columns 10 to 29, and an answer with one region of 20 columns."""
    path = write_pictures(mask.parent)["red"]
    Image.new("RGB", (80, 40), "red").save(path)
    truth = np.zeros((40, 80), np.uint8)
    truth[10:20, 10:30] = 1
    write_mask(mask, truth)
    found = np.zeros((40, 80), np.uint8)
    found[10:20, left : left + 20] = 1
    counts = coco.encode(np.asfortranarray(found))["counts"].decode()
    box = Box(left=left, top=10, right=left + 20, bottom=20)
    lengths = RunLengths(size=(40, 80), counts=counts)
    region = Region(label="b", class_id=0, score=0.9, box=box, area_px=200, area_share=1 / 16, mask=lengths)
    more = {"width": 80, "height": 40, "regions": [region], "num_regions": 1}
    return Picture(path, "b", mask), Segmentation.model_validate({**ANSWER.model_dump(), **more})


def test_outlines_stand_beside_the_mask_with_their_overlap(tmp_path: Path) -> None:
    picture, answer = _outlined(20, tmp_path / "mask.png")
    assert overlap(picture, answer) == pytest.approx(100 / 300)
    assert describe([picture], [answer]).splitlines()[1].endswith("1 x b    overlap with the mask 33%")
    assert "b at 20, 10 to 40, 20: 200 pixels (6.25%), score 0.90" in describe_one(picture.path, answer)
    page = render([picture], [answer], "summary", max_value=None)
    shown = [Image.open(BytesIO(base64.b64decode(data))) for data in re.findall(r"base64,([^\"]+)", page)]
    # Blue is where a line was drawn on the red picture: nowhere, around the mask, around the answer.
    lines = [np.flatnonzero((np.asarray(image.convert("RGB"))[..., 1] > 60).any(axis=0)) for image in shown]
    assert [line.size > 0 for line in lines] == [False, True, True]
    assert abs(lines[1].min() - 10) <= 2
    assert abs(lines[2].min() - 20) <= 2


def test_where_nothing_is_marked_and_nothing_found_there_is_no_overlap(tmp_path: Path) -> None:
    _, answer = _outlined(20, tmp_path / "mask.png")
    nothing = answer.model_copy(update={"regions": []})
    assert overlap(Picture(tmp_path / "red.png", "b"), nothing) is None
    assert overlap(Picture(tmp_path / "red.png", "b"), answer) == 0


FOUND = {
    "classifications": [], "classified": "no_classifier", "masked": "no_segmenter", "image_id": "0", "trace_id": "0",
    "timings": dict.fromkeys(StageTimes.model_fields, 0), "inference_ms": 0, "models": [],
    "width": 64, "height": 48,
}  # fmt: skip


def _boxed(*found: tuple[str, tuple[float, ...]]) -> PipelineResult:
    """An answer with these boxes, the surest first."""
    detections = [
        {"box": dict(zip(("x1", "y1", "x2", "y2"), corners, strict=True)), "score": 0.9 - place / 10}
        | {"class_id": CONTRACT.objects.index(name), "class_name": name}
        for place, (name, corners) in enumerate(found)
    ]
    unclassified = [{"detection_index": place, "reason": "no_classifier"} for place in range(len(found))]
    more = {"detections": detections, "unclassified": unclassified}
    return PipelineResult.model_validate({**ANSWER.model_dump(), **FOUND, **more})


@pytest.fixture
def spotted(tmp_path: Path) -> dict[str, Picture]:
    """A test picture of each class with its true boxes: `SPOT` in blue and red ones, none in grey ones."""
    write_data(tmp_path, SpottedData(splits=("train", "test")))
    manifest_path = tmp_path / "manifest.csv"
    pictures = with_boxes(pictures_of_test_split(manifest_path), manifest_path, CONTRACT)
    return {picture.label: picture for picture in pictures}


def test_boxes_count_as_found_by_name_and_overlap_and_others_as_wrong(spotted: dict[str, Picture]) -> None:
    red, grey = spotted["red"], spotted["grey"]
    assert found_in_words(red, _boxed(("red", BESIDE))) == "1 of 1 found"
    assert found_in_words(red, _boxed(("red", SPOT), ("red", BESIDE))) == "1 of 1 found, 1 wrong"
    assert found_in_words(red, _boxed(("blue", SPOT))) == "0 of 1 found, 1 wrong"
    assert found_in_words(red, _boxed()) == "0 of 1 found"
    assert found_in_words(grey, _boxed()) == "nothing to find"
    assert found_in_words(grey, _boxed(("red", SPOT))) == "nothing to find, 1 wrong"
    assert red.boxes is not None
    unknown = BoxesOfPicture(red.boxes.corners, red.boxes.objects, np.array([True]))
    assert found_in_words(replace(red, boxes=unknown), _boxed(("red", SPOT))) == "nothing to find"
    table = describe([red, grey], [_boxed(("red", SPOT)), _boxed()]).splitlines()
    assert [re.split("  +", line)[-2:] for line in table[1:]] == [
        ["1 x red", "1 of 1 found"],
        ["no object", "nothing to find"],
    ]
    assert "red at 10, 8 to 40, 28, score 0.90" in describe_one(red.path, _boxed(("red", SPOT)))
    assert "no object" in describe_one(red.path, _boxed())


def test_true_and_answered_boxes_stand_side_by_side(spotted: dict[str, Picture]) -> None:
    page = render([spotted["grey"], spotted["red"]], [_boxed(), _boxed(("red", BESIDE))], "summary", max_value=None)
    shown = [np.asarray(Image.open(BytesIO(base64.b64decode(d)))) for d in re.findall(r"base64,([^\"]+)", page)]
    assert len(shown) == 6
    plain, truth, answer = (image.astype(int) for image in shown[3:])
    for drawn, (left, top, right, bottom) in ((truth, SPOT), (answer, BESIDE)):
        rows, columns = np.nonzero(np.abs(drawn - plain).max(axis=2) > 40)
        ends = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        assert np.abs(np.subtract(ends, (left, top, right, bottom))).max() <= 4
    assert "1 x red; 1 of 1 found" in page
    assert (shown[0] == shown[1]).all(), "nothing is known to be in a grey one"
    page = render([spotted["red"]], [_boxed(("red", (0, 0, 64, 48)))], "summary", max_value=None)
    (*_, drawn) = (np.asarray(Image.open(BytesIO(base64.b64decode(d)))) for d in re.findall(r"base64,([^\"]+)", page))
    is_line = np.abs(drawn.astype(int) - plain).max(axis=2) > 40
    assert all(edge.mean() > 0.8 for edge in (is_line[:2].any(0), is_line[-2:].any(0), is_line[:, :2].any(1)))
    assert is_line[:, -2:].any(1).mean() > 0.8, "a box that fills its picture is seen on every side"


def test_no_more_is_asked_than_one_request_carries(tmp_path: Path) -> None:
    pictures = [Picture(tmp_path / f"{number}.jpg", str(number)) for number in range(4)]
    for picture in pictures:
        picture.path.write_bytes(b"x" * 100_000)
    assert in_one_request(pictures, ServingSettings(max_images_per_request=3)) == pictures[:3]
    assert in_one_request(pictures, ServingSettings(max_body_bytes=250_000)) == pictures[:2]
    assert in_one_request(pictures, ServingSettings(max_body_bytes=50_000)) == pictures[:1]
    with pytest.raises(DemoError, match=r"there is no picture gone\.jpg"):
        in_one_request([Picture(Path("gone.jpg"), "")], ServingSettings())


def test_what_to_do_next_is_what_readme_says() -> None:
    tasks: tuple[tuple[Task, str], ...] = (("segmentation", "segment"), ("detection", "detect"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [line.split(maxsplit=1)[1].split("   ")[-1].strip() for line in NEXT.splitlines()[1:]]
    own = [command for command in commands if f"\n$ {command}\n" not in readme]
    assert (len(commands), own) == (4, [".venv/bin/python demo.py --picture path/to/picture.jpg"])
    for task, word in tasks:
        steps = next_steps(task)
        assert f"make demo TASK={word} DATA=path/to/pictures" in steps
        assert f"make containerize TASK={word}\n" in f"{steps}\n"
        assert f".venv/bin/python demo.py --task {task} --picture path/to/picture.jpg" in steps


@pytest.mark.slow
def test_server_that_does_not_start_shows_its_log_and_leaves_no_process(project: Project, tmp_path: Path) -> None:
    broken = Project(project.folder, Path(shutil.copytree(project.home, tmp_path / "home")))
    [model] = broken.home.glob("models/vision-classifier/*/model.onnx")
    model.write_bytes(b"broken")
    done = run_demo(broken)
    assert done.returncode == 2
    assert re.search(r"does not start: it ended with code \d+; the end of its log:", done.stderr)
    assert "cannot be loaded as an ONNX model" in done.stderr
    assert servers_of(broken) == []


@pytest.mark.slow
def test_missing_bento_names_the_command(project: Project, tmp_path: Path) -> None:
    done = run_demo(Project(project.folder, tmp_path / "home"))
    assert (done.returncode, done.stderr.startswith("there is no Bento vision:latest; run `make bento`")) == (2, True)


def test_manifest_without_test_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("path,label,split\na.png,a,train\n")
    with pytest.raises(DemoError, match=r"no picture in the test split; run `make data`"):
        pictures_of_test_split(tmp_path / "manifest.csv")
