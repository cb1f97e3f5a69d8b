"""What a client meets: answers, errors with status and body, and neighbours that do not disturb each other."""

import asyncio
import json
import subprocess
import sys

import httpx
import pytest

from runtime.answers.results import Prediction
from tests.bento_project import ROOT, Served
from tests.onnx_fixture import COLOURS
from tests.service.requests import code_and_index, png, truncated_jpeg


def test_answers_come_in_the_order_sent_and_name_the_model_in_the_bento(served: Served) -> None:
    order = ["blue", "red", "green", "red"]
    files = [("images", served.pictures[name].read_bytes()) for name in order]
    response = httpx.post(f"{served.url}/predict", files=files)
    assert response.status_code == 200
    answers = response.json()
    assert [answer["label"] for answer in answers] == order
    for answer in answers:
        assert set(answer) == set(Prediction.model_fields)
        assert (answer["abstained"], answer["abstain_below"]) == (False, None)
        assert list(answer["probabilities"]) == list(answer["logits"]) == ["red", "green", "blue"]
        assert answer["probability"] == answer["probabilities"][answer["label"]]
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-6)
        # A newer model was registered after the Bento was built; the Bento keeps its own.
        assert f"{answer['model']['name']}:{answer['model']['version']}" == served.classifier
        assert len(answer["model"]["sha256"]) == 64


CLIENT = """
import json, sys
from pathlib import Path
import bentoml
with bentoml.SyncHTTPClient(sys.argv[1]) as client:
    print(json.dumps(client.predict(images=[Path(path) for path in sys.argv[2:]])))
"""


def test_client_that_bentoml_derives_sends_files(served: Served) -> None:
    """In a process of its own: the client leaves a temporary folder to the garbage collector."""
    paths = [str(served.pictures[name]) for name in ("green", "blue")]
    done = subprocess.run([sys.executable, "-c", CLIENT, served.url, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [answer["label"] for answer in json.loads(done.stdout)] == ["green", "blue"]


ASK = """
import sys
from pathlib import Path
from demo import DemoError, ask
for task in ("classification", "segmentation"):
    try:
        print([answer.label for answer in ask(sys.argv[1], [Path(sys.argv[2])], task)])
    except DemoError as exc:
        print(exc)
"""


def test_the_demo_refuses_a_bento_that_lacks_the_task_it_is_to_ask(served: Served) -> None:
    """In a process of its own, as above; the Bento holds a classifier."""
    arguments = [sys.executable, "-c", ASK, served.url, str(served.pictures["green"])]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "['green']",
        "the Bento holds no model of segmentation: say --task classification, or build one that does",
    ], done.stderr


File = tuple[str, tuple[str | None, bytes | str]]
GOOD: File = ("images", ("good.png", png()))
REFUSED: dict[str, tuple[int, list[File], int | None]] = {
    "empty_file": (400, [GOOD, ("images", ("a.png", b""))], 1),
    "unsupported_format": (415, [("images", ("a.png", b"GIF89a not really"))], 0),
    "corrupt_image": (400, [GOOD, GOOD, ("images", ("a.jpg", truncated_jpeg()))], 2),
    "too_many_pixels": (413, [GOOD, ("images", ("a.png", png(101, 100)))], 1),
    "not_a_file": (400, [GOOD, ("images", (None, "http://127.0.0.1:9/a.png"))], 1),
    "unknown_field": (400, [GOOD, ("image", ("a.png", png()))], None),
    "too_many_images": (413, [GOOD] * 5, None),
}


@pytest.mark.parametrize("code", REFUSED)
def test_refused_form_has_status_code_index_and_request_id(served: Served, code: str) -> None:
    status, files, index = REFUSED[code]
    response = httpx.post(f"{served.url}/predict", files=files, headers={"X-Request-ID": "mine-1"})
    assert response.status_code == status
    assert response.headers["x-request-id"] == "mine-1"
    assert code_and_index(response) == (code, index)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/predict", 405, "method_not_allowed"),
        ("GET", "/nothing", 404, "not_found"),
    ],
)
def test_errors_outside_the_api_have_the_same_body(
    served: Served, method: str, path: str, status: int, code: str
) -> None:
    response = httpx.request(method, served.url + path)
    assert (response.status_code, *code_and_index(response)) == (status, code, None)


def test_insane_request_id_is_replaced(served: Served) -> None:
    response = httpx.get(f"{served.url}/nothing", headers={"X-Request-ID": 'a" onload="x'})
    assert len(response.json()["error"]["request_id"]) == 32
    assert response.headers["x-request-id"] == response.json()["error"]["request_id"]


def test_bad_image_in_a_burst_fails_only_its_own_request(served: Served) -> None:
    """Sixteen requests at once, so that the dispatcher puts them into common batches; every third has a bad image."""

    async def burst() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=served.url, timeout=100) as client:
            names = list(COLOURS)
            posts = []
            for i in range(16):
                files = [("images", (f"{i}.png", png(colour=COLOURS[names[i % 3]])))]
                if i % 3 == 0:
                    files.append(("images", ("bad.jpg", truncated_jpeg())))
                posts.append(client.post("/predict", files=files))
            return list(await asyncio.gather(*posts))

    for _ in range(3):
        for i, response in enumerate(asyncio.run(burst())):
            if i % 3 == 0:
                assert response.status_code == 400
                assert (response.json()["error"]["code"], response.json()["error"]["index"]) == ("corrupt_image", 1)
            else:
                assert [a["label"] for a in response.json()] == [list(COLOURS)[i % 3]]


def test_burst_is_computed_in_batches(served: Served) -> None:
    """Proof that the test above meets batches at all: fewer batches than requests."""
    lines = httpx.get(f"{served.url}/metrics").text.splitlines()
    totals = {
        name: sum(
            float(line.split()[-1]) for line in lines if line.startswith(f"bentoml_service_adaptive_batch_size_{name}")
        )
        for name in ("count", "sum")
    }
    assert totals["sum"] > totals["count"] > 0


def test_health_endpoints_answer(served: Served) -> None:
    for path in ("/livez", "/readyz"):
        assert httpx.get(served.url + path).status_code == 200


def test_bento_holds_no_torch_and_the_card_of_its_model(served: Served) -> None:
    with_latest = served.project.home / "bentos" / "vision" / "latest"
    bento = with_latest.parent / with_latest.read_text().strip()
    requirements = (bento / "env/python/requirements.txt").read_text()
    assert "onnxruntime" in requirements
    assert "--hash=sha256:" in requirements
    assert not [line for line in requirements.splitlines() if line.startswith(("torch", "timm", "torchvision"))]
    card = (bento / "README.md").read_text()
    answer = httpx.post(f"{served.url}/predict", files=[GOOD]).json()[0]
    assert f"model_sha256: {answer['model']['sha256']}" in card
    files = [path for path in (bento / "src").rglob("*.*") if path.is_file() and "__pycache__" not in path.parts]
    packed = {path.relative_to(bento / "src").parts[0] for path in files}
    assert packed == {"service.py", "runtime", "artifacts", "bentofile.yaml", "requirements"}
    assert json.loads((bento / "apis/schema.json").read_text())["routes"][0]["batchable"] is True
