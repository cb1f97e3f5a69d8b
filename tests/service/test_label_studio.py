"""The served Bento as Label Studio's model: its tasks in, suggestions out, pictures from its own host alone."""

import io
import json
import threading

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.bento_project import Served
from tests.onnx_fixture import COLOURS
from tests.service.picture_host import PictureHost

TEMPLATE = """<View><Image name="image" value="$image"/><Choices name="class" toName="image">
<Choice value="red"/><Choice value="green"/><Choice value="blue"/></Choices></View>"""


@pytest.fixture
def host(picture_host: PictureHost) -> PictureHost:
    for name, colour in COLOURS.items():
        file = io.BytesIO()
        Image.fromarray(np.full((20, 30, 3), colour, np.uint8)).save(file, "PNG")
        picture_host.pictures[f"/data/local-files/?d=pictures/{name}.png"] = file.getvalue()
    picture_host.asked.clear()
    return picture_host


def _ask(served: Served, path: str, body: object) -> httpx.Response:
    return httpx.post(f"{served.url}/labelstudio{path}", json=body, timeout=60, trust_env=False)


def _task(number: int, name: str) -> dict[str, object]:
    return {"id": number, "data": {"image": f"/data/local-files/?d=pictures/{name}.png"}}


def _predicted(served: Served, *tasks: object, template: str = TEMPLATE) -> httpx.Response:
    return _ask(served, "/predict", {"tasks": tasks, "project": "1.0", "label_config": template, "params": {}})


def test_label_studio_finds_a_model_that_is_up_and_its_version(served: Served) -> None:
    for path in ("", "/health"):
        health = httpx.get(f"{served.url}/labelstudio{path}", trust_env=False).json()
        assert health == {"status": "UP", "model_class": "bento-vision"}
    version = _ask(served, "/setup", {"project": "1", "schema": TEMPLATE, "extra_params": None}).json()["model_version"]
    assert version.startswith(f"{served.classifier}:")
    assert httpx.get(f"{served.url}/labelstudio/versions", trust_env=False).json() == {"versions": [version]}
    assert _ask(served, "/webhook", {"action": "ANNOTATION_CREATED", "project": {}}).status_code == 201
    assert _ask(served, "/webhook", {"action": "SOMETHING"}).status_code == 200


def test_many_tasks_are_answered_in_their_order_as_predict_answers(served: Served, host: PictureHost) -> None:
    names = [list(COLOURS)[number % 3] for number in range(32)]
    host.together = threading.Barrier(8)
    results = _predicted(served, *(_task(number, name) for number, name in enumerate(names))).json()["results"]
    host.together = None
    assert [one["result"][0]["value"]["choices"] for one in results] == [[name] for name in names]
    picture = host.pictures["/data/local-files/?d=pictures/red.png"]
    [answer] = httpx.post(f"{served.url}/predict", content=picture, trust_env=False).json()
    assert results[0]["score"] == results[0]["result"][0]["score"] == answer["probability"]
    assert results[0]["model_version"].startswith(f"{answer['model']['name']}:{answer['model']['version']}:")
    assert host.most_at_once == 8


def test_a_task_that_cannot_be_answered_has_no_suggestion_and_says_why(served: Served, host: PictureHost) -> None:
    host.pictures["/broken.png"] = b"no picture at all"
    host.pictures["/moved.png"] = b"elsewhere"
    tasks = [
        _task(1, "red"), _task(2, "absent"), {"id": 3, "data": {"image": "/broken.png"}},
        {"id": 4, "data": {"image": "/moved.png"}}, {"id": 5, "data": {}}, _task(6, "blue"),
    ]  # fmt: skip
    answer = _predicted(served, *tasks).json()
    assert [bool(one) for one in answer["results"]] == [True, False, False, False, False, True]
    reasons = {error["task"]: error["message"] for error in answer["errors"]}
    assert "answered 404" in reasons[2]
    assert "image 0" in reasons[3]
    assert "answered 302" in reasons[4]
    assert "no picture's address" in reasons[5]


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:9/secret.png", "//127.0.0.1:9/secret.png", "https://127.0.0.1/secret.png",
        "file:///etc/passwd", "http://user@elsewhere/secret.png", "s3://bucket/a.png", "\\\\elsewhere\\a.png",
    ],
)  # fmt: skip
def test_pictures_are_fetched_from_label_studios_host_alone(served: Served, host: PictureHost, address: str) -> None:
    refused = _predicted(served, {"id": 7, "data": {"image": address}})
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith("task 7: ")
    assert not any("secret" in path or "passwd" in path for path in host.asked)


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"tasks": [], "label_config": TEMPLATE}, 400, "'tasks' must be"),
        ({"tasks": [1], "label_config": TEMPLATE}, 400, "'tasks' must be"),
        ({"tasks": [{}]}, 400, "template is missing"),
        ({"tasks": [{}], "label_config": "<View/>"}, 400, "shows no picture"),
        ({"tasks": [{}] * 257, "label_config": TEMPLATE}, 413, "at most 256"),
        ([], 400, "must be an object"),
    ],
)
def test_a_call_that_cannot_be_understood_is_refused(served: Served, body: object, status: int, reason: str) -> None:
    refused = _ask(served, "/predict", body)
    assert refused.status_code == status
    assert reason in refused.json()["error"]["message"]


def test_a_template_that_no_served_model_answers_for_is_refused(served: Served) -> None:
    label = '<RectangleLabels name="b" toName="i"><Label value="red"/></RectangleLabels>'
    boxes = f'<View><Image name="i" value="$image"/>{label}</View>'
    refused = _ask(served, "/setup", {"project": "1", "schema": boxes})
    assert refused.status_code == 400
    assert "rectanglelabels" in refused.json()["error"]["message"]


def test_what_is_no_json_and_paths_that_are_not_there_are_refused(served: Served) -> None:
    refused = httpx.post(f"{served.url}/labelstudio/predict", content=b"{", trust_env=False)
    assert (refused.status_code, json.loads(refused.content)["error"]["code"]) == (400, "malformed_request")
    assert httpx.get(f"{served.url}/labelstudio/nothing", trust_env=False).status_code == 404
    assert httpx.get(f"{served.url}/labelstudiox", trust_env=False).status_code == 404
