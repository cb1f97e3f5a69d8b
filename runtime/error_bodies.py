"""One JSON object for everything that goes wrong: `{"error": {"code", "message", "index", "request_id"}}`.

BentoML answers an error raised while a request is read in forms of its own (a list with one item, or a sentence).
`ErrorBodyMiddleware` stands between BentoML and the client and writes ours instead. Not covered: what BentoML's own
outer middlewares answer before a request comes here (429 of `max_concurrency`, 504 of `timeout`).
"""

import json
import logging
import re
import uuid
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.intake import RequestRefused

REQUEST_ID_HEADER = "x-request-id"
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_STATE_KEY = "vision.refusal"


def note_refusal(request: Request, refusal: RequestRefused) -> None:
    """Tell the middleware why this request is refused; it writes the answer."""
    request.scope.get(_STATE_KEY, []).append(refusal)


class ErrorBodyMiddleware:
    """Pure ASGI: gives every answer a request id and every answer from 400 upwards our JSON body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        wanted = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        request_id = wanted if _SANE_REQUEST_ID.fullmatch(wanted) else uuid.uuid4().hex
        refusals: list[RequestRefused] = []
        is_replaced = False

        async def send_ours(message: Message) -> None:
            nonlocal is_replaced
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
                if message["status"] >= HTTPStatus.BAD_REQUEST:
                    is_replaced = True
                    await _send_error(message, refusals, request_id, send)
                    return
            if not is_replaced:
                await send(message)

        scope[_STATE_KEY] = refusals
        await self.app(scope, receive, send_ours)


async def _send_error(start: Message, refusals: list[RequestRefused], request_id: str, send: Send) -> None:
    refusal = refusals[0] if refusals else None
    status = HTTPStatus(refusal.error_code if refusal else start["status"])
    error = {
        "code": refusal.code.value if refusal else status.name.lower(),
        "message": str(refusal) if refusal else status.description or status.phrase,
        "index": refusal.index if refusal else None,
        "request_id": request_id,
    }
    body = json.dumps({"error": error}).encode()
    headers = MutableHeaders(scope=start)
    headers["content-type"] = "application/json"
    headers["content-length"] = str(len(body))
    await send({**start, "status": int(status)})
    await send({"type": "http.response.body", "body": body})


class RefusalLogFilter(logging.Filter):
    """Turns the traceback that BentoML logs for a refused request into one warning; other records pass as they are."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, RequestRefused):
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.msg, record.args, record.exc_info = "request refused with %s: %s", (error.code.value, error), None
        return True
