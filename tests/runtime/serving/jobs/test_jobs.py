"""Jobs by HTTP, with real models: what is answered, what is refused, and what happens when the service ends."""

import asyncio
import base64
import json
import math
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.answers.results import Prediction
from runtime.image_filters.looking import Seen
from runtime.model.image import ImageArray
from runtime.model.roles import Role
from runtime.serving.batching import Batcher
from runtime.serving.fetching.allowed_hosts import parse_hosts
from runtime.serving.handlers import Handlers
from runtime.serving.jobs import runner
from runtime.serving.jobs.records import Claim, NewJob
from runtime.serving.jobs.store import JobStore
from runtime.serving.request_batching import RequestHandler
from runtime.serving.shutdown.drain import Drain
from tests.runtime.serving.fetching.answering_host import answer, answering
from tests.runtime.serving.jobs.serving_jobs import Models, Server, load_models, serving_jobs
from tests.runtime.serving.test_image_filtering import filters_of
from tests.service.detecting_models import BLUE, DEEP, draw_objects
from tests.service.requests import truncated_jpeg

TWO = draw_objects({0: DEEP, 3: BLUE})
NONE = draw_objects({})
Json = dict[str, Any]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return load_models(tmp_path_factory.mktemp("models"))


def listed(*images: bytes | str, task: str = "detect") -> Json:
    """Return a body in JSON: files in base64, and addresses."""
    return {
        "task": task,
        "images": [
            {"url": image} if isinstance(image, str) else {"base64": base64.b64encode(image).decode()}
            for image in images
        ],
    }


def with_jobs(
    models: Models, folder: Path, scenario: Callable[[Server], Coroutine[Any, Any, None]], **options: Any
) -> None:
    async def run() -> None:
        async with serving_jobs(models, folder, **options) as server:
            await scenario(server)

    asyncio.run(run())


def test_each_task_says_of_images_what_its_own_path_does(models: Models, tmp_path: Path) -> None:
    """Also in forms and as a bare file, with the task in the query."""

    async def scenario(server: Server) -> None:
        for task in ("predict", "segment", "detect"):
            made = await server.client.post("/jobs", json=listed(TWO, NONE, task=task))
            assert made.status_code == 202
            assert made.headers["location"] == f"jobs/{made.json()['id']}"
            job = await server.finished(made.json()["id"])
            assert (job["task"], job["images"], job["next"]) == (task, 2, 2)
            assert job["counts"] == {"queued": 0, "running": 0, "done": 2, "failed": 0}
            results = {line["index"]: line["result"] for line in job["results"]}
            files = [("images", data) for data in (TWO, NONE)]
            told = (await server.client.post(f"/{task}", files=files)).json()
            for index in range(2):
                changing = ("timings", "inference_ms", "trace_id")
                same = [{k: v for k, v in one.items() if k not in changing} for one in (results[index], told[index])]
                assert same[0] == same[1]
        for request in ({"files": [("images", TWO)]}, {"content": TWO}):
            made = await server.client.post("/jobs?task=predict", **request)
            assert (await server.finished(made.json()["id"]))["counts"]["done"] == 1

    with_jobs(models, tmp_path, scenario)


def test_images_that_cannot_be_answered_have_their_own_errors(models: Models, tmp_path: Path) -> None:
    async def scenario(server: Server) -> None:
        white = draw_objects({0: (255, 255, 255), 1: (255, 255, 255), 2: (255, 255, 255), 3: (255, 255, 255)})
        body = listed(TWO, truncated_jpeg(), "http://a.example/x.png", white)
        body["images"].append({"base64": "no base64!"})
        made = await server.client.post("/jobs", json=body, headers={"X-Request-ID": "mine-1"})
        job = await server.finished(made.json()["id"])
        errors = {line["index"]: line["error"] for line in job["results"] if "error" in line}
        codes = {index: error["code"] for index, error in errors.items()}
        assert {1: "corrupt_image", 2: "fetch_off", 4: "bad_base64"}.items() <= codes.items()
        assert 0 not in codes
        for index, error in errors.items():
            assert (error["index"], error["request_id"]) == (index, "mine-1")
            assert error["message"].startswith(f"image {index}: ")
        assert job["counts"]["failed"] == len(errors)

    with_jobs(models, tmp_path, scenario)


def test_answers_are_paged_and_come_as_lines_where_those_are_accepted(models: Models, tmp_path: Path) -> None:
    async def scenario(server: Server) -> None:
        made = await server.client.post("/jobs", json=listed(*[NONE] * 5, task="predict"))
        path = f"/jobs/{made.json()['id']}"
        whole = await server.finished(made.json()["id"])
        pages, after = [], 0
        while True:
            page = (await server.client.get(path, params={"after": after, "limit": 2})).json()
            if not page["results"]:
                break
            pages.append(page["results"])
            after = page["next"]
        assert [len(page) for page in pages] == [2, 2, 1]
        assert [line for page in pages for line in page] == whole["results"]
        for media_type in ("application/jsonl", "application/x-ndjson"):
            response = await server.client.get(
                f"{path}?after=3", headers={"Accept": f"{media_type}, application/json;q=0.5"}
            )
            assert response.headers["content-type"].startswith(media_type)
            assert list(map(json.loads, response.text.splitlines())) == whole["results"][3:]
        for accept in ("application/jsonl;q=0.1, application/json", "application/jsonl;q=0, */*", "*/*"):
            response = await server.client.get(path, headers={"Accept": accept})
            assert response.headers["content-type"] == "application/json"

    with_jobs(models, tmp_path, scenario)


def test_jobs_are_listed_and_deleted(models: Models, tmp_path: Path) -> None:
    async def scenario(server: Server) -> None:
        ids = [(await server.client.post("/jobs", json=listed(NONE))).json()["id"] for _ in range(2)]
        jobs = (await server.client.get("/jobs")).json()["jobs"]
        assert [job["id"] for job in jobs] == ids[::-1]
        assert {"state", "counts", "created_at", "finished_at"} < jobs[0].keys()
        gone = await server.client.delete(f"/jobs/{ids[0]}")
        assert (gone.status_code, gone.content) == (204, b"")
        for method in ("GET", "DELETE"):
            response = await server.client.request(method, f"/jobs/{ids[0]}")
            assert (response.status_code, response.json()["error"]["code"]) == (404, "job_not_found")
        assert [job["id"] for job in (await server.client.get("/jobs")).json()["jobs"]] == ids[1:]

    with_jobs(models, tmp_path, scenario)


def test_key_makes_a_repeated_request_the_same_job(models: Models, tmp_path: Path) -> None:
    async def scenario(server: Server) -> None:
        key = {"Idempotency-Key": "order-7"}
        body = listed(TWO, NONE)
        one, two = [await server.client.post("/jobs", json=body, headers=key) for _ in range(2)]
        assert (two.status_code, two.json()["id"], two.headers["location"]) == (
            202,
            one.json()["id"],
            one.headers["location"],
        )
        for other in (listed(NONE, TWO), listed(TWO, NONE, task="predict")):
            refused = await server.client.post("/jobs", json=other, headers=key)
            assert (refused.status_code, refused.json()["error"]["code"]) == (422, "idempotency_key_reused")
        assert len((await server.client.get("/jobs")).json()["jobs"]) == 1

    with_jobs(models, tmp_path, scenario, works=False)


REFUSED: list[tuple[str, str, Json, int, str]] = [
    ("POST", "/jobs", {"json": {"images": [{"base64": "AA"}]}}, 400, "malformed_request"),
    ("POST", "/jobs", {"json": listed(NONE, task="train")}, 400, "malformed_request"),
    ("POST", "/jobs", {"json": {**listed(NONE), "task": 7}}, 400, "malformed_request"),
    ("POST", "/jobs?task=detect", {"json": listed(NONE)}, 400, "malformed_request"),
    ("POST", "/jobs?task=detect&task=detect", {"content": NONE}, 400, "malformed_request"),
    ("POST", "/jobs?kind=detect", {"content": NONE}, 400, "unknown_field"),
    ("POST", "/jobs", {"json": {**listed(NONE), "roi": [1, 2, 3, 4]}}, 400, "unknown_field"),
    ("POST", "/jobs", {"json": {"task": "detect", "images": []}}, 400, "no_image"),
    ("POST", "/jobs", {"json": listed(*[NONE] * 4)}, 413, "too_many_images"),
    ("POST", "/jobs", {"json": listed(NONE), "headers": {"Idempotency-Key": "a b"}}, 400, "malformed_request"),
    ("POST", "/jobs", {"json": listed(NONE), "headers": {"Idempotency-Key": "x" * 256}}, 400, "malformed_request"),
    ("POST", "/jobs", {"content": b"{"}, 400, "malformed_request"),
    ("GET", "/jobs/none", {}, 404, "job_not_found"),
    ("GET", "/jobs?state=done", {}, 400, "unknown_field"),
    ("GET", "/jobs/none?after=-1", {}, 400, "malformed_request"),
    ("GET", "/jobs/none?after=x", {}, 400, "malformed_request"),
    ("GET", "/jobs/none?limit=0", {}, 400, "malformed_request"),
    ("GET", "/jobs/none?limit=1001", {}, 400, "malformed_request"),
    ("GET", "/jobs/none?page=1", {}, 400, "unknown_field"),
    ("PUT", "/jobs/none", {}, 405, "method_not_allowed"),
    ("DELETE", "/jobs", {}, 405, "method_not_allowed"),
    ("GET", "/jobs/", {}, 404, "not_found"),
    ("GET", "/jobs/a/b", {}, 404, "not_found"),
]


def test_what_is_wrong_with_a_request_is_refused(models: Models, tmp_path: Path) -> None:
    async def scenario(server: Server) -> None:
        for method, path, request, status, code in REFUSED:
            response = await server.client.request(method, path, **request)
            error = response.json()["error"]
            assert (response.status_code, error["code"]) == (status, code), (method, path, request)
            assert error["request_id"] == response.headers["x-request-id"]
        assert (await server.client.get("/jobs")).json() == {"jobs": []}

    with_jobs(models, tmp_path, scenario, works=False, max_job_images=3)


def test_jobs_go_behind_requests_in_every_queue(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    background: list[bool] = []
    submit = Batcher.submit

    async def noting(self: Any, images: Any, function: Any, deadline_s: float, is_background: bool = False) -> Any:
        background.append(is_background)
        return await submit(self, images, function, deadline_s, is_background)

    monkeypatch.setattr(Batcher, "submit", noting)

    async def scenario(server: Server) -> None:
        for task, num_queues in (("predict", 1), ("segment", 1), ("detect", 3)):
            background.clear()
            made = await server.client.post("/jobs", json=listed(TWO, task=task))
            await server.finished(made.json()["id"])
            assert background == [True] * num_queues

    with_jobs(models, tmp_path, scenario)


def test_so_many_images_are_in_hand_and_a_job_that_is_deleted_meanwhile_stays_away(
    models: Models, tmp_path: Path
) -> None:
    async def run() -> None:
        async with answering({"/hang": answer(NONE)}) as host:
            hosts = parse_hosts(f"127.0.0.1:{host.port}@127.0.0.1")
            url = f"http://127.0.0.1:{host.port}/hang"
            async with serving_jobs(models, tmp_path, fetch_hosts=hosts, job_images_in_flight=2) as server:
                made = await server.client.post("/jobs", json=listed(*[url] * 3))
                job = await server.job_with(made.json()["id"], lambda job: job["counts"]["running"] == 2)
                assert (job["state"], job["counts"]["queued"]) == ("running", 1)
                await server.client.delete(f"/jobs/{job['id']}")
                other = await server.client.post("/jobs", json=listed(NONE))
                host.hang.set()
                assert (await server.finished(other.json()["id"]))["counts"]["done"] == 1
                assert [one["id"] for one in (await server.client.get("/jobs")).json()["jobs"]] == [other.json()["id"]]

    asyncio.run(run())


def test_service_that_ends_in_mid_job_goes_on_after_its_next_start(models: Models, tmp_path: Path) -> None:
    async def run() -> None:
        async with answering({"/hang": answer(TWO)}) as host:
            hosts = parse_hosts(f"127.0.0.1:{host.port}@127.0.0.1")
            url = f"http://127.0.0.1:{host.port}/hang"
            options: Json = {"fetch_hosts": hosts, "job_images_in_flight": 2}
            async with serving_jobs(models, tmp_path, **options) as server:
                made = await server.client.post("/jobs", json=listed(NONE, NONE, url, url, NONE))
                job = await server.job_with(made.json()["id"], lambda job: len(job["results"]) == 2)
                await server.handlers.close()  # and once more at the end of the block
            async with serving_jobs(models, tmp_path, works=False) as server:
                ended = await server.job_with(job["id"], lambda _: True)
                assert ended["counts"] == {"queued": 3, "running": 0, "done": 2, "failed": 0}
            host.hang.set()
            async with serving_jobs(models, tmp_path, **options) as server:
                done = await server.finished(job["id"])
            assert sorted(line["index"] for line in done["results"]) == list(range(5))
            assert done["results"][:2] == job["results"]
            assert done["counts"]["done"] == 5

    asyncio.run(run())


def test_job_whose_model_is_not_there_after_a_restart_waits_for_it(
    models: Models, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with serving_jobs(models, tmp_path, works=False) as server:
            job = (await server.client.post("/jobs", json=listed(TWO, task="segment"))).json()["id"]
        async with serving_jobs({"classification": models["classification"]}, tmp_path) as server:
            other = (await server.client.post("/jobs", json=listed(NONE, task="predict"))).json()["id"]
            await server.finished(other)
            assert (await server.job_with(job, lambda _: True))["state"] == "queued"
        assert "jobs wait whose task has no model here: segment;" in caplog.text
        async with serving_jobs(models, tmp_path) as server:
            assert (await server.finished(job))["counts"]["done"] == 1

    asyncio.run(run())


def test_one_of_two_servers_works_and_both_answer(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "RETRY_S", 0.02)
    monkeypatch.setattr(runner, "POLL_S", 0.02)
    claiming: list[JobStore] = []
    claim = JobStore.claim

    def noting(self: JobStore, tasks: Sequence[str]) -> Claim | None:
        claiming.append(self)
        return claim(self, tasks)

    monkeypatch.setattr(JobStore, "claim", noting)

    async def run() -> None:
        async with serving_jobs(models, tmp_path) as first:
            one = (await first.client.post("/jobs", json=listed(NONE))).json()["id"]
            await first.finished(one)
            async with serving_jobs(models, tmp_path) as second:
                assert (await second.finished(one))["counts"]["done"] == 1
                assert [one.jobs.runner.lock.is_held for one in (first, second)] == [True, False]
                two = (await second.client.post("/jobs", json=listed(NONE))).json()["id"]
                await first.finished(two)
                assert len({id(store) for store in claiming}) == 1
                await first.jobs.runner.close()
                three = (await first.client.post("/jobs", json=listed(NONE))).json()["id"]
                await second.finished(three)
                assert len({id(store) for store in claiming}) == 2

    asyncio.run(run())


def test_image_that_ends_the_process_again_and_again_is_given_up(models: Models, tmp_path: Path) -> None:
    store = JobStore(tmp_path, 10, 2**24)
    store.create(NewJob("one", "predict", [NONE, NONE], "r", "t", "0"))
    for _ in range(runner.MAX_ATTEMPTS):
        store.claim(("predict",))
        store.put_all_back(was_tried=True)
    store.close()

    async def scenario(server: Server) -> None:
        job = await server.finished("one")
        lines = {line["index"]: line for line in job["results"]}
        assert lines[0]["error"]["code"] == "job_image_given_up"
        assert "result" in lines[1]

    with_jobs(models, tmp_path, scenario)


@dataclass
class Refusals:
    """What a model's batcher says of the first images that it is given, before it takes others.

    num_refused: how many these are. num_asked: how many it was given so far.
    """

    role: Role
    code: RequestErrorCode
    num_refused: float
    num_asked: int = 0

    def begin(self, handlers: Handlers) -> None:
        batcher = handlers.by_role[self.role].batcher
        submit = batcher.submit

        async def refusing(*arguments: Any) -> Any:
            self.num_asked += 1
            if self.num_asked <= self.num_refused:
                raise RequestRefused(self.code, "not now", retry_after_s=1)
            return await submit(*arguments)

        batcher.submit = refusing  # type: ignore[assignment]  # these handlers are the test's own


def test_image_that_finds_no_place_is_tried_again(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PAUSE_S", 0.0)
    refusals = Refusals("classification", RequestErrorCode.OVERLOADED, runner.MAX_ATTEMPTS + 2)

    async def scenario(server: Server) -> None:
        made = await server.client.post("/jobs", json=listed(NONE, task="predict"))
        assert (await server.finished(made.json()["id"]))["counts"]["done"] == 1, "it counts against nobody"
        assert refusals.num_asked == runner.MAX_ATTEMPTS + 3

    with_jobs(models, tmp_path, scenario, change=refusals.begin)


def test_image_that_fails_again_and_again_has_the_last_error(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PAUSE_S", 0.0)
    refusals = Refusals("classification", RequestErrorCode.UNAVAILABLE, math.inf)

    async def scenario(server: Server) -> None:
        made = await server.client.post("/jobs", json=listed(NONE, task="predict"))
        [line] = (await server.finished(made.json()["id"]))["results"]
        assert (line["error"]["code"], refusals.num_asked) == ("inference_unavailable", runner.MAX_ATTEMPTS)

    with_jobs(models, tmp_path, scenario, change=refusals.begin)


@pytest.mark.parametrize(("num_late", "expected"), [(2, "done"), (9, "deadline")])
def test_image_whose_crops_waited_too_long_is_tried_again_before_it_is_answered_without_them(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_late: int, expected: str
) -> None:
    monkeypatch.setattr(runner, "PAUSE_S", 0.0)
    refusals = Refusals("crop-classification", RequestErrorCode.DEADLINE_EXCEEDED, num_late)

    async def scenario(server: Server) -> None:
        made = await server.client.post("/jobs", json=listed(TWO))
        [line] = (await server.finished(made.json()["id"]))["results"]
        assert line["result"]["classified"] == expected
        assert refusals.num_asked == min(num_late + 1, runner.MAX_ATTEMPTS)

    with_jobs(models, tmp_path, scenario, change=refusals.begin)


def test_image_on_which_a_filter_hangs_is_not_tried_for_ever(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PAUSE_S", 0.0)
    let_go, num_asked = threading.Event(), 0

    async def hanging(self: RequestHandler, answers: Any, left_s: float) -> Any:
        nonlocal num_asked
        num_asked += 1
        return await self.hook_threads.run(let_go.wait, 0.01)

    monkeypatch.setattr(RequestHandler, "filter", hanging)

    async def scenario(server: Server) -> None:
        made = await server.client.post("/jobs", json=listed(NONE, task="predict"))
        most = runner.MAX_ATTEMPTS
        job = await server.job_with(made.json()["id"], lambda job: job["state"] == "done" or num_asked > most)
        assert num_asked == most
        assert [line["error"]["code"] for line in job["results"]] == ["deadline_exceeded"]

    try:
        with_jobs(models, tmp_path, scenario)
    finally:
        let_go.set()


def test_images_are_left_alone_while_nobody_can_compute_them(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as while an inference worker is started again: none uses up its attempts."""
    monkeypatch.setattr(runner, "POLL_S", 0.0)
    num_asked, num_claimed = 0, 0
    claim = JobStore.claim

    def is_ready(_: RequestHandler) -> bool:
        nonlocal num_asked
        num_asked += 1
        return num_asked > 20

    def noting(self: JobStore, tasks: Sequence[str]) -> Claim | None:
        nonlocal num_claimed
        num_claimed += num_asked <= 20
        return claim(self, tasks)

    monkeypatch.setattr(RequestHandler, "is_ready", property(is_ready))
    monkeypatch.setattr(JobStore, "claim", noting)

    async def scenario(server: Server) -> None:
        made = await server.client.post("/jobs", json=listed(NONE, task="predict"))
        assert (await server.finished(made.json()["id"]))["counts"]["done"] == 1
        assert num_claimed == 0

    with_jobs(models, tmp_path, scenario)


def test_service_that_ends_takes_no_new_job_and_answers_about_the_others(models: Models, tmp_path: Path) -> None:
    drain = Drain(0, 1)

    async def scenario(server: Server) -> None:
        made = await server.client.post("/jobs", json=listed(NONE))
        drain.is_refusing = True
        refused = await server.client.post("/jobs", json=listed(NONE))
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
        assert refused.headers["retry-after"] == "1"
        assert [job["id"] for job in (await server.client.get("/jobs")).json()["jobs"]] == [made.json()["id"]]

    with_jobs(models, tmp_path, scenario, works=False, drain=drain)


def test_filters_that_see_pixels_look_at_images_of_jobs(models: Models, tmp_path: Path) -> None:
    seen: list[tuple[int, ...]] = []

    def look(pixels: ImageArray, answer: Prediction) -> Seen[Prediction]:
        seen.append(pixels.shape)
        return Seen(answer, withheld="not for you")

    async def scenario(server: Server) -> None:
        for task in ("predict", "segment", "detect"):
            seen.clear()
            made = await server.client.post("/jobs", json=listed(TWO, task=task))
            [line] = (await server.finished(made.json()["id"]))["results"]
            if task == "detect":  # its segmenter's filters look, too, which costs the masks alone
                assert len(seen) == 2
            assert (line["error"]["code"], line["error"]["index"]) == ("withheld", 0)
            assert seen[0] == (72, 96, 3)

    with_jobs(models, tmp_path, scenario, image_filters=filters_of(look))


def test_answer_for_which_there_is_no_room_is_kept_when_there_is(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runner, "RETRY_S", 0.0)
    finish, num_tries = JobStore.finish, 0

    def without_room(self: JobStore, *arguments: Any) -> bool:
        nonlocal num_tries
        num_tries += 1
        if num_tries < 4:
            raise RequestRefused(RequestErrorCode.OVERLOADED, "the disk is full")
        return finish(self, *arguments)

    monkeypatch.setattr(JobStore, "finish", without_room)

    async def scenario(server: Server) -> None:
        made = await server.client.post("/jobs", json=listed(NONE))
        assert (await server.finished(made.json()["id"]))["counts"]["done"] == 1

    with_jobs(models, tmp_path, scenario)
    assert caplog.text.count("waits to be kept: the disk is full") == 3


def test_folder_that_cannot_be_used_costs_the_jobs_and_nothing_else(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "RETRY_S", 0.02)
    folder = tmp_path / "jobs"
    folder.write_text("a file")

    async def scenario(server: Server) -> None:
        for method, path, body in (("POST", "/jobs", listed(NONE)), ("GET", "/jobs", None), ("GET", "/jobs/a", None)):
            response = await server.client.request(method, path, json=body)
            assert (response.status_code, response.json()["error"]["code"]) == (503, "job_store_failed")
            assert str(folder) in response.json()["error"]["message"]
            assert response.headers["retry-after"]
        answered = await server.client.post("/detect", files=[("images", TWO)])
        assert answered.status_code == 200
        folder.unlink()
        made = await server.client.post("/jobs", json=listed(NONE))
        assert (await server.finished(made.json()["id"]))["counts"]["done"] == 1

    with_jobs(models, folder, scenario)
