"""Filters of the contract in a Bento that is served: abstention, a hook of the user's own, and a hook that fails."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from demo import serving
from tests.bento_project import Project, copy_project
from tests.onnx_fixture import COLOURS
from tests.service.filtered_model import ABSTAIN_BELOW, register_filtered_model
from tests.service.metrics_page import read_metrics, total
from tests.service.requests import code_and_index, png

pytestmark = pytest.mark.slow

DEADLINE_S = 5.0


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy_project(tmp_path_factory.mktemp("filters"))
    register_filtered_model(project, scale=2.0)
    return project


@pytest.fixture(scope="module")
def url(project: Project) -> Iterator[str]:
    """A Bento served from an empty folder; what it was built from is gone."""
    built = project.build()
    assert built.returncode == 0, built.stderr
    hooks = project.folder / "hooks"
    aside = shutil.move(hooks, project.folder.parent / "aside")
    empty = project.folder.parent / "empty"
    empty.mkdir()
    environment = {**project.environment, "VISION_DEADLINE_MS": str(int(DEADLINE_S * 1e3))}
    with serving("vision:latest", empty, environment) as url:
        yield url
    shutil.move(aside, hooks)


def post(url: str, *colours: str) -> httpx.Response:
    files = [("images", png(colour=COLOURS[colour])) for colour in colours]
    return httpx.post(f"{url}/predict", files=files, timeout=100)


def test_unsure_answer_says_so_names_the_threshold_and_is_counted(url: str) -> None:
    before = total(read_metrics(url), "vision_abstentions_total")
    [answer] = post(url, "red").json()
    assert (answer["abstained"], answer["abstain_below"]) == (True, ABSTAIN_BELOW)
    assert answer["probability"] == answer["probabilities"]["red"] < ABSTAIN_BELOW
    assert total(read_metrics(url), "vision_abstentions_total") - before == 1


def test_hook_in_the_bento_changes_the_answer_and_metrics_keep_the_classes(url: str) -> None:
    before = read_metrics(url)
    [answer] = post(url, "red").json()
    assert (answer["label"], answer["class_id"]) == ("scrap", 0)
    after = read_metrics(url)
    name = "vision_predictions_total"
    assert total(after, name, label="red") - total(before, name, label="red") == 1
    assert total(after, name, label="scrap") == 0


def test_hook_that_raises_fails_its_own_request_alone_and_does_not_tell_the_cause(url: str) -> None:
    with ThreadPoolExecutor(12) as pool:
        responses = list(pool.map(lambda i: post(url, "red", *["blue"][: i % 3 == 0]), range(12)))
    for i, response in enumerate(responses):
        if i % 3:
            assert response.status_code == 200
        else:
            assert (response.status_code, *code_and_index(response)) == (500, "filter_failed", 1)
            assert "secret" not in response.text
    reason = {"reason": "filter_failed"}
    assert total(read_metrics(url), "vision_refusals_total", **reason) >= 4


def test_hook_that_does_not_end_is_a_missed_deadline_and_others_are_answered(url: str) -> None:
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(post, url, "green")
        assert post(url, "red").status_code == 200
        response = slow.result()
    assert (response.status_code, *code_and_index(response)) == (504, "deadline_exceeded", None)


def test_bento_without_the_hook_refuses_to_start_and_says_what_is_missing(url: str, project: Project) -> None:
    """From the project's folder, whose hooks are out of the way while the Bento is served."""
    done = project.run("bentoml", "serve", "service:Vision", "--host", "127.0.0.1", "--port", "0")
    assert done.returncode == 1
    assert "cannot import the filter hooks.rules:check" in done.stderr
    assert "bentofile.yaml includes" in done.stderr
    assert "Traceback" not in done.stderr
