"""A real Label Studio: what is pushed is pulled back equal, once, across a restart. `make test-labels` runs it.

It needs Label Studio in `.venv-labels`, or in the environment that VISION_TEST_LABELS names.
"""

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from annotation import labels, labels_pull
from annotation.labels_pull import pull
from annotation.push import push
from annotation.reaching import Reach, reached
from benchmarks.load.server_process import free_port
from dataset.label_studio.read import LabelledPicture
from runtime.label_studio.results import Corners, Result, box_result, brush_result, choice_result
from runtime.label_studio.template import read_template
from runtime.model.contract import Task
from tests.bentoml_home import bentoml_home
from tests.dataset.picture_files import save
from tests.onnx_segmenter import REGIONS, draw_spots, store_segmenter

STATED = os.environ.get("VISION_TEST_LABELS")
ENVIRONMENT = Path(STATED or ".venv-labels")
pytestmark = [
    pytest.mark.label_studio,
    pytest.mark.skipif(
        not STATED and not (ENVIRONMENT / "bin/label-studio").exists(),  # one that is stated must be there
        reason=f"Label Studio is not installed in {ENVIRONMENT}: make test-labels",
    ),
]
WIDTH, HEIGHT = 61, 43  # no round share of either is a round number of pixels
BOX: Corners = (3.25, 4.0, 40.125, 41.5)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("labelling")
    with bentoml_home(folder / "bentoml"):
        store_segmenter()
        for number in range(3):
            spots = [("red", (5.0 + number, 5, 30, 30)), ("blue", (40, 20, 55, 40))][: number + 1]
            save(folder / "unlabelled" / "line 1" / f"tile {number}.png", np.asarray(draw_spots(WIDTH, HEIGHT, spots)))
        yield folder / "labels"


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Reach]:
    with reached(home, free_port(), ENVIRONMENT) as reach:
        yield reach


def _mask() -> NDArray[np.bool_]:
    mask = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.3
    mask[10:20, 10:30] = True
    return mask


def _push(server: Reach, home: Path, task: Task) -> tuple[int, list[dict[str, Any]]]:
    pushed = push(server.server, home, task, REGIONS, home.parent / "unlabelled")
    return pushed.project, sorted(server.server.tasks(pushed.project), key=lambda one: one["data"]["path"])


def _label(server: Reach, task: dict[str, Any], *results: Result, skipped: bool = False) -> None:
    """Say of a task what a person would say in the browser."""
    body = {"result": list(results), "was_cancelled": skipped}
    server.server._json("POST", f"/api/tasks/{task['id']}/annotations/", json=body)


def _pulled(server: Reach, home: Path, project: int, task: Task) -> tuple[dict[str, LabelledPicture], dict[int, str]]:
    labelled = pull(server.server.export(project), home, task)
    return {one.name: one for one in labelled.pictures}, {at: why.kind for at, why in labelled.left_out.items()}


def _template(server: Reach, project: int) -> Any:
    return read_template(server.server._json("GET", f"/api/projects/{project}")["label_config"])


def test_classes_boxes_and_masks_come_back_as_they_were_said(server: Reach, home: Path) -> None:
    project, tasks = _push(server, home, "classification")
    control = _template(server, project).control("choices")
    _label(server, tasks[0], choice_result(control, "red"))
    _label(server, tasks[1], choice_result(control, "blue"))
    _label(server, tasks[2], skipped=True)
    labels, left_out = _pulled(server, home, project, "classification")
    assert {name: one.answer.label for name, one in labels.items()} == {
        "line 1/tile 0.png": "red", "line 1/tile 1.png": "blue",
    }  # fmt: skip
    assert left_out == {tasks[2]["id"]: "skipped"}

    project, tasks = _push(server, home, "detection")
    template = _template(server, project)
    boxes = template.control("rectanglelabels")
    _label(server, tasks[0], box_result(boxes, "red", BOX, (WIDTH, HEIGHT), "a"))
    _label(server, tasks[1], choice_result(template.nothing, "nothing to mark"))
    _label(server, tasks[2])
    labels, left_out = _pulled(server, home, project, "detection")
    assert [region.corners for region in labels["line 1/tile 0.png"].answer.regions] == [BOX]
    assert labels["line 1/tile 1.png"].answer.says_nothing
    assert left_out == {tasks[2]["id"]: "empty"}


def test_suggestions_are_shown_and_a_mask_comes_back_pixel_for_pixel(server: Reach, home: Path) -> None:
    project, tasks = _push(server, home, "segmentation")
    suggestions = server.server._json("GET", "/api/predictions/", params={"task__project": project})
    assert {one["task"] for one in suggestions} == {one["id"] for one in tasks}
    assert {one["type"] for found in suggestions for one in found["result"]} == {"brushlabels"}
    settings = server.server._json("GET", f"/api/projects/{project}")
    assert {one["model_version"] for one in suggestions} == {settings["model_version"]}
    # What the browser is given next is the task of the lowest score.
    following = server.server._json("GET", f"/api/projects/{project}/next")
    assert following["id"] == min(suggestions, key=lambda one: one["score"])["task"]
    brushes = _template(server, project).control("brushlabels")
    _label(server, tasks[0], brush_result(brushes, "blue", _mask(), "a"))
    labels, left_out = _pulled(server, home, project, "segmentation")
    [region] = labels["line 1/tile 0.png"].answer.regions
    np.testing.assert_array_equal(region.mask(), _mask())
    assert region.label == "blue"
    assert set(left_out.values()) == {"unlabelled"}


def test_a_second_run_brings_nothing_twice(server: Reach, home: Path) -> None:
    project, tasks = _push(server, home, "segmentation")
    suggestions = server.server._json("GET", "/api/predictions/", params={"task__project": project})
    again, tasks_again = _push(server, home, "segmentation")
    assert again == project
    assert [one["id"] for one in tasks_again] == [one["id"] for one in tasks]
    assert len(server.server._json("GET", "/api/predictions/", params={"task__project": project})) == len(suggestions)


def test_pictures_are_served_to_those_who_may_see_them_alone(server: Reach, home: Path) -> None:
    _, tasks = _push(server, home, "segmentation")
    address = tasks[0]["data"]["image"]
    picture = (home.parent / "unlabelled" / tasks[0]["data"]["path"]).read_bytes()
    assert server.server._answered("GET", address).content == picture
    assert httpx.get(server.server.url + address, trust_env=False).content != picture
    for outside in ("access.json", "server/label_studio.sqlite3"):
        assert server.server._asked("GET", f"/data/local-files/?d={outside}").status_code == 404


def test_the_commands_find_all_after_a_restart_and_bring_a_picture_that_is_new(server: Reach, home: Path) -> None:
    _, tasks = _push(server, home, "segmentation")
    save(home.parent / "unlabelled" / "new.png", np.asarray(draw_spots(WIDTH, HEIGHT, [("blue", (4, 4, 50, 39))])))
    own = ["--home", str(home), "--port", str(free_port()), "--environment", str(ENVIRONMENT), "--task", "segmentation"]
    assert labels.main([*own, "--pictures", str(home.parent / "unlabelled"), "--once"]) == 0
    assert labels_pull.main(own) == 0
    exported = json.loads((home / "segmentation/label-studio.json").read_text())
    assert sorted(one["id"] for one in exported)[:-1] == sorted(one["id"] for one in tasks)
    assert [one["path"] for one in csv.DictReader((home / "segmentation/manifest.csv").read_text().splitlines())] == [
        "line 1/tile 0.png"
    ]
    assert server.server._answered("GET", tasks[0]["data"]["image"]).content[:4] == b"\x89PNG"
