"""`/detect_batch`: a line for each image as soon as it is done, with its own error, and an end if the client goes."""

import base64
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from demo import serving
from runtime.answers.pipeline import PipelineResult
from runtime.answers.refusals import FetchErrorCode
from tests.bento_project import Project, copy_project
from tests.bentoml_home import bentoml_home
from tests.service.conftest import SETTINGS
from tests.service.detecting_models import BLUE, DEEP, TROUBLE, draw_objects, store_crop_classifier, store_detector
from tests.service.metrics_page import read_metrics, total
from tests.service.requests import code_and_index, png, truncated_jpeg
from tests.service.waiting import wait_for

pytestmark = pytest.mark.slow

MAX_UPLOADS, IN_FLIGHT = 60, 8
WHITE = png(96, 72, (255, 255, 255))
TWO = draw_objects({0: DEEP, 3: BLUE})
Line = dict[str, Any]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return copy_project(tmp_path_factory.mktemp("detect_batch"))


class _Camera(BaseHTTPRequestHandler):
    """Has a picture at `/two.png`, a text at `/text` and leads elsewhere at `/away`."""

    def do_GET(self) -> None:
        body = {"/two.png": TWO, "/text": b"no picture"}.get(self.path, b"")
        self.send_response(302 if self.path == "/away" else 200 if body else 404)
        if self.path == "/away":
            self.send_header("Location", "http://169.254.169.254/latest/meta-data/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def camera() -> Iterator[int]:
    """The port of a host on loopback that has pictures."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Camera) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def url(project: Project, camera: int) -> Iterator[str]:
    """A detector and a classifier of its crops, computed in a process behind the one that answers."""
    with bentoml_home(project.home):
        tags = [store_detector(), store_crop_classifier()]
    environment = {
        **project.environment,
        **SETTINGS,
        "VISION_MODEL": ",".join(tags),
        "VISION_MAX_BATCH_UPLOADS": str(MAX_UPLOADS),
        "VISION_SESSIONS": "1",
        "VISION_FRONT_WORKERS": "1",
        "VISION_CLASSIFY_SHARE": "1",
        "VISION_DEADLINE_MS": "60000",
        "VISION_JOBS_DIR": str(project.home / "jobs"),
        "VISION_FETCH_HOSTS": f"127.0.0.1:{camera}@127.0.0.1/32, localhost:{camera}",
    }
    with serving("service:Vision", project.folder, environment) as url:
        yield url


@pytest.fixture(scope="module")
def document(url: str) -> Line:
    found: Line = httpx.get(f"{url}/docs.json").json()
    return found


def post(url: str, *pictures: bytes, **headers: str) -> list[Line]:
    files = [("images", data) for data in pictures]
    response = httpx.post(f"{url}/detect_batch", files=files, headers=headers, timeout=100)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/x-ndjson")
    return [json.loads(line) for line in response.text.splitlines()]


def test_every_image_has_a_line_with_what_detect_says_of_it(url: str) -> None:
    pictures = [TWO, draw_objects({}), draw_objects({1: DEEP})] * 4
    lines = post(url, *pictures)
    assert sorted(line["index"] for line in lines) == list(range(12))
    results = {line["index"]: PipelineResult.model_validate(line["result"]) for line in lines}
    assert [len(results[index].detections) for index in range(12)] == [2, 0, 1] * 4
    [alone] = httpx.post(f"{url}/detect", files=[("images", TWO)]).json()
    said = results[9]
    assert (said.detections, said.classifications) == (
        PipelineResult.model_validate(alone).detections,
        PipelineResult.model_validate(alone).classifications,
    )
    assert said.classified == "done"
    assert said.masked == "no_segmenter"


def test_errors_are_of_their_image_alone(url: str) -> None:
    lines = post(url, TWO, truncated_jpeg(), WHITE, b"", TWO, **{"X-Request-ID": "batch-1"})
    by_index = {line["index"]: line for line in lines}
    assert sorted(index for index, line in by_index.items() if "result" in line) == [0, 4]
    errors = {index: line["error"] for index, line in by_index.items() if "error" in line}
    codes = {index: error["code"] for index, error in errors.items()}
    assert codes == {1: "corrupt_image", 2: "model_output_invalid", 3: "empty_file"}
    for index, error in errors.items():
        assert (error["index"], error["request_id"]) == (index, "batch-1")
        assert error["message"].startswith(f"image {index}: ")
        assert list(error) == ["code", "message", "index", "request_id"]


def test_the_other_forms_are_taken_and_bad_base64_has_its_line(url: str) -> None:
    texts = [base64.b64encode(TWO).decode(), "no base64!"]
    for path in ("/detect_batch", "/detect_batch/base64"):
        response = httpx.post(f"{url}{path}", json={"images_b64": texts}, timeout=100)
        lines = {line["index"]: line for line in map(json.loads, response.text.splitlines())}
        assert (lines[0]["result"]["classified"], lines[1]["error"]["code"]) == ("done", "bad_base64")


def test_addresses_are_fetched_from_hosts_that_are_named(url: str, camera: int) -> None:
    """Each that cannot be has its code, and the others are answered."""
    host = f"http://127.0.0.1:{camera}"
    addresses = [
        f"{host}/two.png",
        "http://10.0.0.1/x",
        f"http://localhost:{camera}/two.png",
        f"{host}/away",
        f"{host}/none",
    ]
    images = [{"url": address} for address in [*addresses, f"{host}/text"]] + [
        {"base64": base64.b64encode(TWO).decode()}
    ]
    response = httpx.post(f"{url}/detect_batch", json={"images": images}, timeout=100)
    lines = {line["index"]: line for line in map(json.loads, response.text.splitlines())}
    assert sorted(lines) == list(range(7))
    fetched, sent = (PipelineResult.model_validate(lines[index]["result"]) for index in (0, 6))
    assert (fetched.image_id, fetched.detections) == (sent.image_id, sent.detections)
    assert {index: line["error"]["code"] for index, line in lines.items() if "error" in line} == {
        1: "fetch_host_not_allowed", 2: "fetch_address_forbidden", 3: "fetch_host_not_allowed", 4: "fetch_status",
        5: "unsupported_format",
    }  # fmt: skip
    assert all(line["error"]["message"].startswith(f"image {i}: ") for i, line in lines.items() if "error" in line)


@pytest.mark.parametrize(
    ("body", "code", "index"),
    [
        ({"images": []}, "no_image", None),
        ({"images": "http://a/"}, "malformed_request", None),
        ({"images": ["http://a/"]}, "malformed_request", 0),
        ({"images": [{"url": "http://a/"}, {}]}, "malformed_request", 1),
        ({"images": [{"url": "http://a/", "base64": "AA"}]}, "malformed_request", 0),
        ({"images": [{"url": 1}]}, "malformed_request", 0),
        ({"images": [{"address": "http://a/"}]}, "unknown_field", 0),
        ({"images": [{"url": "http://a/"}], "image_b64": "AA"}, "malformed_request", None),
        ({"images": [{"url": "http://a/"}] * (MAX_UPLOADS + 1)}, "too_many_images", None),
    ],
)
def test_list_of_images_that_is_none_is_refused(url: str, body: Line, code: str, index: int | None) -> None:
    assert code_and_index(httpx.post(f"{url}/detect_batch", json=body)) == (code, index)


def test_detect_takes_no_list_of_addresses(url: str) -> None:
    response = httpx.post(f"{url}/detect", json={"images": [{"url": "http://127.0.0.1/"}]})
    assert code_and_index(response) == ("unknown_field", None)


def test_front_has_jobs_computed_behind_requests(url: str) -> None:
    """Nothing of them is seen in the metrics of those who wait."""
    before = read_metrics(url)
    made = httpx.post(f"{url}/jobs?task=detect", files=[("images", TWO)] * 3, timeout=100)
    assert made.status_code == 202, made.text
    job: Line = {}

    def is_done() -> bool:
        job.update(httpx.get(f"{url}/jobs/{made.json()['id']}").json())
        return bool(job["state"] == "done")

    wait_for(is_done, "the end of a job")
    said = [PipelineResult.model_validate(line["result"]) for line in job["results"]]
    assert [(len(one.detections), one.classified) for one in said] == [(2, "done")] * 3
    after = read_metrics(url)
    for model in ("detect", "crop"):
        waits, batched = f"vision_{model}_queue_wait_seconds_count", f"vision_{model}_batch_images_sum"
        assert total(after, waits) == total(before, waits)
        assert total(after, batched) > total(before, batched)


def test_what_is_wrong_with_the_request_refuses_it(url: str) -> None:
    too_many = httpx.post(f"{url}/detect_batch", files=[("images", png())] * (MAX_UPLOADS + 1))
    assert (too_many.status_code, *code_and_index(too_many)) == (413, "too_many_images", None)
    none = httpx.post(f"{url}/detect_batch", json={})
    assert (none.status_code, *code_and_index(none)) == (400, "no_image", None)
    query = httpx.post(f"{url}/detect_batch?all=1", files=[("images", png())])
    assert (query.status_code, *code_and_index(query)) == (400, "unknown_field", None)


def test_lines_come_as_they_are_done_and_the_slow_one_holds_up_no_other(url: str) -> None:
    """The slow picture is the first; those without objects need no classifier and pass it."""
    pictures = [draw_objects({0: TROUBLE["slow"]}), *[draw_objects({})] * 3]
    assert [line["index"] for line in post(url, *pictures)][-1] == 0


def test_client_that_goes_away_ends_the_work(url: str, project: Project) -> None:
    """It reads one line and goes: what was begun may end, the rest is not looked at."""
    before = total(read_metrics(url), "vision_detect_predictions_total")
    slow = draw_objects({0: TROUBLE["slow"]})
    parts = b"".join(
        b'--b\r\ncontent-disposition: form-data; name="images"; filename="x.png"\r\n\r\n' + slow + b"\r\n"
        for _ in range(MAX_UPLOADS)
    )
    body = parts + b"--b--\r\n"
    host, port = urlsplit(url).hostname, urlsplit(url).port
    assert host
    with socket.create_connection((host, port or 80), timeout=100) as connection:
        head = (
            "POST /detect_batch HTTP/1.1\r\nhost: x\r\nx-request-id: gone-1\r\n"
            f"content-type: multipart/form-data; boundary=b\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body)
        received = b""
        while b'"index"' not in received:
            received += connection.recv(65536)
    log = project.folder / "server.log"
    wait_for(lambda: "gone-1" in log.read_text(), "the line of the request")
    [line] = [json.loads(text) for text in log.read_text().splitlines() if text.startswith("{") and "gone-1" in text]
    assert (line["refusal"], line["status"], line["images"]) == ("client_gone", 499, MAX_UPLOADS)
    assert line["total_ms"] > 0
    httpx.post(f"{url}/detect", files=[("images", TWO)], timeout=100)
    done = total(read_metrics(url), "vision_detect_predictions_total") - before
    assert done <= 3 * IN_FLIGHT < MAX_UPLOADS


def test_document_describes_the_stream(document: Line) -> None:
    response = document["paths"]["/detect_batch"]["post"]["responses"]["200"]
    [(media_type, content)] = response["content"].items()
    assert (media_type, content["schema"]) == ("application/x-ndjson", {"type": "string"})
    assert content["x-itemSchema"] == {"$ref": "#/components/schemas/DetectBatchLine"}
    schema = document["components"]["schemas"]["DetectBatchLine"]
    failed, answered = (json.loads(line) for line in content["example"].splitlines())
    assert set(failed) | set(answered) == set(schema["properties"])
    assert set(failed["error"]) == set(document["components"]["schemas"]["Problem"]["properties"])
    PipelineResult.model_validate(answered["result"])
    assert "/segment" not in document["paths"]
    operation = document["paths"]["/detect_batch/base64"]["post"]
    body = operation["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/ImageList"}
    listed = document["components"]["schemas"]["ImageOfList"]["properties"]
    assert [set(image) <= set(listed) for image in body["example"]["images"]] == [True, True]
    codes = document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    assert {code.value for code in FetchErrorCode} <= set(codes)
    assert not [
        name for answer in operation["responses"].values() for name in FetchErrorCode if name in answer["description"]
    ]


def test_fronts_have_crops_classified_with_those_of_other_images(url: str) -> None:
    """While the first takes its time the others gather in the inference worker, which counts.

    A busy machine may decode the others too late, so they come again; alone in their batches they would never gather.
    """
    for _ in range(10):
        before = read_metrics(url)
        post(url, draw_objects({0: TROUBLE["slow"]}), *[TWO] * 7)
        after = read_metrics(url)
        requests = total(after, "vision_crop_batch_requests_sum") - total(before, "vision_crop_batch_requests_sum")
        batches = total(after, "vision_crop_batch_requests_count") - total(before, "vision_crop_batch_requests_count")
        if batches < requests:
            return
    pytest.fail(f"{requests:g} requests were classified in {batches:g} batches")


def test_paths_exist_only_with_a_detector(url: str) -> None:
    assert code_and_index(httpx.post(f"{url}/segment", files=[("images", TWO)])) == ("not_found", None)
