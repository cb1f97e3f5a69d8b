"""`/jobs` in the OpenAPI document."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, get_args

from runtime.answers.refusals import AnyCode, JobErrorCode, RequestErrorCode
from runtime.serving.intake.body_forms import JSON
from runtime.serving.intake.image_list import BASE64, LIST_FIELD, URL
from runtime.serving.jobs.endpoints import AFTER, DEFAULT_LIMIT, LIMIT, LINES_TYPES, MAX_LIMIT, PATH
from runtime.serving.jobs.new_job import KEY_HEADER, KEY_PATTERN, TASK
from runtime.serving.jobs.records import STATES, JobState
from runtime.serving.openapi.bodies import LISTED, headers_of, object_of, ref
from runtime.serving.openapi.endpoints import EXAMPLE_PICTURE
from runtime.serving.openapi.errors import errors_of

Json = dict[str, Any]

_ID = "0f8fad5bd9cb469fa16570867728950e"
_ANY: tuple[AnyCode, ...] = (RequestErrorCode.UNKNOWN_FIELD, JobErrorCode.STORE_FAILED, JobErrorCode.STORE_FULL)
_OF_ONE: tuple[AnyCode, ...] = (*_ANY, JobErrorCode.NOT_FOUND)
_OF_NEW: tuple[AnyCode, ...] = (
    *_ANY,
    *(RequestErrorCode.MALFORMED, RequestErrorCode.NO_IMAGE, RequestErrorCode.NOT_A_FILE),
    *(RequestErrorCode.TOO_MANY_IMAGES, RequestErrorCode.BODY_TOO_LARGE, RequestErrorCode.BODY_TIMEOUT),
    *(RequestErrorCode.UNSUPPORTED_MEDIA_TYPE, RequestErrorCode.OVERLOADED, RequestErrorCode.DEADLINE_EXCEEDED),
    *(JobErrorCode.KEY_REUSED, JobErrorCode.TOO_MANY_JOBS, RequestErrorCode.SHUTTING_DOWN),
)
_STATUS_EXAMPLE: Json = {
    "id": _ID,
    "task": "predict",
    "state": "running",
    "images": 2,
    "counts": {"queued": 0, "running": 1, "done": 0, "failed": 1},
    "created_at": "2031-05-06T07:08:09.123Z",
    "finished_at": None,
}
_LINE_EXAMPLE: Json = {
    "index": 1,
    "error": {
        "code": "fetch_host_not_allowed",
        "message": "image 1: the host 'images.example.org' with port 443 is not one of VISION_FETCH_HOSTS",
        "index": 1,
        "request_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    },
}


def job_paths(parameters: Sequence[Json], tags: Sequence[str]) -> Json:
    """Return the paths. parameters: those that every operation has."""

    def operation(name: str, summary: str, answers: Json, codes: Iterable[AnyCode], *own: Json) -> Json:
        return {
            "operationId": name,
            "summary": summary,
            "tags": list(tags),
            "parameters": [*parameters, *own],
            "responses": {**answers, **errors_of(codes)},
        }

    job = _parameter("job_id", "path", "the job's `id`", {"type": "string"}, _ID)
    post = operation("jobs", "Have a list of images answered, whatever becomes of this connection.",
                     _made(), _OF_NEW, _key())  # fmt: skip
    of_page = (*_OF_ONE, RequestErrorCode.MALFORMED)
    get = operation("get_job", "Say how far a job is, with answers so far.", _found(), of_page, job, *_paging())
    delete = operation(
        "delete_job", "Cancel a job and forget it with its answers.", {"204": _forgotten()}, _OF_ONE, job
    )
    listed = {"200": _answer("All jobs, the newest first.", "JobList", {"jobs": [_STATUS_EXAMPLE]})}
    return {
        PATH: {
            "post": {**post, "requestBody": _body(), "description": _HOW},
            "get": operation("list_jobs", "List all jobs.", listed, _ANY),
        },
        PATH + "/{job_id}": {"get": get, "delete": delete},
    }


_HOW = (
    "The images are answered one by one, behind all requests to other paths. Forms and image files are taken, too, "
    f"with `?{TASK}=...`. The job survives a restart of the service; when it is done it is kept for a time."
)


def job_schemas(tasks: Sequence[str]) -> Json:
    """Return the schemas that only jobs have."""
    task: Json = {"type": "string", "enum": list(tasks)}
    whole: Json = {"type": "integer", "minimum": 0}
    time: Json = {"type": "string", "format": "date-time"}
    status: Json = {
        "id": {"type": "string"},
        TASK: task,
        "state": {"type": "string", "enum": list(get_args(JobState))},
        "images": whole,
        "counts": ref("JobCounts"),
        "created_at": time,
        "finished_at": {**time, "nullable": True},
    }
    line = object_of(
        {
            "index": {**whole, "description": "place of the image in the job, from 0"},
            "result": {"type": "object", "description": "what the task's own path says of the image"},
            "error": ref("Problem"),
        }
    )
    results: Json = {"type": "array", "items": ref("JobLine"), "description": "in the order in which they came"}
    following = {**whole, "description": f"`{AFTER}` of the next page"}
    return {
        "NewJob": object_of({TASK: task, LIST_FIELD: {"type": "array", "minItems": 1, "items": ref(LISTED)}}),
        "Job": object_of(status),
        "JobCounts": object_of(dict.fromkeys(STATES, whole)),
        "JobLine": {**line, "required": ["index"]},
        "JobPage": object_of({**status, "results": results, "next": following}),
        "JobList": object_of({"jobs": {"type": "array", "items": ref("Job")}}),
    }


def _body() -> Json:
    images = [{BASE64: EXAMPLE_PICTURE}, {URL: "https://images.example.org/tile.jpg"}]
    example = {TASK: "predict", LIST_FIELD: images}
    return {"required": True, "content": {JSON: {"schema": ref("NewJob"), "example": example}}}


def _made() -> Json:
    made = _answer("The job, which begins when its turn comes.", "Job", _STATUS_EXAMPLE)
    made["headers"].update(headers_of({"Location": "where the job is, relative to this path"}))
    return {"202": made}


def _found() -> Json:
    page = {**_STATUS_EXAMPLE, "results": [_LINE_EXAMPLE], "next": 1}
    found = _answer(f"Job and answers so far; a JobLine a line where {LINES_TYPES[0]} is accepted.", "JobPage", page)
    found["content"][LINES_TYPES[0]] = {"schema": {"type": "string"}, "x-itemSchema": ref("JobLine")}
    return {"200": found}


def _forgotten() -> Json:
    return {"description": f"{HTTPStatus.NO_CONTENT.phrase}: there is no such job any more", "headers": headers_of({})}


def _answer(description: str, schema: str, example: Json) -> Json:
    content = {JSON: {"schema": ref(schema), "example": example}}
    return {"description": description, "headers": headers_of({}), "content": content}


def _key() -> Json:
    description = "Makes a repeated request the same job. The key is free again when the job is forgotten."
    return _parameter(KEY_HEADER, "header", description, {"type": "string", "pattern": f"^{KEY_PATTERN}$"}, None)


def _paging() -> list[Json]:
    after: Json = {"type": "integer", "minimum": 0, "default": 0}
    limit: Json = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
    return [
        _parameter(AFTER, "query", "Answers that are known already: `next` of the last page.", after, None),
        _parameter(LIMIT, "query", "Most answers on the page, which may have fewer.", limit, None),
    ]


def _parameter(name: str, place: str, description: str, schema: Json, example: object) -> Json:
    shown = {} if example is None else {"example": example}
    return {
        "name": name, "in": place, "required": place == "path", "description": description, "schema": schema, **shown,
    }  # fmt: skip
