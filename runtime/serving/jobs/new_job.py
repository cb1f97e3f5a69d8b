"""The request for a job: its task, its images, and the key by which a repeated one is known."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from functools import partial
from typing import Final

from starlette.requests import Request

from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.serving.error_bodies import current_request_id
from runtime.serving.intake.body_forms import shown, shown_names
from runtime.serving.intake.image_list import SentImage
from runtime.serving.intake.images import RunInThreads, read_list
from runtime.serving.jobs.records import NewJob, kind_and_content
from runtime.serving.pipeline.trace_id import trace_id_of

TASK: Final = "task"
KEY_HEADER: Final = "Idempotency-Key"
KEY_PATTERN: Final = "[!-~]{1,255}"


async def read_new_job(request: Request, tasks: Sequence[str], max_images: int, run: RunInThreads) -> NewJob:
    """Read a request for a job: images in any form, and `task` in the query or in JSON.

    tasks: those that there are. Raises RequestRefused, ClientGoneError.
    """
    check_query(request, (TASK,))
    key = _read_key(request)
    images, options = await read_list(request, max_images, run, (TASK,))
    task = _read_task(request, options.get(TASK), tasks)
    [digest] = await run([partial(_sha256, task, images)])
    request_id = current_request_id(request.scope)
    return NewJob(secrets.token_hex(16), task, images, request_id, trace_id_of(request), digest, key)


def check_query(request: Request, known: Sequence[str]) -> None:
    """Raise RequestRefused for parameters of the query that are not known, or there twice."""
    query = request.query_params
    if unknown := query.keys() - set(known):
        names = ", ".join(known) or "none"
        message = f"unknown query parameter(s) {shown_names(unknown)}; known: {names}"
        raise RequestRefused(RequestErrorCode.UNKNOWN_FIELD, message)
    if doubles := {name for name in query if len(query.getlist(name)) > 1}:
        message = f"the query has {shown_names(doubles)} more than once; state it once"
        raise RequestRefused(RequestErrorCode.MALFORMED, message)


def _read_task(request: Request, stated: object, tasks: Sequence[str]) -> str:
    asked = request.query_params.get(TASK)
    if asked is not None and stated is not None:
        raise RequestRefused(RequestErrorCode.MALFORMED, f"'{TASK}' is in the query and in the body; state it once")
    task = stated if asked is None else asked
    if task in tasks:
        return str(task)
    got = "none" if task is None else shown(repr(task))
    how = f"in JSON beside the images or in the query: /jobs?{TASK}={tasks[0]}"
    message = f"a job has a '{TASK}', which is one of {', '.join(tasks)}, {how}; got {got}"
    raise RequestRefused(RequestErrorCode.MALFORMED, message)


def _read_key(request: Request) -> str | None:
    keys = request.headers.getlist(KEY_HEADER)
    if not keys:
        return None
    if len(keys) > 1 or not re.fullmatch(KEY_PATTERN, keys[0]):
        message = f"{KEY_HEADER} is one text of 1 to 255 printable ASCII characters without blanks"
        raise RequestRefused(RequestErrorCode.MALFORMED, message)
    return keys[0]


def _sha256(task: str, images: Sequence[SentImage]) -> str:
    digest = hashlib.sha256(task.encode())
    for kind, content in map(kind_and_content, images):
        data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
        digest.update(f"\n{kind} {len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()
