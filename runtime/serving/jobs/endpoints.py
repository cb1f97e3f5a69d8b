"""`/jobs`: lists of images that outlive a connection and a restart.

They stand beside BentoML's APIs, which know POST alone and no paths with parameters, within what stands around these:
limits of bodies, CORS, error bodies and records.
"""

import json
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.serving.disconnect import ClientGoneError
from runtime.serving.intake.body_forms import JSON, shown
from runtime.serving.intake.wanted_answer import weight_of
from runtime.serving.jobs.jobs import Jobs
from runtime.serving.jobs.new_job import check_query, read_new_job
from runtime.serving.jobs.records import Page
from runtime.serving.jobs.store import JobStore
from runtime.serving.pipeline.lines import JSON_LINES
from runtime.serving.request_record import CLIENT_GONE, RequestRecord, current_record

logger = logging.getLogger("vision.jobs")

PATH: Final = "/jobs"
AFTER, LIMIT = "after", "limit"
DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
LINES_TYPES = ("application/jsonl", JSON_LINES)
READ_S = 60.0  # for taking a body apart, from its end

OnRefusal = Callable[[Scope, RequestRefused], None]
Answer = Callable[[Jobs, Request], Coroutine[Any, Any, Response]]


class JobPaths:
    """Pure ASGI: answers `/jobs` and what is below it, and hands on all else.

    jobs: asked at each request, as the application is built before the service is. on_refusal: called for each refusal.
    refuse_new: called before a new job is read, and raises RequestRefused where none is taken.
    """

    def __init__(
        self, app: ASGIApp, jobs: Callable[[], Jobs], on_refusal: OnRefusal, refuse_new: Callable[[], None]
    ) -> None:
        self.app = app
        self._jobs = jobs
        self._on_refusal = on_refusal
        self._refuse_new = refuse_new

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if path == PATH:
            answers: dict[str, Answer] = {"POST": _post, "GET": _list}
        elif path.startswith(f"{PATH}/") and "/" not in (job_id := path.removeprefix(f"{PATH}/")) and job_id:
            answers = {"GET": partial(_get, job_id), "DELETE": partial(_delete, job_id)}
        else:
            await self.app(scope, receive, send)
            return
        answer = answers.get(scope["method"])
        if answer is None:
            response = Response(status_code=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": ", ".join(answers)})
        else:
            response = await self._answer(answer, Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, answer: Answer, request: Request) -> Response:
        try:
            if request.method == "POST":
                self._refuse_new()
            return await answer(self._jobs(), request)
        except ClientGoneError:
            current_record().refusal = CLIENT_GONE
            return Response(status_code=HTTPStatus.GATEWAY_TIMEOUT)  # nobody reads it
        except RequestRefused as refusal:
            self._on_refusal(request.scope, refusal)
            return Response(status_code=refusal.status)
        except Exception:
            logger.exception("a request to %s failed", PATH)
            return Response(status_code=HTTPStatus.INTERNAL_SERVER_ERROR)


async def _post(jobs: Jobs, request: Request) -> Response:
    record = current_record()

    async def run(functions: Sequence[Callable[[], Any]]) -> list[Any]:
        return await jobs.readers.run(functions, _left_s(record), record.receive)

    new = await read_new_job(request, jobs.tasks, jobs.settings.max_job_images, run)
    record.num_images = len(new.images)
    status = await jobs.store.call(lambda store: store.create(new))
    jobs.runner.wake()
    # Relative to the request's own address, which a proxy before the service may have put under another path.
    headers = {"Location": f"{PATH.removeprefix('/')}/{status.id}"}
    return JSONResponse(status.as_json(), HTTPStatus.ACCEPTED, headers)


def _left_s(record: RequestRecord) -> float:
    return READ_S - (time.perf_counter() - (record.received_at or record.started_at))


async def _list(jobs: Jobs, request: Request) -> Response:
    check_query(request, ())
    found = await jobs.store.call(JobStore.jobs)
    return JSONResponse({"jobs": [status.as_json() for status in found]})


async def _get(job_id: str, jobs: Jobs, request: Request) -> Response:
    check_query(request, (AFTER, LIMIT))
    after = _read_number(request, AFTER, 0, 0, 2**62)
    limit = _read_number(request, LIMIT, DEFAULT_LIMIT, 1, MAX_LIMIT)
    page = await jobs.store.call(lambda store: store.page(job_id, after, limit))
    if wanted := _wanted_lines(request):
        return Response("".join(f"{line}\n" for line in page.lines), media_type=wanted)
    return Response(_page_json(page, after), media_type=JSON)


async def _delete(job_id: str, jobs: Jobs, request: Request) -> Response:
    check_query(request, ())
    await jobs.store.call(lambda store: store.forget(job_id))
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _wanted_lines(request: Request) -> str | None:
    """Return the media type of lines that is named and wanted no less than JSON, None if JSON is wanted."""
    accept = ", ".join(request.headers.getlist("accept")).lower()
    weights = {media_type: weight_of(accept, media_type) for media_type in LINES_TYPES if media_type in accept}
    best = max(weights, key=weights.__getitem__, default=None)
    is_wanted = best is not None and 0 < weights[best] >= weight_of(accept, JSON)
    return best if is_wanted else None


def _page_json(page: Page, after: int) -> str:
    """Put a job's answers, which are JSON, behind what is known of it."""
    head = json.dumps(page.status.as_json())[:-1]
    return f'{head}, "results": [{",".join(page.lines)}], "next": {after + len(page.lines)}}}'


def _read_number(request: Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and least <= int(text) <= most):
        message = f"the query parameter '{name}' must be a whole number from {least} to {most}, got {shown(repr(text))}"
        raise RequestRefused(RequestErrorCode.MALFORMED, message)
    return int(text)
