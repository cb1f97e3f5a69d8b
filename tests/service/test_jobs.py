"""A job outlives the server that is killed in its middle, and every image is answered once."""

import base64
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.load.server_process import ServerProcess, free_port, running, wait_until_ready
from demo import READY_PROBE
from tests.bento_project import Project, copy_project
from tests.bentoml_home import bentoml_home
from tests.service.conftest import SETTINGS
from tests.service.detecting_models import BLUE, DEEP, draw_objects, store_detector
from tests.service.documented_curl import documented_commands, needs_curl, run_curl
from tests.service.requests import code_and_index, truncated_jpeg
from tests.service.test_openapi import TestEveryDocument  # noqa: F401 - it holds here, too
from tests.service.waiting import PATIENCE_S, wait_for

pytestmark = pytest.mark.slow

TWO, NONE = draw_objects({0: DEEP, 3: BLUE}), draw_objects({})
IN_FLIGHT, NUM_REST = 2, 12
Json = dict[str, Any]


class Camera:
    """A host whose one picture comes when it is `released`; num_asked: how often it was asked for."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.num_asked = 0
        self.port = 0

    @contextmanager
    def serving(self) -> Iterator[None]:
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.num_asked += 1
                camera.released.wait(PATIENCE_S)
                self.send_response(200)
                self.send_header("Content-Length", str(len(TWO)))
                self.end_headers()
                self.wfile.write(TWO)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.handle_error = lambda *_: None  # type: ignore[method-assign]  # whoever asked was killed
            self.port = server.server_address[1]
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            try:
                yield
            finally:
                self.released.set()
                server.shutdown()


@contextmanager
def server_of(project: Project, camera: Camera) -> Iterator[tuple[str, ServerProcess]]:
    port = free_port()
    command = [sys.executable, "-m", "bentoml", "serve", "service:Vision", "--host", "127.0.0.1", "--port", str(port)]
    environment = {
        **project.environment,
        **SETTINGS,
        "VISION_MODEL": "vision-detector:latest",
        "VISION_JOBS_DIR": str(project.home / "jobs"),
        "VISION_JOB_IMAGES_IN_FLIGHT": str(IN_FLIGHT),
        "VISION_FETCH_HOSTS": f"127.0.0.1:{camera.port}@127.0.0.1",
        "VISION_FETCH_TIMEOUT_S": str(PATIENCE_S),
    }
    with running(command, project.folder, environment, os.sched_getaffinity(0)) as server:
        wait_until_ready(server, port, READY_PROBE)
        yield f"http://127.0.0.1:{port}", server


@dataclass(frozen=True)
class Story:
    """A job as it was before the server was killed, and when the next one was done with it; that one still serves."""

    url: str
    before: Json
    after: Json
    num_asked: int
    repeated: httpx.Response


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    project, camera = copy_project(tmp_path_factory.mktemp("jobs")), Camera()
    with bentoml_home(project.home):
        store_detector()
    with camera.serving():
        held = {"url": f"http://127.0.0.1:{camera.port}/two.png"}
        files = [{"base64": base64.b64encode(data).decode()} for data in (TWO, NONE, truncated_jpeg())]
        body = {"task": "detect", "images": [*files, *[held] * IN_FLIGHT, *[files[0]] * NUM_REST]}
        key = {"Idempotency-Key": "story"}
        with server_of(project, camera) as (url, server):
            made = httpx.post(f"{url}/jobs", json=body, headers=key, timeout=PATIENCE_S)
            assert made.status_code == 202, made.text
            job = httpx.URL(made.request.url).join(made.headers["location"]).path
            wait_for(lambda: camera.num_asked == IN_FLIGHT and status(url, job)["next"] == 3, "images in hand")
            before = status(url, job)
            for member in server.members():
                member.kill()
        with server_of(project, camera) as (url, _):
            wait_for(lambda: camera.num_asked == 2 * IN_FLIGHT, "the images that were in hand, again")
            repeated = httpx.post(f"{url}/jobs", json=body, headers=key, timeout=PATIENCE_S)
            camera.released.set()
            wait_for(lambda: status(url, job)["state"] == "done", "the end of the job")
            yield Story(url, before, status(url, job), camera.num_asked, repeated)


@pytest.fixture(scope="module")
def document(story: Story) -> Json:
    found: Json = httpx.get(f"{story.url}/docs.json").json()
    return found


def status(url: str, job: str) -> Json:
    found: Json = httpx.get(url + job, timeout=PATIENCE_S).json()
    return found


def test_every_image_of_a_job_whose_server_was_killed_is_answered_once(story: Story) -> None:
    before, after = story.before, story.after
    num_images = 3 + IN_FLIGHT + NUM_REST
    assert before["counts"] == {"queued": NUM_REST, "running": IN_FLIGHT, "done": 2, "failed": 1}
    assert after["results"][:3] == before["results"]
    assert sorted(line["index"] for line in after["results"]) == list(range(num_images))
    assert after["counts"] == {"queued": 0, "running": 0, "done": num_images - 1, "failed": 1}
    results = {line["index"]: line["result"] for line in after["results"] if "result" in line}
    assert [len(results[index]["detections"]) for index in (0, 1, 3, 4, num_images - 1)] == [2, 0, 2, 2, 2]
    [failed] = [line["error"] for line in after["results"] if "error" in line]
    assert (failed["code"], failed["index"]) == ("corrupt_image", 2)
    assert story.num_asked == 2 * IN_FLIGHT


def test_repeated_request_after_the_kill_is_the_same_job(story: Story) -> None:
    assert (story.repeated.status_code, story.repeated.json()["id"]) == (202, story.before["id"])


def test_other_paths_are_as_they_were_and_jobs_refuse_what_they_do_not_know(story: Story) -> None:
    assert httpx.post(f"{story.url}/detect", files=[("images", TWO)]).status_code == 200
    assert code_and_index(httpx.get(f"{story.url}/jobs/none")) == ("job_not_found", None)
    assert code_and_index(httpx.put(f"{story.url}/jobs")) == ("method_not_allowed", None)
    predict = httpx.post(f"{story.url}/jobs?task=predict", content=NONE)
    assert (predict.status_code, *code_and_index(predict)) == (400, "malformed_request", None)
    assert "detect" in predict.json()["error"]["message"]


def test_document_describes_jobs_and_its_example_is_taken(story: Story, document: Json) -> None:
    assert {path: set(found) for path, found in document["paths"].items() if "jobs" in path} == {
        "/jobs": {"post", "get"},
        "/jobs/{job_id}": {"get", "delete"},
    }
    schemas, post = document["components"]["schemas"], document["paths"]["/jobs"]["post"]
    body = post["requestBody"]["content"]["application/json"]
    assert schemas["NewJob"]["properties"]["task"]["enum"] == ["detect"]
    made = httpx.post(f"{story.url}/jobs", json={**body["example"], "task": "detect"})
    assert set(made.json()) == set(schemas["Job"]["properties"]) == set(schemas["Job"]["required"])
    assert set(story.after) == set(schemas["JobPage"]["properties"])
    assert set(story.after["counts"]) == set(schemas["JobCounts"]["properties"])
    lines = story.after["results"]
    assert set().union(*lines) == set(schemas["JobLine"]["properties"])
    get = document["paths"]["/jobs/{job_id}"]["get"]
    assert set(get["responses"]["200"]["content"]) == {"application/json", "application/jsonl"}
    assert "job_not_found" in get["responses"]["404"]["description"]
    assert "job_store_full" in post["responses"]["507"]["description"]
    for operation in (get, post):
        assert all("Retry-After" in operation["responses"][status]["headers"] for status in ("503", "507"))
    assert httpx.delete(f"{story.url}/jobs/{made.json()['id']}").status_code == 204


@needs_curl
def test_curl_makes_follows_and_deletes_a_job_as_the_documents_show_it(story: Story, tmp_path: Path) -> None:
    documented = "0f8fad5bd9cb469fa16570867728950e"
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(TWO)
    of_a_job = {command for command in documented_commands("jobs") if documented in command}
    job = ""
    for command in set(documented_commands("jobs")) - of_a_job:
        head, _, body = run_curl(command, story.url, tmp_path, TWO).partition(b"\r\n\r\n")
        job = json.loads(body)["id"]
        assert f"location: jobs/{job}" in head.decode().lower()
    for command in sorted(of_a_job, key=lambda command: "DELETE" in command):
        run_curl(command.replace(documented, job), story.url, tmp_path)
    assert httpx.get(f"{story.url}/jobs/{job}").status_code == 404
