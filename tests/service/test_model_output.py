"""Models that overflow on one picture: an error for that picture, in one process and behind fronts."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from demo import serving
from tests.bento_project import Project, copy_project
from tests.bentoml_home import bentoml_home
from tests.onnx_fixture import COLOURS
from tests.onnx_segmenter import GREY, REGION_COLOURS
from tests.overflowing_model import WHITE, register_overflowing_model
from tests.service.metrics_page import read_metrics, total
from tests.service.requests import code_and_index, png
from tests.service.segmenting_models import store_overflowing_segmenter

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy_project(tmp_path_factory.mktemp("overflowing"))
    register_overflowing_model(project)
    with bentoml_home(project.home):
        store_overflowing_segmenter()
    return project


@pytest.fixture(scope="module", params=["0", "2"], ids=["one process", "fronts"])
def url(project: Project, request: pytest.FixtureRequest) -> Iterator[str]:
    settings = {"VISION_FRONT_WORKERS": request.param, "VISION_MODEL": "vision-segmenter,vision-classifier"}
    with serving("service:Vision", project.folder, {**project.environment, **settings}) as url:
        yield url


def post(url: str, *colours: tuple[int, int, int], api: str = "predict") -> httpx.Response:
    return httpx.post(f"{url}/{api}", files=[("images", png(colour=colour)) for colour in colours], timeout=100)


def test_picture_on_which_the_model_overflows_fails_its_own_request_alone(url: str) -> None:
    with ThreadPoolExecutor(12) as pool:
        responses = list(pool.map(lambda i: post(url, COLOURS["blue"], *[WHITE][: i % 3 == 0]), range(12)))
    for i, response in enumerate(responses):
        if i % 3:
            assert response.status_code == 200
            assert [answer["label"] for answer in response.json()] == ["blue"]
        else:
            assert (response.status_code, *code_and_index(response)) == (422, "model_output_invalid", 1)
    metrics = read_metrics(url)
    assert total(metrics, "vision_refusals_total", reason="model_output_invalid") == 4
    assert total(metrics, "vision_predictions_total") == 12


def test_segmenter_beside_it_overflows_for_its_own_request_alone(url: str) -> None:
    """At the same time as the classifier, which is asked the same pictures."""
    blue, grey = REGION_COLOURS["blue"], GREY
    asked = [(grey, blue), (blue, WHITE), (blue,)] * 4
    with ThreadPoolExecutor(24) as pool:
        beside = [pool.submit(post, url, *colours) for colours in asked]
        responses = list(pool.map(lambda colours: post(url, *colours, api="segment"), asked))
    for colours, response in zip(asked, responses, strict=True):
        if WHITE in colours:
            assert (response.status_code, *code_and_index(response)) == (422, "model_output_invalid", 1)
        else:
            answers = response.json()
            assert [answer["label"] for answer in answers] == ["blue" if c == blue else "grey" for c in colours]
            whole = {"left": 0, "top": 0, "right": 50, "bottom": 40}
            boxes = [[region["box"] for region in answer["regions"]] for answer in answers]
            assert boxes == [[whole] if colour == blue else [] for colour in colours]
    assert [response.result().status_code for response in beside] == [422 if WHITE in c else 200 for c in asked]
    metrics = read_metrics(url)
    assert total(metrics, "vision_segment_refusals_total", reason="model_output_invalid") == 4
    assert total(metrics, "vision_segment_batch_images_sum") == 20
