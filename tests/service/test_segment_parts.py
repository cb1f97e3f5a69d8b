"""`/segment` of parts of pictures: tiles and regions of interest, in every form of request and of answer."""

import base64
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from PIL import Image

from demo import serving
from runtime.answers.results import ModelIdentity
from runtime.answers.tiled import read_tiles, to_tiled_segmentation
from runtime.model.contract import ONNX_FILE
from runtime.model.session import Predictor
from runtime.model.tiles import PixelBox, TileParams
from tests.bento_project import copy_project
from tests.bentoml_home import bentoml_home
from tests.onnx_segmenter import Spot, draw_spots, segmentation_contract
from tests.service.documented_curl import documented_commands, needs_curl, run_curl
from tests.service.metrics_page import read_metrics, total
from tests.service.requests import code_and_index, png, stage_times_ms, truncated_jpeg
from tests.service.segmenting_models import overflowing_segmenter, store_overflowing_segmenter
from tests.service.test_segment import mask_of, post

pytestmark = pytest.mark.slow

SIZE = 640, 480
STATED = TileParams(size_px=160, overlap_px=40)  # by the contract: 5 x 5 tiles of this picture
MAX_TILES = 60
ON_A_SEAM: Spot = ("red", (148, 200, 172, 216))  # of tiles of 160 x 120 without overlap
TINY: Spot = ("blue", (500, 100, 508, 107))  # a hundredth of the picture's sides
CORNER: Spot = ("red", (600, 440, 640, 480))
SPOTS = (ON_A_SEAM, TINY, CORNER)
ROI: PixelBox = (490, 90, 620, 470)
Answer = dict[str, Any]


def picture(size: tuple[int, int] = SIZE, spots: tuple[Spot, ...] = SPOTS, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    draw_spots(*size, spots).save(buffer, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return buffer.getvalue()


def white_corner() -> bytes:
    """On white the model's output is infinite: in some of the tiles."""
    image, buffer = Image.new("RGB", SIZE, (120, 120, 120)), io.BytesIO()
    image.paste((255, 255, 255), (320, 240, 640, 480))
    image.save(buffer, "PNG")
    return buffer.getvalue()


PICTURE, WHITE = picture(), white_corner()
SMALL = picture((96, 72), (("red", (20, 20, 70, 60)),))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("segment_parts")


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """A segmenter whose contract states tiles."""
    project = copy_project(folder)
    with bentoml_home(project.home):
        tag = store_overflowing_segmenter(tiles=STATED)
    settings = {"VISION_MODEL": tag, "VISION_MAX_TILES_PER_REQUEST": str(MAX_TILES), "VISION_MAX_PIXELS": "3000000"}
    with serving("service:Vision", project.folder, project.environment | settings) as url:
        yield url


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    """The same model without a server, and with a contract that states nothing."""
    contract = segmentation_contract()
    model_dir = folder / "library"
    model_dir.mkdir()
    (model_dir / "contract.json").write_text(contract.to_json())
    onnx.save(overflowing_segmenter(contract), model_dir / ONNX_FILE)
    return Predictor.load(model_dir, device="cpu", threads=1)


def by_library(
    predictor: Predictor, data: bytes, tiles: TileParams | None, roi: PixelBox | None = None
) -> list[Answer]:
    contract = segmentation_contract()
    read = read_tiles(data, contract, tiles, roi)
    outputs = predictor.predict(np.stack([pixels for pixels, _ in read]))
    identity = ModelIdentity(name="m", version="1", sha256="0" * 64)
    answer = to_tiled_segmentation(outputs, [place for _, place in read], contract, identity, roi)
    assert answer is not None
    return [without_model(answer.model_dump(mode="json"))]


def without_model(answer: Answer) -> Answer:
    return {name: value for name, value in answer.items() if name != "model"}


def answers_of(response: httpx.Response) -> list[Answer]:
    assert response.status_code == 200, response.text
    return [without_model(answer) for answer in response.json()]


def boxes_of(answer: Answer) -> list[list[int]]:
    return [[region["box"][side] for side in ("left", "top", "right", "bottom")] for region in answer["regions"]]


@pytest.mark.parametrize(
    ("query", "tiles", "roi"),
    [
        ("", STATED, None),
        ("?tiles=none", None, None),
        ("?tiles=160&overlap=0", TileParams(size_px=160, overlap_px=0), None),
        ("?tiles=200", TileParams(size_px=200), None),
        ("?overlap=20", TileParams(size_px=160, overlap_px=20), None),
        ("?roi=490,90,620,470", STATED, ROI),
        ("?roi=490,90,620,470&tiles=none", None, ROI),
        ("?roi=490,90,620,470&tiles=64&overlap=16", TileParams(size_px=64, overlap_px=16), ROI),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_answer_is_the_librarys(
    url: str, predictor: Predictor, kind: str, query: str, tiles: TileParams | None, roi: PixelBox | None
) -> None:
    data = picture(kind=kind)
    answers = answers_of(post(url, data, query=query))
    assert answers == by_library(predictor, data, tiles, roi)
    assert (answers[0]["width"], answers[0]["height"]) == SIZE


def test_small_defects_are_found_in_tiles_and_one_on_a_seam_is_one(url: str) -> None:
    [whole] = answers_of(post(url, PICTURE, query="?tiles=none"))
    assert [region["label"] for region in whole["regions"]] == ["red", "red"], "the blue one is less than a cell"
    [cut] = answers_of(post(url, PICTURE, query="?tiles=160&overlap=0"))
    assert [region["label"] for region in cut["regions"]] == ["red", "red", "blue"]
    for found, (_, expected) in zip(boxes_of(cut), (CORNER, ON_A_SEAM, TINY), strict=True):
        assert found == pytest.approx(expected, abs=2.5), "a cell of the network is two and a half pixels"
    assert cut["label"] == "red"


def test_region_of_interest_is_answered_in_the_pictures_own_pixels(url: str) -> None:
    [answer] = answers_of(post(url, PICTURE, query="?roi=490,90,620,470&tiles=64"))
    corner, tiny = boxes_of(answer)
    assert tiny == pytest.approx(TINY[1], abs=1)
    assert (corner[2], corner[3]) == (620, 470), "cut off where the region of interest ends"


def test_json_says_it_as_a_query_does_for_all_images_and_both_may_say_a_part(url: str) -> None:
    texts = [base64.b64encode(data).decode() for data in (PICTURE, SMALL)]
    query = "?roi=10,10,90,70&tiles=32&overlap=8"
    expected = answers_of(post(url, PICTURE, SMALL, query=query))
    body = {"images_b64": texts, "roi": [10, 10, 90, 70], "tiles": 32, "overlap": 8}
    assert answers_of(httpx.post(f"{url}/segment/base64", json=body)) == expected
    parts = {"images_b64": texts, "overlap": 8, "tiles": 32, "roi": None}
    assert answers_of(httpx.post(f"{url}/segment?roi=10,10,90,70", json=parts)) == expected
    raw = httpx.post(f"{url}/segment{query}", content=SMALL, headers={"Content-Type": "image/png"})
    assert answers_of(raw) == expected[1:]


@pytest.mark.parametrize("query", ["", "?roi=490,90,620,470&tiles=64"])
def test_mask_and_overlay_show_the_regions_of_the_answer(url: str, query: str) -> None:
    [answer] = answers_of(post(url, PICTURE, query=query))
    mask = np.asarray(Image.open(io.BytesIO(post(url, PICTURE, query=query, Accept="image/png").content)))
    assert np.array_equal(mask, mask_of(answer))
    assert set(np.unique(mask)) == {0, 1, 2}
    drawn = post(url, PICTURE, query=f"{query or '?'}&overlay=1".replace("?&", "?"))
    assert (drawn.status_code, drawn.headers["content-type"]) == (200, "image/png")
    image = Image.open(io.BytesIO(drawn.content)).convert("RGB")
    scale = image.width // SIZE[0]
    plain = np.asarray(Image.open(io.BytesIO(PICTURE)).resize(image.size, Image.Resampling.NEAREST)).astype(int)
    changed = np.abs(np.asarray(image).astype(int) - plain).max(axis=2) > 30
    left, top, right, bottom = (scale * side for side in boxes_of(answer)[-1])  # of the smallest, which is blue
    assert changed[top - 3 : bottom + 3, left - 3 : right + 3].any()
    assert not changed[scale * 230 : scale * 400, scale * 200 : scale * 400].any(), "where nothing is"


@pytest.mark.parametrize(
    ("files", "query", "expected", "words"),
    [
        ([SMALL, PICTURE], "?roi=0,0,97,72", (400, "roi_outside_image", 0), "(0, 0, 97, 72) reaches beyond"),
        ([PICTURE, SMALL], "?roi=0,0,600,72", (400, "roi_outside_image", 1), "beyond the picture of 96 x 72 pixels"),
        ([SMALL, PICTURE], "?tiles=32", (413, "too_many_tiles", 1), "more than 60: use larger tiles"),
        ([PICTURE] * 3, "", (413, "too_many_tiles", None), "together, more than 60: send fewer images"),
        ([PICTURE, truncated_jpeg()], "?tiles=160", (400, "corrupt_image", 1), ""),
        ([WHITE], "", (422, "model_output_invalid", 0), ""),
        ([PICTURE], "?tiles=0", (400, "malformed_request", None), "greater than or equal to 16, got 0"),
        ([PICTURE], "?roi=5,5,5,9", (400, "malformed_request", None), "left < right and top < bottom"),
        ([PICTURE], "?tile=160", (400, "unknown_field", None), "known: overlay, roi, tiles, overlap"),
        ([PICTURE] * 2, "?overlay=1&tiles=160", (406, "not_acceptable", None), ""),
    ],
)  # fmt: skip
def test_what_is_refused_names_the_image_and_the_numbers(
    url: str, files: list[bytes], query: str, expected: tuple[int, str, int | None], words: str
) -> None:
    response = post(url, *files, query=query)
    assert response.status_code == expected[0]
    code, index = code_and_index(response)
    assert code == expected[1]
    assert index == expected[2] or (expected[2] is None and code == "too_many_tiles")  # whichever comes last
    assert words in response.json()["error"]["message"]


def test_json_is_refused_as_a_query_is(url: str) -> None:
    text = base64.b64encode(SMALL).decode()
    for fields, query in (({"tiles": "160"}, ""), ({"roi": [1, 2, 3]}, ""), ({"tiles": 160}, "?tiles=160")):
        response = httpx.post(f"{url}/segment{query}", json={"image_b64": text, **fields})
        assert (response.status_code, *code_and_index(response)) == (400, "malformed_request", None)


BAD: tuple[tuple[list[bytes], str, tuple[int, int]], ...] = (
    ([PICTURE, truncated_jpeg()], "", (400, 1)),
    ([SMALL, png(20, 20)], "?roi=0,0,90,60", (400, 1)),
    ([WHITE], "", (422, 0)),
)


def test_bad_requests_beside_tiled_ones_harm_only_themselves(url: str, predictor: Predictor) -> None:
    with ThreadPoolExecutor(12) as pool:
        good = [pool.submit(post, url, PICTURE) for _ in range(6)]
        bad = [(pool.submit(post, url, *files, query=query), expected) for files, query, expected in BAD * 2]
    expected_answers = by_library(predictor, PICTURE, STATED)
    assert all(answers_of(request.result()) == expected_answers for request in good)
    for request, expected in bad:
        assert (request.result().status_code, code_and_index(request.result())[1]) == expected


def test_tiles_are_counted_as_images_of_batches_and_the_log_names_them(url: str, folder: Path) -> None:
    before = read_metrics(url)
    response = post(url, PICTURE, SMALL, **{"X-Request-ID": "tiled-1"})
    assert list(stage_times_ms(response)) == ["read", "decode", "queue", "inference", "encode", "total"]
    after = read_metrics(url)

    def grown(name: str, **labels: str) -> float:
        return total(after, name, **labels) - total(before, name, **labels)

    assert grown("vision_segment_batch_images_sum") == 26
    assert (grown("vision_segment_image_tiles_count"), grown("vision_segment_image_tiles_sum")) == (2, 26)
    assert grown("vision_segment_predictions_total", label="red") == 2
    assert grown("vision_segment_regions_total") == 4
    httpx.get(f"{url}/nothing")  # its line comes after that of the answer
    log = (folder / "project" / "server.log").read_text()
    [line] = [json.loads(line) for line in log.splitlines() if line.startswith("{") and "tiled-1" in line]
    assert (line["images"], line["tiles"], line["status"]) == (2, 26, 200)
    assert line["batch_images"] <= 4


@needs_curl
@pytest.mark.parametrize("command", documented_commands("parts"))
def test_curl_with_parts_finds_what_is_small(url: str, tmp_path: Path, command: str) -> None:
    spot = (902, 604, 926, 624)  # of a tile's cells three by three, of the whole board's less than one
    board = picture((1900, 1200), (("red", spot),), "JPEG")
    (tmp_path / "board.jpg").write_bytes(board)
    [answer] = json.loads(run_curl(command, url, tmp_path, board))
    assert (answer["width"], answer["height"]) == (1900, 1200)
    assert [region["label"] for region in answer["regions"]] == ["red"]
    assert boxes_of(answer)[0] == pytest.approx(spot, abs=8), "a cell of the network is eight pixels"
    assert answers_of(post(url, board, query="?tiles=none&roi=none"))[0]["regions"] == []


def test_document_describes_what_may_be_wanted(url: str) -> None:
    document = httpx.get(f"{url}/docs.json").json()
    operation = document["paths"]["/segment"]["post"]
    parameters = {parameter["name"]: parameter for parameter in operation["parameters"] if parameter["in"] == "query"}
    assert list(parameters) == ["overlay", "roi", "tiles", "overlap"]
    examples = {name: parameters[name]["example"] for name in ("tiles", "overlap")}
    response = post(url, PICTURE, query="?roi=0,0,640,480&" + "&".join(f"{n}={v}" for n, v in examples.items()))
    assert response.status_code == 200
    fields = document["components"]["schemas"]["ImagesAndPartsInBase64"]["properties"]
    assert set(fields) == {"image_b64", "images_b64", "roi", "tiles", "overlap"}
    assert len(fields["roi"]["example"]) == 4
    refused = operation["responses"]
    assert "roi_outside_image" in refused["400"]["description"]
    assert "too_many_tiles" in refused["413"]["description"]
