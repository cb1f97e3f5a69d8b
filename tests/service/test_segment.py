"""`/segment` beside `/predict`: the same forms, errors and figures, and outlines where the picture has something."""

import base64
import io
import json
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pycocotools import mask as coco

from demo import serving
from scoring import merge, score, shard
from tests.bento_project import copy_project
from tests.onnx_segmenter import REGION_COLOURS, Spot, draw_spots
from tests.service.conftest import SETTINGS
from tests.service.documented_curl import documented_commands, needs_curl, run_curl
from tests.service.metrics_page import read_metrics, total
from tests.service.requests import code_and_index, png, stage_times_ms, truncated_jpeg
from tests.service.segmenting_models import ABSTAIN_BELOW, HOOK, store_both
from tests.service.test_openapi import TestEveryDocument

pytestmark = pytest.mark.slow

__all__ = ["TestEveryDocument"]  # of this document, too

DEADLINE_S = 5.0
RED: Spot = ("red", (20, 20, 70, 60))
BLUE: Spot = ("blue", (75, 10, 95, 30))
SMALL: tuple[Spot, ...] = (
    ("red", (76, 50, 90, 64)), ("blue", (4, 60, 14, 70)), ("red", (40, 4, 50, 14)), ("blue", (4, 4, 14, 14)),
)  # fmt: skip
SPOTS: tuple[Spot, ...] = (RED, BLUE, *SMALL)
WHITE = png(96, 72, (255, 255, 255))
Answer = dict[str, Any]


def picture(num_spots: int, size: tuple[int, int] = (96, 72), file_format: str = "PNG") -> bytes:
    """Draw the first so many of SPOTS."""
    buffer = io.BytesIO()
    draw_spots(*size, SPOTS[:num_spots]).save(buffer, file_format)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def tags() -> dict[str, str]:
    return {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("segment")


@pytest.fixture(scope="module")
def url(folder: Path, tags: dict[str, str]) -> Iterator[str]:
    """Both models, served from the project's folder in one process."""
    project = copy_project(folder)
    tags.update(store_both(project))
    environment = {
        **project.environment,
        **SETTINGS,
        "VISION_MODEL": "vision-classifier:latest, vision-segmenter:latest",
        "VISION_DEADLINE_MS": str(int(DEADLINE_S * 1e3)),
    }
    with serving("service:Vision", project.folder, environment) as url:
        yield url


def post(url: str, *pictures: bytes, query: str = "", **headers: str) -> httpx.Response:
    files = [("images", data) for data in pictures]
    return httpx.post(f"{url}/segment{query}", files=files, headers=headers, timeout=100)


def pixels_of(region: Answer) -> np.ndarray[Any, Any]:
    """Read a region's mask as a client does."""
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # pycocotools with NumPy 2
        return np.asarray(coco.decode(region["mask"])).astype(bool)


def mask_of(answer: Answer) -> np.ndarray[Any, Any]:
    """Draw an answer's regions as the index mask has them."""
    mask = np.zeros((answer["height"], answer["width"]), np.uint8)
    for region in answer["regions"]:
        mask[pixels_of(region)] = region["class_id"] + 1
    return mask


@pytest.fixture(scope="module")
def document(url: str) -> Answer:
    found: Answer = httpx.get(f"{url}/docs.json").json()
    return found


def test_document_describes_the_answer_its_pictures_and_what_is_refused(url: str, document: Answer) -> None:
    paths, described = document["paths"], document["components"]["schemas"]
    endpoint = paths["/segment"]["post"]
    assert paths["/segment/base64"]["post"]["responses"] == endpoint["responses"]
    content = endpoint["responses"]["200"]["content"]
    assert list(content) == ["application/json", "image/png"], "generated clients take the first"
    assert content["application/json"]["schema"]["items"] == {"$ref": "#/components/schemas/Segmentation"}
    [answer] = post(url, picture(1)).json()
    [region] = answer["regions"]
    parts = {"Segmentation": answer, "Region": region, "Box": region["box"], "RunLengths": region["mask"]}
    for name, part in parts.items():
        assert set(part) == set(described[name]["properties"]) == set(described[name]["required"])
    assert [parameter["name"] for parameter in endpoint["parameters"]] == [
        "X-Request-ID", "overlay", "roi", "tiles", "overlap",
    ]  # fmt: skip
    assert "not_acceptable" in endpoint["responses"]["406"]["description"]
    assert "406" not in paths["/predict"]["post"]["responses"]
    assert "encode" in endpoint["responses"]["200"]["headers"]["Server-Timing"]["description"]


def test_regions_lie_where_the_picture_has_them(url: str, tags: dict[str, str]) -> None:
    [answer] = post(url, picture(2)).json()
    assert (answer["label"], answer["width"], answer["height"]) == ("red", 96, 72)
    assert f"{answer['model']['name']}:{answer['model']['version']}" == tags["segmentation"]
    assert [region["label"] for region in answer["regions"]] == ["red", "blue"], "the largest first"
    for region, (name, box) in zip(answer["regions"], (RED, BLUE), strict=True):
        assert region["label"] == name
        found = [region["box"][side] for side in ("left", "top", "right", "bottom")]
        assert found == pytest.approx(box, abs=1.5), "a cell of the network is one and a half pixels"
        pixels = pixels_of(region)
        assert region["mask"]["size"] == [72, 96]
        assert region["area_px"] == pixels.sum() == coco.area(region["mask"])
        rows, columns = np.nonzero(pixels)
        assert found == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        ellipse = np.pi / 4 * (box[2] - box[0]) * (box[3] - box[1])
        assert region["area_px"] == pytest.approx(ellipse, rel=0.1)
        assert region["area_share"] == pytest.approx(region["area_px"] / (96 * 72))


def test_all_forms_are_answered_alike_and_in_the_order_sent(url: str) -> None:
    pictures = [picture(2), picture(0), picture(1)]
    texts = [base64.b64encode(data).decode() for data in pictures]
    answers = post(url, *pictures).json()
    assert [answer["label"] for answer in answers] == ["red", "grey", "red"]
    assert [len(answer["regions"]) for answer in answers] == [2, 0, 1]
    assert httpx.post(f"{url}/segment", json={"images_b64": texts}).json() == answers
    assert httpx.post(f"{url}/segment/base64", json={"images_b64": texts}).json() == answers
    assert httpx.post(f"{url}/segment", json={"image_b64": texts[0]}).json() == answers[:1]
    raw = httpx.post(f"{url}/segment", content=pictures[0], headers={"Content-Type": "image/png"})
    assert raw.json() == answers[:1]


def test_the_classifier_answers_beside_it_as_it_does_alone(url: str, tags: dict[str, str]) -> None:
    response = httpx.post(f"{url}/predict?overlay=1", files=[("images", png())], headers={"Accept": "image/png"})
    [answer] = response.json()
    assert (answer["label"], "regions" in answer) == ("red", False)
    assert f"{answer['model']['name']}:{answer['model']['version']}" == tags["classification"]
    assert list(stage_times_ms(response)) == ["read", "decode", "queue", "inference", "total"]


@pytest.mark.parametrize(
    ("files", "query", "accept", "expected"),
    [
        ([picture(1), truncated_jpeg()], "", "*/*", (400, "corrupt_image", 1)),
        ([picture(1), b""], "", "*/*", (400, "empty_file", 1)),
        ([picture(1), b"GIF89a not really"], "", "*/*", (415, "unsupported_format", 1)),
        ([png(101, 100)], "", "*/*", (413, "too_many_pixels", 0)),
        ([picture(0)] * 5, "", "*/*", (413, "too_many_images", None)),
        ([picture(1), WHITE], "", "*/*", (422, "model_output_invalid", 1)),
        ([picture(1)], "?overlays=1", "*/*", (400, "unknown_field", None)),
        ([picture(1)], "?overlay=yes", "*/*", (400, "malformed_request", None)),
        ([picture(1)], "", "text/html", (406, "not_acceptable", None)),
        ([picture(1)], "?overlay=1", "application/json", (406, "not_acceptable", None)),
        ([picture(1)] * 2, "", "image/png", (406, "not_acceptable", None)),
        ([picture(1)] * 2, "?overlay=1", "*/*", (406, "not_acceptable", None)),
        ([picture(3)], "", "image/png", (500, "filter_failed", 0)),
        ([picture(1), picture(6)], "", "*/*", (500, "filter_failed", 1)),  # a box beyond the picture
    ],
)
def test_what_is_refused_has_its_status_code_and_index(
    url: str, files: list[bytes], query: str, accept: str, expected: tuple[int, str, int | None]
) -> None:
    response = post(url, *files, query=query, Accept=accept)
    assert (response.status_code, *code_and_index(response)) == expected
    assert "secret" not in response.text


def test_bad_image_and_output_that_is_not_finite_fail_their_own_requests_alone(url: str) -> None:
    bad = [picture(1), WHITE, truncated_jpeg()]
    with ThreadPoolExecutor(12) as pool:
        responses = list(pool.map(lambda i: post(url, picture(2), bad[i % 3]), range(12)))
    for i, response in enumerate(responses):
        assert response.status_code == (200, 422, 400)[i % 3]
        if i % 3:
            assert code_and_index(response)[1] == 1
        else:
            assert [len(answer["regions"]) for answer in response.json()] == [2, 1]


@pytest.mark.parametrize(
    "accept", ["image/png", "image/*", "application/json;q=0.5, image/png;q=0.9", "*/*;q=0.1,image/png"]
)
def test_mask_holds_the_regions_of_the_answer_pixel_by_pixel(url: str, accept: str) -> None:
    [answer] = post(url, picture(2)).json()
    response = post(url, picture(2), Accept=accept)
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
    mask = np.asarray(Image.open(io.BytesIO(response.content)))
    assert np.array_equal(mask, mask_of(answer))
    assert set(np.unique(mask)) == {0, 1, 2}


@pytest.mark.parametrize(
    "accept", ["", "*/*", "application/json", "application/json, image/png", "text/html, */*;q=0.1"]
)
def test_json_is_answered_unless_a_picture_is_preferred(url: str, accept: str) -> None:
    response = post(url, picture(0), Accept=accept)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")


def drawn_on(url: str, data: bytes, accept: str) -> tuple[int, np.ndarray[Any, Any]]:
    """Return by how much the overlay is enlarged, and which of its pixels are not the picture's."""
    plain = Image.open(io.BytesIO(data)).convert("RGB")
    response = post(url, data, query="?overlay=1", Accept=accept)
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
    drawn = Image.open(io.BytesIO(response.content)).convert("RGB")
    scale = drawn.width // plain.width
    assert drawn.size == (plain.width * scale, plain.height * scale), "small pictures are enlarged"
    same = np.asarray(plain.resize(drawn.size, Image.Resampling.NEAREST)).astype(int)
    return scale, np.abs(np.asarray(drawn) - same).max(axis=2) > 30


@pytest.mark.parametrize("accept", ["*/*", "image/png"])
def test_overlay_is_the_picture_with_its_outlines(url: str, accept: str) -> None:
    scale, changed = drawn_on(url, picture(1), accept)
    rows, columns = (places / scale for places in np.nonzero(changed))
    assert (columns.min(), columns.max(), rows.max()) == pytest.approx((20, 70, 60), abs=1), "its name is above it"
    assert not changed[30 * scale : 50 * scale, 30 * scale : 60 * scale].any(), "inside of the outline"
    assert post(url, picture(1), query="?overlay=0").headers["content-type"] == "application/json"


def test_faces_are_blurred_in_the_overlay_and_nowhere_else(url: str) -> None:
    """A face is what is green, which the model takes for background."""
    drawing = Image.open(io.BytesIO(picture(0)))
    drawing.paste((0, 255, 0), (32, 24, 64, 48))
    drawing.paste((0, 0, 0), (47, 24, 49, 48))
    file = io.BytesIO()
    drawing.save(file, "PNG")
    scale, changed = drawn_on(url, file.getvalue(), "image/png")
    assert changed[30 * scale : 42 * scale, 47 * scale : 49 * scale].all(), "the black stripe is gone"
    assert not changed[: 4 * scale].any()
    assert not changed[:, : 8 * scale].any()
    [answer] = post(url, file.getvalue()).json()
    assert (answer["marks"], answer["width"]) == ([], 96)


@needs_curl
@pytest.mark.parametrize("command", documented_commands("whole pictures"))
def test_curl_is_answered_as_readme_and_docs_show_it(url: str, tmp_path: Path, command: str) -> None:
    (tmp_path / "tile.jpg").write_bytes(picture(2, file_format="JPEG"))
    (tmp_path / "other.png").write_bytes(picture(1))
    answered = run_curl(command, url, tmp_path, picture(2))
    if " -o " in command:
        with Image.open(io.BytesIO(answered)) as drawn:
            assert (drawn.format, drawn.mode) == ("PNG", "RGB" if "overlay=1" in command else "P")
        return
    answers = json.loads(answered)
    assert len(answers) == max(1, command.count("images=@"), command.count('"..."'))
    assert all(("regions" in answer) == ("/segment" in command) for answer in answers)


def test_filters_get_the_segmentation_and_the_mask_holds_what_they_leave(url: str) -> None:
    [sure], [unsure] = post(url, picture(1)).json(), post(url, faint()).json()
    assert (sure["abstained"], sure["abstain_below"]) == (False, ABSTAIN_BELOW)
    assert unsure["abstained"]
    assert unsure["probability"] < ABSTAIN_BELOW
    [largest] = post(url, picture(5)).json()
    assert ([region["label"] for region in largest["regions"]], largest["num_regions"]) == (["red"], 1)
    mask = np.asarray(Image.open(io.BytesIO(post(url, picture(5), Accept="image/png").content)))
    assert np.array_equal(mask, mask_of(largest))
    scale, changed = drawn_on(url, picture(5), "*/*")
    columns = np.nonzero(changed)[1] / scale
    assert (columns.min(), columns.max()) == pytest.approx((20, 70), abs=1), "of the largest alone"


def test_picture_that_is_scored_offline_has_the_regions_of_the_answer(
    url: str, tags: dict[str, str], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = ModuleType("hooks.rules")  # the model's, which is only in this process while the test runs
    exec(HOOK, rules.__dict__)
    monkeypatch.setitem(sys.modules, rules.__name__, rules)
    pictures = {
        "jpeg.jpg": picture(2, (90, 81), "JPEG"), "none.png": picture(0), "one.png": picture(1),
        "largest_of_five.png": picture(5), "fails.png": picture(3), "unsure.png": faint(), "white.png": WHITE,
    }  # fmt: skip
    (tmp_path / "pictures").mkdir()
    for name, data in pictures.items():
        (tmp_path / "pictures" / name).write_bytes(data)
    model = folder / "home/models" / tags["segmentation"].replace(":", "/")
    run_dir = str(tmp_path / "run")
    assert shard.main([str(tmp_path / "pictures"), run_dir, "--task", "segmentation", "--model", str(model)]) == 0
    assert score.main([run_dir]) == 0
    assert merge.main([run_dir]) == 0
    num_answered = 0
    for row in pq.read_table(tmp_path / "run/scores.parquet").to_pylist():
        response = post(url, pictures[row["path"]])
        if response.status_code != 200:
            assert (row["error"], row["regions"]) == (code_and_index(response)[0], None)
            continue
        num_answered += 1
        [answer] = response.json()
        same = ("label", "class_id", "abstained", "width", "height", "num_regions", "regions")
        assert {name: row[name] for name in same} == {name: answer[name] for name in same}
        assert row["probability"] == answer["probability"]
    assert num_answered == 5


def faint() -> bytes:
    """A region of about as much of the picture as decides between the classes."""
    buffer = io.BytesIO()
    image = Image.new("RGB", (96, 72), (120, 120, 120))
    image.paste(REGION_COLOURS["red"], (30, 30, 42, 42))
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_hook_that_hangs_misses_the_deadline_and_others_are_answered(url: str) -> None:
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(post, url, picture(4))
        assert post(url, picture(1)).status_code == 200
        response = slow.result()
    assert (response.status_code, *code_and_index(response)) == (504, "deadline_exceeded", None)


def test_answer_names_all_stages_and_the_log_line_has_the_same_numbers(url: str, folder: Path) -> None:
    response = post(url, picture(2), picture(1), **{"X-Request-ID": "segmented-1"})
    stages = stage_times_ms(response)
    assert list(stages) == ["read", "decode", "queue", "inference", "encode", "total"]
    assert stages["encode"] > 0
    assert sum(stages[name] for name in list(stages)[:-1]) <= stages["total"] + 0.05
    httpx.get(f"{url}/nothing")  # its line comes after that of the answer
    log = (folder / "project" / "server.log").read_text()
    [line] = [json.loads(line) for line in log.splitlines() if line.startswith("{") and "segmented-1" in line]
    assert {name: line[f"{name}_ms"] for name in stages} == stages
    assert (line["path"], line["status"], line["images"]) == ("/segment", 200, 2)


def test_each_endpoint_is_counted_apart(url: str) -> None:
    before = read_metrics(url)
    assert post(url, picture(2), picture(0)).status_code == 200
    assert post(url, WHITE).status_code == 422
    assert post(url, b"\x89PNG", query="?overlay=2").status_code == 400
    after = read_metrics(url)

    def grown(name: str, **labels: str) -> float:
        return total(after, name, **labels) - total(before, name, **labels)

    labels = ("blue", "grey", "red")
    assert [grown("vision_segment_predictions_total", label=label) for label in labels] == [0, 1, 1]
    assert [grown("vision_segment_regions_total", label=label) for label in ("blue", "red")] == [1, 1]
    assert grown("vision_segment_refusals_total", reason="model_output_invalid") == 1
    assert grown("vision_segment_refusals_total", reason="malformed_request") == 1
    assert grown("vision_segment_batch_images_sum") == 3
    assert grown("vision_segment_encode_seconds_count") == 1
    for name in ("predictions_total", "refusals_total", "batch_images_count", "inference_seconds_count"):
        assert grown(f"vision_{name}") == 0, "of the classifier"
