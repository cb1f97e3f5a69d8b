"""Label Studio's model, below `/labelstudio`: suggestions for its tasks, many in one call.

`GET /health`, `POST /setup`, `POST /predict`, `POST /webhook` and `GET /versions`, as Label Studio calls them. It is
there where `VISION_LABEL_STUDIO_URL` is set. A task that cannot be answered has an empty list in its place, which Label
Studio takes for no suggestion, and its reason in `errors`; where none can be, the whole call is refused.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.answers.classification import ModelIdentity
from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.label_studio.suggestions import model_version, suggest
from runtime.label_studio.template import Kind, Template, TemplateError, read_template
from runtime.serving.disconnect import ClientGoneError, unless_disconnected
from runtime.serving.error_bodies import note_refusal
from runtime.serving.label_studio.asking import AskingError, ask
from runtime.serving.label_studio.pictures import LabelStudioPictures, PictureRefusedError
from runtime.serving.request_record import CLIENT_GONE, current_record

logger = logging.getLogger(__name__)

PREFIX = "/labelstudio"
IN_FLIGHT = 8  # tasks of one call that are worked on at a time: enough to fill batches, and others have their turn
IN_FLIGHT_OF_ALL = 16  # of all calls to a process: each has its picture in memory
# Which API answers for a means of labelling, the best first.
_APIS: Mapping[Kind, Sequence[str]] = {
    "brushlabels": ("segment", "detect"),
    "rectanglelabels": ("detect", "segment"),
    "choices": ("predict", "segment", "detect"),
}
_KNOWN_ACTIONS = frozenset(
    {"ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATION_DELETED", "PROJECT_UPDATED", "START_TRAINING"}
)


class LabelStudioBackend:
    """Pure ASGI: answers what is below `/labelstudio` and hands on all else."""

    def __init__(
        self,
        app: ASGIApp,
        asked: ASGIApp,
        pictures: LabelStudioPictures,
        identities: Callable[[], Mapping[str, ModelIdentity]],
        max_tasks: int,
    ) -> None:
        """Take the application around which it stands.

        asked: is asked about each picture. identities: asked at each call for the model behind each API that is served.
        max_tasks: in one call.
        """
        self.app = app
        self._asked = asked
        self._pictures = pictures
        self._identities = identities
        self._max_tasks = max_tasks
        self._turns_of_all = asyncio.Semaphore(IN_FLIGHT_OF_ALL)
        self._answers = {
            ("GET", ""): self._health,
            ("GET", "/health"): self._health,
            ("GET", "/versions"): self._versions,
            ("POST", "/setup"): self._setup,
            ("POST", "/predict"): self._predict,
            ("POST", "/webhook"): self._webhook,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removesuffix("/") if scope["type"] == "http" else ""
        if path != PREFIX and not path.startswith(f"{PREFIX}/"):
            await self.app(scope, receive, send)
            return
        answer = self._answers.get((scope["method"], path.removeprefix(PREFIX)))
        response = Response(status_code=404)
        if answer:
            response = await _refusing(answer(Request(scope, receive)), scope)
        await response(scope, receive, send)

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"status": "UP", "model_class": "bento-vision"})

    async def _versions(self, _: Request) -> Response:
        versions = sorted({model_version(identity) for identity in self._identities().values()})
        return JSONResponse({"versions": versions})

    async def _setup(self, request: Request) -> Response:
        body = await _body(request)
        api = self._api_for(_template(body.get("schema")))
        return JSONResponse({"model_version": model_version(self._identities()[api])})

    async def _webhook(self, request: Request) -> Response:
        """Take note of nothing: a model is trained by `make train`, after `make labels-pull`."""
        action = (await _body(request)).get("action")
        return JSONResponse({}, 201 if action in _KNOWN_ACTIONS else 200)

    async def _predict(self, request: Request) -> Response:
        body = await _body(request)
        template = _template(body.get("label_config"))
        api = self._api_for(template)
        tasks = body.get("tasks")
        if not isinstance(tasks, list) or not tasks or not all(isinstance(task, dict) for task in tasks):
            raise RequestRefused(RequestErrorCode.MALFORMED, "'tasks' must be a list of tasks, each with its 'data'")
        if len(tasks) > self._max_tasks:
            message = f"{len(tasks)} tasks, and at most {self._max_tasks} are accepted in one call"
            raise RequestRefused(RequestErrorCode.TOO_MANY_IMAGES, message)
        turns = asyncio.Semaphore(IN_FLIGHT)
        answering = (self._suggestion(request.scope, task, api, template, turns) for task in tasks)
        answers = await unless_disconnected(_all(answering), request.receive)
        errors = [
            {"task": task.get("id"), "message": str(answer)}
            for task, answer in zip(tasks, answers, strict=True)
            if isinstance(answer, Exception)
        ]
        for error in errors:
            logger.warning("task %s of Label Studio has no suggestion: %s", error["task"], error["message"])
        if len(errors) == len(tasks):
            raise RequestRefused(_code(answers[0]), f"task {tasks[0].get('id')}: {answers[0]}")
        results = [[] if isinstance(answer, Exception) else answer for answer in answers]
        return await asyncio.to_thread(JSONResponse, {"results": results, "errors": errors})

    async def _suggestion(
        self, scope: Scope, task: Mapping[str, Any], api: str, template: Template, turns: asyncio.Semaphore
    ) -> dict[str, Any] | Exception:
        """Return what is suggested for one task, or why nothing is."""
        data = task.get("data")
        async with turns, self._turns_of_all:  # in this order: a large call waits with few tasks beside a small one's
            try:
                picture = await self._pictures.fetch(data.get(template.image_key) if isinstance(data, dict) else None)
                answer = await ask(self._asked, scope, api, picture)
            except (PictureRefusedError, AskingError) as exc:
                return exc
            # In a thread: the brushes of a large picture take seconds, in which nobody else would be answered.
            return await asyncio.to_thread(suggest, answer, template)

    def _api_for(self, template: Template) -> str:
        """Return the API that answers for a template. Raises RequestRefused if no model that is served does."""
        served = self._identities()
        kinds = [kind for kind in _APIS if template.control(kind)]
        for kind in kinds:
            if found := next((api for api in _APIS[kind] if api in served), None):
                return found
        message = f"no model that is served answers for {', '.join(kinds) or 'this template'}"
        raise RequestRefused(RequestErrorCode.MALFORMED, message)


async def _all(answering: Any) -> list[Any]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in answering]
    return [task.result() for task in tasks]


async def _refusing(work: Any, scope: Scope) -> Response:
    """Await an answer, or note why there is none; the error's body is written around this."""
    try:
        response: Response = await work
        return response
    except ClientGoneError as exc:
        current_record().refusal = CLIENT_GONE
        refusal = RequestRefused(RequestErrorCode.DEADLINE_EXCEEDED, str(exc))
    except RequestRefused as exc:
        current_record().refusal = exc.code.value
        refusal = exc
    note_refusal(scope, refusal)
    return Response(status_code=refusal.status)


async def _body(request: Request) -> Mapping[str, Any]:
    try:
        # In a thread: tasks bring all that was said of them along, brushes among it.
        body = await asyncio.to_thread(json.loads, await request.body())
    except ClientDisconnect as exc:
        raise ClientGoneError("the client closed the connection before its body ended") from exc
    except (ValueError, RecursionError) as exc:
        raise RequestRefused(RequestErrorCode.MALFORMED, f"the body is no JSON: {exc}") from exc
    if not isinstance(body, dict):
        raise RequestRefused(RequestErrorCode.MALFORMED, "the body must be an object in JSON")
    return body


def _template(text: object) -> Template:
    if not isinstance(text, str):
        raise RequestRefused(RequestErrorCode.MALFORMED, "the project's template is missing")
    try:
        return read_template(text)
    except TemplateError as exc:
        raise RequestRefused(RequestErrorCode.MALFORMED, str(exc)) from exc


def _code(reason: object) -> RequestErrorCode:
    """Return the code of a call of which no task can be answered: the service's own, if it is one of a request."""
    code = reason.code if isinstance(reason, AskingError) else ""
    return RequestErrorCode(code) if code in set(RequestErrorCode) else RequestErrorCode.NOT_A_FILE
