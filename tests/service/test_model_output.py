"""A model that overflows on one picture: an error for that picture, in one process and behind fronts."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from demo import serving
from tests.bento_project import Project, copy_project
from tests.onnx_fixture import COLOURS
from tests.overflowing_model import WHITE, register_overflowing_model
from tests.service.metrics_page import read_metrics, total
from tests.service.requests import code_and_index, png

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy_project(tmp_path_factory.mktemp("overflowing"))
    register_overflowing_model(project)
    return project


@pytest.fixture(scope="module", params=["0", "2"], ids=["one process", "fronts"])
def url(project: Project, request: pytest.FixtureRequest) -> Iterator[str]:
    with serving(
        "service:Vision", project.folder, {**project.environment, "VISION_FRONT_WORKERS": request.param}
    ) as url:
        yield url


def post(url: str, *colours: tuple[int, int, int]) -> httpx.Response:
    return httpx.post(f"{url}/predict", files=[("images", png(colour=colour)) for colour in colours], timeout=100)


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
