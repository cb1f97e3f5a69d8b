"""`/detect`: what is found is named, each model behind the detector may fail, and every failure is said by name."""

import base64
import io
import json
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import bentoml
import httpx
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from demo import serving
from runtime.answers.pipeline import PipelineResult
from tests.bento_project import Project, copy_project
from tests.bentoml_home import bentoml_home
from tests.onnx_fixture import write_tiny_model
from tests.onnx_segmenter import store_segmenter
from tests.service.conftest import SETTINGS
from tests.service.detecting_models import (
    BLUE,
    DEEP,
    SHALLOW,
    TROUBLE,
    box_in_picture,
    draw_objects,
    store_crop_classifier,
    store_detector,
)
from tests.service.documented_curl import documented_commands, needs_curl, run_curl
from tests.service.metrics_page import read_metrics, total
from tests.service.requests import code_and_index, png, stage_times_ms, truncated_jpeg
from tests.service.test_openapi import TestEveryDocument
from tests.service.waiting import wait_for

pytestmark = pytest.mark.slow

__all__ = ["TestEveryDocument"]  # of this document, too

DEADLINE_S, SHARE = 8.0, 0.4
WHITE = png(96, 72, (255, 255, 255))
TWO = draw_objects({0: DEEP, 3: BLUE})
HOOK = '''
"""Rules of this deployment, told apart by how many objects there are."""

from runtime.results import PipelineResult


def check(answer: PipelineResult, *, fails_at: int, reds_of: int) -> PipelineResult:
    if len(answer.detections) == fails_at:
        raise ValueError("secret")
    if len(answer.detections) == reds_of:
        return answer.kept(lambda detection: detection.class_name == "red")
    return answer
'''
# By the width of the picture, which no other test sends.
LOOKS = """
import threading

from runtime.results import Seen


def load(*, withheld: int, marked: int, fails: int, hangs: int):
    def look(pixels, answer):
        width = pixels.shape[1]
        if width == withheld:
            return Seen(answer, withheld="not shown to anybody")
        if width == fails:
            raise ValueError("secret")
        if width == hangs:
            threading.Event().wait(4)
        return Seen(answer.model_copy(update={"marks": ("looked at",)}) if width == marked else answer)

    return look
"""
WITHHELD, MARKED, FAILS, HANGS = 91, 92, 93, 94
FILTERS = (
    {"kind": "abstain", "below": 0.9},
    {"kind": "hook", "path": "hooks.rules:check", "options": {"fails_at": 3, "reds_of": 4}},
    {
        "kind": "image",
        "path": "hooks.looks:load",
        "options": {"withheld": WITHHELD, "marked": MARKED, "fails": FAILS, "hangs": HANGS},
    },
)
Answer = dict[str, Any]


def store_all(project: Project) -> dict[str, str]:
    """Put a model of every role into the project's store, the detector with its filters; return their tags by stage."""
    (project.folder / "hooks").mkdir(exist_ok=True)
    (project.folder / "hooks/rules.py").write_text(HOOK)
    (project.folder / "hooks/looks.py").write_text(LOOKS)
    with bentoml_home(project.home):
        with bentoml.models.create("vision-classifier") as classifier:
            write_tiny_model(Path(classifier.path))
        return {
            "detect": store_detector(filters=FILTERS),
            "classify": store_crop_classifier(filters=[{"kind": "abstain", "below": 0.99}]),
            "mask": store_segmenter(),
        }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("detect")


@pytest.fixture(scope="module")
def project(folder: Path) -> Project:
    return copy_project(folder)


@pytest.fixture(scope="module")
def tags(project: Project) -> dict[str, str]:
    return store_all(project)


@pytest.fixture(scope="module")
def url(project: Project, tags: dict[str, str]) -> Iterator[str]:
    """A classifier, a segmenter, a detector and a classifier of its crops, served in one process."""
    environment = {
        **project.environment,
        **SETTINGS,
        "VISION_MODEL": ",".join(["vision-classifier:latest", *tags.values()]),
        "VISION_DEADLINE_MS": str(int(DEADLINE_S * 1e3)),
        "VISION_CLASSIFY_SHARE": str(SHARE),
        "VISION_SESSIONS": "1",
    }
    with serving("service:Vision", project.folder, environment) as url:
        yield url


@pytest.fixture(scope="module")
def document(url: str) -> Answer:
    found: Answer = httpx.get(f"{url}/docs.json").json()
    return found


def post(url: str, *pictures: bytes, query: str = "", **headers: str) -> httpx.Response:
    files = [("images", data) for data in pictures]
    return client().post(f"{url}/detect{query}", files=files, headers=headers)


@cache
def client() -> httpx.Client:
    """One for all: to make one takes longer than to ask."""
    return httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), timeout=100)


def detect(url: str, picture: bytes) -> Answer:
    """Ask about one picture; the answer is checked as a client of ours would read it."""
    response = post(url, picture)
    assert response.status_code == 200, response.text
    [answer] = response.json()
    PipelineResult.model_validate(answer)
    found: Answer = answer
    return found


def edges(detection: Answer) -> list[float]:
    return [detection["box"][name] for name in ("x1", "y1", "x2", "y2")]


def without_times(answers: list[Answer]) -> list[Answer]:
    changing = ("timings", "inference_ms", "trace_id")
    return [{name: value for name, value in answer.items() if name not in changing} for answer in answers]


def test_what_is_found_lies_in_its_box_and_is_named(url: str, tags: dict[str, str]) -> None:
    answer = detect(url, draw_objects({0: DEEP, 1: SHALLOW}))
    assert (answer["label"], answer["width"], answer["height"]) == ("red", 96, 72)
    found = sorted(edges(one) for one in answer["detections"])
    for box, quarter in zip(found, (0, 1), strict=True):  # they reach beyond the picture, and end at its edges
        assert box == pytest.approx(box_in_picture(quarter))
    assert [one["class_name"] for one in answer["detections"]] == ["red", "red"]
    names = {
        tuple(edges(answer["detections"][one["detection_index"]])): one["class_name"]
        for one in answer["classifications"]
    }
    by_corner = {(box[0] > 40, box[1] > 30): name for box, name in names.items()}
    assert by_corner == {(False, False): "deep", (True, False): "shallow"}
    assert (answer["classified"], answer["unclassified"], answer["masked"]) == ("done", [], "done")
    assert answer["image_id"] == sha256(draw_objects({0: DEEP, 1: SHALLOW})).hexdigest()


def test_every_answer_names_its_models_its_trace_and_the_time_of_each_stage(url: str, tags: dict[str, str]) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    [answer] = post(url, TWO, traceparent=f"00-{trace}-00f067aa0ba902b7-01").json()
    assert answer["trace_id"] == trace
    response = post(url, TWO, **{"X-Request-ID": "mine-1"})
    assert response.json()[0]["trace_id"] == response.headers["x-request-id"] == "mine-1"
    assert [model["stage"] for model in answer["models"]] == ["detect", "classify", "mask"]
    for model in answer["models"]:
        assert f"{model['name']}:{model['version']}" == tags[model["stage"]]
        assert len(model["sha256"]) == 64
    times = answer["timings"]
    assert list(times) == ["decode_ms", "queue_ms", "detect_ms", "crop_ms", "classify_ms", "mask_ms"]
    assert all(times[name] > 0 for name in times if name != "queue_ms")
    assert times["detect_ms"] < answer["inference_ms"] <= times["detect_ms"] + times["classify_ms"]


def test_header_and_log_line_have_all_stages(url: str, folder: Path) -> None:
    response = post(url, TWO, draw_objects({}), **{"X-Request-ID": "detected-1"})
    stages = stage_times_ms(response)
    assert list(stages) == ["read", "decode", "queue", "detect", "crop", "classify", "mask", "encode", "total"]
    assert all(stages[name] > 0 for name in ("decode", "detect", "crop", "classify", "mask", "encode"))
    httpx.get(f"{url}/nothing")  # its line comes after that of the answer
    log = (folder / "project" / "server.log").read_text()
    [line] = [json.loads(line) for line in log.splitlines() if line.startswith("{") and "detected-1" in line]
    assert {name: line[f"{name}_ms"] for name in stages} == stages
    assert (line["path"], line["status"], line["images"], line["batch_images"]) == ("/detect", 200, 2, 2)


def test_masks_are_what_the_segmenter_sees_in_the_box(url: str) -> None:
    answer = detect(url, TWO)
    for detection in answer["detections"]:
        x1, y1, x2, y2 = edges(detection)
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # pycocotools with NumPy 2
            pixels = np.asarray(coco.decode(detection["mask_rle"])).astype(bool)
        rows, columns = np.nonzero(pixels)
        assert pixels.shape == (72, 96)
        assert x1 - 0.5 <= columns.min() <= x1 + 2
        assert x2 - 2 <= columns.max() + 0.5 <= x2
        assert pixels.sum() == pytest.approx((x2 - x1) * (y2 - y1), rel=0.1)
        assert len(rows) == coco.area(detection["mask_rle"])


def test_nothing_found_is_an_empty_list(url: str) -> None:
    answer = detect(url, draw_objects({}))
    assert (answer["label"], answer["detections"], answer["classifications"]) == ("grey", [], [])
    assert (answer["classified"], answer["masked"], answer["unclassified"]) == ("done", "done", [])


def test_all_forms_are_answered_alike_and_in_the_order_sent(url: str) -> None:
    pictures = [TWO, draw_objects({}), draw_objects({1: SHALLOW}, file_format="TIFF")]
    texts = [base64.b64encode(data).decode() for data in pictures]
    answers = without_times(post(url, *pictures).json())
    assert [len(answer["detections"]) for answer in answers] == [2, 0, 1]
    assert without_times(httpx.post(f"{url}/detect", json={"images_b64": texts}).json()) == answers
    assert without_times(httpx.post(f"{url}/detect/base64", json={"image_b64": texts[0]}).json()) == answers[:1]
    raw = httpx.post(f"{url}/detect", content=pictures[0], headers={"Content-Type": "image/png"})
    assert without_times(raw.json()) == answers[:1]


def test_picture_on_its_side_is_cut_where_a_person_sees_it(url: str) -> None:
    """A crop of the stored picture at the same place would be grey, which is shallow."""
    upright = Image.open(io.BytesIO(draw_objects({1: DEEP})))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored so that it must be turned right by a quarter
    file = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(file, "PNG", exif=exif)
    answer = detect(url, file.getvalue())
    assert (answer["width"], answer["height"]) == (96, 72)
    assert edges(answer["detections"][0]) == pytest.approx(box_in_picture(1))
    assert [one["class_name"] for one in answer["classifications"]] == ["deep"]


def test_crops_that_are_too_small_or_overflow_are_not_classified_and_say_so(url: str) -> None:
    small = detect(url, draw_objects({0: DEEP, 3: DEEP}, size=(16, 12)))
    assert len(small["detections"]) == 2
    assert (small["classifications"], small["classified"]) == ([], "done")
    assert small["unclassified"] == [{"detection_index": i, "reason": "too_small"} for i in (0, 1)]
    mixed = detect(url, draw_objects({0: DEEP, 3: TROUBLE["not finite"]}))
    [classified], [unclassified] = mixed["classifications"], mixed["unclassified"]
    assert (classified["class_name"], unclassified["reason"], mixed["classified"]) == ("deep", "not_finite", "done")
    assert {classified["detection_index"], unclassified["detection_index"]} == {0, 1}


def test_classifier_that_fails_costs_the_classifications_and_nothing_else(url: str, folder: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        failing = pool.submit(detect, url, draw_objects({0: TROUBLE["fails"], 3: DEEP}))
        other = pool.submit(detect, url, TWO)
    answer = failing.result()
    assert len(answer["detections"]) == 2
    assert (answer["classifications"], answer["classified"], answer["masked"]) == ([], "failed", "done")
    assert [entry["reason"] for entry in answer["unclassified"]] == ["failed", "failed"]
    assert other.result()["classified"] == "done"
    assert "classifying crops failed" in (folder / "project" / "server.log").read_text()


def test_crops_of_several_requests_share_batches(url: str) -> None:
    """While one crop takes its time the others gather, as only one batch runs at a time."""
    before = read_metrics(url)

    def grown(name: str, **labels: str) -> float:
        return total(read_metrics(url), name, **labels) - total(before, name, **labels)

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(detect, url, draw_objects({0: TROUBLE["slow"]}))
        wait_for(lambda: grown("vision_detect_batch_images_count") == 1, "the first to be detected")
        others = [pool.submit(detect, url, TWO) for _ in range(4)]
    assert [answer.result()["classified"] for answer in (first, *others)] == ["done"] * 5
    assert grown("vision_crop_batch_images_sum") == 9
    assert grown("vision_crop_batch_requests_sum") > grown("vision_crop_batch_requests_count")
    assert grown("vision_crop_batch_images_count") < 5, "one call for each request would be five"


def test_classifier_that_is_late_costs_the_classifications_and_says_so(url: str) -> None:
    response = post(url, draw_objects({0: TROUBLE["very slow"]}))
    [answer] = response.json()
    assert (response.status_code, len(answer["detections"])) == (200, 1)
    assert (answer["classified"], answer["classifications"]) == ("deadline", [])
    assert answer["unclassified"] == [{"detection_index": 0, "reason": "deadline"}]
    assert SHARE * DEADLINE_S * 0.9 < stage_times_ms(response)["classify"] / 1e3 < DEADLINE_S
    assert answer["masked"] == "done"
    wait_for(lambda: detect(url, TWO)["classified"] == "done", "the classifier")


@pytest.mark.parametrize(
    ("files", "query", "expected"),
    [
        ([TWO, truncated_jpeg()], "", (400, "corrupt_image", 1)),
        ([TWO, b""], "", (400, "empty_file", 1)),
        ([TWO, b"GIF89a not really"], "", (415, "unsupported_format", 1)),
        ([png(101, 100)], "", (413, "too_many_pixels", 0)),
        ([TWO] * 5, "", (413, "too_many_images", None)),
        ([TWO, WHITE], "", (422, "model_output_invalid", 1)),
        ([TWO], "?overlay=1", (400, "unknown_field", None)),
        ([draw_objects({0: DEEP, 1: DEEP, 2: DEEP})], "", (500, "filter_failed", 0)),
        ([TWO, draw_objects({}, (WITHHELD, 72))], "", (422, "withheld", 1)),
        ([draw_objects({}, (FAILS, 72))], "", (503, "not_checked", 0)),
        ([draw_objects({}, (HANGS, 72))], "", (503, "not_checked", 0)),
    ],
)
def test_what_is_refused_has_its_status_code_and_index(
    url: str, files: list[bytes], query: str, expected: tuple[int, str, int | None]
) -> None:
    response = post(url, *files, query=query)
    assert (response.status_code, *code_and_index(response)) == expected
    assert "secret" not in response.text


def test_bad_picture_fails_its_own_request_alone(url: str) -> None:
    bad = [draw_objects({1: DEEP}), WHITE, truncated_jpeg()]
    with ThreadPoolExecutor(6) as pool:
        responses = list(pool.map(lambda i: post(url, TWO, bad[i % 3]), range(6)))
    for i, response in enumerate(responses):
        assert response.status_code == (200, 422, 400)[i % 3]
        if response.status_code == 200:
            assert [answer["classified"] for answer in response.json()] == ["done", "done"]


def test_filters_get_the_whole_answer_and_what_they_leave_is_counted_anew(url: str) -> None:
    answer = detect(url, draw_objects({0: SHALLOW, 1: BLUE, 2: DEEP, 3: BLUE}))
    assert [one["class_name"] for one in answer["detections"]] == ["red", "red"]
    found = {answer["detections"][one["detection_index"]]["box"]["y1"]: one for one in answer["classifications"]}
    assert [found[y]["class_name"] for y in sorted(found)] == ["shallow", "deep"]
    assert answer["abstain_below"] == 0.9
    assert [one["abstained"] for one in answer["classifications"]] == [False, False]
    unsure = detect(url, draw_objects({0: (220, 50, 20)}))
    assert unsure["classifications"][0]["abstained"], "the filters of the classifier of crops, too"


def test_filter_that_looks_at_pixels_marks_the_answer(url: str) -> None:
    assert detect(url, draw_objects({0: DEEP}, (MARKED, 72)))["marks"] == ["looked at"]
    assert detect(url, TWO)["marks"] == []


def test_the_other_endpoints_answer_beside_it(url: str) -> None:
    [predicted] = httpx.post(f"{url}/predict", files=[("images", png())]).json()
    [segmented] = httpx.post(f"{url}/segment", files=[("images", TWO)]).json()
    assert (predicted["label"], len(segmented["regions"])) == ("red", 2)


def test_document_has_examples_that_are_true(url: str, document: Answer) -> None:
    response = document["paths"]["/detect"]["post"]["responses"]["200"]
    content = response["content"]["application/json"]
    assert document["paths"]["/detect/base64"]["post"]["responses"]["200"] == response
    assert content["schema"]["items"] == {"$ref": "#/components/schemas/PipelineResult"}
    [example] = content["example"]
    PipelineResult.model_validate(example)
    schemas = document["components"]["schemas"]
    for answer in (example, detect(url, draw_objects({0: DEEP, 3: TROUBLE["not finite"]}))):
        detection = answer["detections"][0]
        parts = {
            "PipelineResult": answer, "Detection": detection, "DetectedBox": detection["box"],
            "Classification": answer["classifications"][0], "Unclassified": answer["unclassified"][0],
            "StageTimes": answer["timings"], "StageModel": answer["models"][0],
        }  # fmt: skip
        for name, part in parts.items():
            assert set(part) == set(schemas[name]["properties"]) == set(schemas[name]["required"]), name


@pytest.mark.parametrize("path", ["/predict/base64", "/segment/base64", "/detect/base64"])
def test_example_of_a_request_is_answered(url: str, document: Answer, path: str) -> None:
    body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
    response = httpx.post(f"{url}{path}", json=body)
    assert (response.status_code, len(response.json())) == (200, 1)


@needs_curl
@pytest.mark.parametrize("command", documented_commands("objects"))
def test_curl_is_answered_as_the_documents_show_it(url: str, tmp_path: Path, command: str) -> None:
    for name in ("a.jpg", "b.jpg", "tile.jpg"):
        (tmp_path / name).write_bytes(TWO)
    lines = [json.loads(line) for line in run_curl(command, url, tmp_path, TWO).splitlines()]
    results = [line["result"] for line in lines if "result" in line] if "/detect_batch" in command else lines[0]
    assert [len(result["detections"]) for result in results] == [2] * (
        command.count("images=@") + command.count('"..."')
    )
    refused = [line["error"]["code"] for line in lines if "error" in line] if "/detect_batch" in command else []
    assert refused == ["fetch_off"] * command.count('"url"'), "no host is named here"


def test_outcomes_are_counted(url: str) -> None:
    before = read_metrics(url)
    detect(url, TWO)
    detect(url, draw_objects({}))
    assert post(url, WHITE).status_code == 422
    after = read_metrics(url)

    def grown(name: str, **labels: str) -> float:
        return total(after, name, **labels) - total(before, name, **labels)

    assert [grown("vision_detect_objects_total", label=label) for label in ("blue", "red")] == [1, 1]
    assert grown("vision_detect_classified_total", outcome="done") == 2
    assert grown("vision_detect_refusals_total", reason="model_output_invalid") == 1
    assert grown("vision_crop_predictions_total", label="deep") == 2
    assert grown("vision_detect_classify_seconds_count") == 1
    assert grown("vision_predictions_total") == 0, "of the classifier of pictures"
