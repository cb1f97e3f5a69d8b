"""One JSON object for everything that goes wrong: `{"error": {"code", "message", "index", "request_id"}}`.

BentoML and Starlette answer errors in forms of their own: a list with one item, a sentence, a page of plain text.
`ErrorBodyMiddleware` stands around all of them, also around BentoML's timeout and concurrency limit, and writes ours
instead. What is refused before there is a request gets the same form from `early_answer`.
"""

import json
import random
import re
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.serving.request_record import REQUEST_ID_HEADER

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_STATE_KEY = "vision.refusal"
_ID_KEY = "vision.request_id"
_RETRY_AFTER_S = 1  # where a layer that is not ours refuses for load and does not say when to come back
# Of errors that come from around the service. Any other status has its name in lower case, such as `not_found`.
EDGE_CODES: dict[int, str] = {
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.TOO_MANY_REQUESTS: RequestErrorCode.OVERLOADED.value,
    HTTPStatus.INTERNAL_SERVER_ERROR: "internal_server_error",
    HTTPStatus.SERVICE_UNAVAILABLE: RequestErrorCode.OVERLOADED.value,
    HTTPStatus.GATEWAY_TIMEOUT: RequestErrorCode.DEADLINE_EXCEEDED.value,
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED: "http_version_not_supported",
}
_MESSAGES: dict[int, str] = {
    HTTPStatus.TOO_MANY_REQUESTS: "the service has as many requests as it takes; try again later",
    HTTPStatus.INTERNAL_SERVER_ERROR: "the service failed; its log has the cause under this request id",
    HTTPStatus.SERVICE_UNAVAILABLE: "the service has more work than it can do in time; try again later",
    HTTPStatus.GATEWAY_TIMEOUT: "the request could not be answered in time",
}


def request_id_of(wanted: str) -> str:
    """Return the client's own request id if it is a sane one, else a new one."""
    return wanted if _SANE_REQUEST_ID.fullmatch(wanted) else f"{random.getrandbits(128):032x}"


def early_answer(
    status: HTTPStatus,
    code: str,
    message: str,
    request_headers: list[tuple[bytes, bytes]],
    headers: list[tuple[bytes, bytes]],
) -> bytes:
    """Return a whole HTTP/1.1 answer to what is no request yet, after which the connection closes.

    request_headers: those that have come, names in lower case. headers: what the answer has beside its own.
    """
    wanted = dict(request_headers).get(REQUEST_ID_HEADER.encode(), b"").decode("latin-1")
    request_id = request_id_of(wanted)
    body = _body(code, message, None, request_id)
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}".encode(),
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        f"{REQUEST_ID_HEADER}: {request_id}".encode(),
        *(b"%b: %b" % header for header in headers),
        b"connection: close",
    ]
    return b"\r\n".join([*lines, b"", b""]) + body


def note_refusal(scope: Scope, refusal: RequestRefused) -> None:
    """Tell the middleware why this request is refused; it writes the answer."""
    scope.get(_STATE_KEY, []).append(refusal)


def current_request_id(scope: Scope) -> str:
    """Return the id that the request's answer carries, "" outside of the middleware."""
    return str(scope.get(_ID_KEY, ""))


def problem(refusal: RequestRefused, request_id: str) -> dict[str, object]:
    """Return what a body, or a line of a stream, says of a refusal."""
    return _problem(refusal.code.value, str(refusal), refusal.index, request_id)


def internal_problem(index: int, request_id: str) -> dict[str, object]:
    """Return what a line of a stream, whose status has long been sent, says of an image that nobody can answer for."""
    status = int(HTTPStatus.INTERNAL_SERVER_ERROR)
    return _problem(_edge_code(status), _edge_message(status), index, request_id)


class ErrorBodyMiddleware:
    """Pure ASGI: gives every answer a request id and every answer from 400 upwards our JSON body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = request_id_of(Headers(scope=scope).get(REQUEST_ID_HEADER, ""))
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
        scope[_ID_KEY] = request_id
        await self.app(scope, receive, send_ours)


async def _send_error(start: Message, refusals: list[RequestRefused], request_id: str, send: Send) -> None:
    refusal = refusals[0] if refusals else None
    headers = MutableHeaders(scope=start)
    if refusal:
        status = int(refusal.status)
        code, message, index = refusal.code.value, str(refusal), refusal.index
        retry_after_s = refusal.retry_after_s
    else:
        status, index = start["status"], None
        code, message = _edge_code(status), _edge_message(status)
        retry_after_s = _RETRY_AFTER_S if code == RequestErrorCode.OVERLOADED.value else None
    if retry_after_s is not None:
        headers["retry-after"] = str(retry_after_s)
    body = _body(code, message, index, request_id)
    headers["content-type"] = "application/json"
    headers["content-length"] = str(len(body))
    await send({**start, "status": status})
    await send({"type": "http.response.body", "body": body})


def _body(code: str, message: str, index: int | None, request_id: str) -> bytes:
    return json.dumps({"error": _problem(code, message, index, request_id)}).encode()


def _problem(code: str, message: str, index: int | None, request_id: str) -> dict[str, object]:
    return {"code": code, "message": message, "index": index, "request_id": request_id}


def _edge_code(status: int) -> str:
    return EDGE_CODES.get(status) or (HTTPStatus(status).name.lower() if status in _KNOWN else f"http_{status}")


def _edge_message(status: int) -> str:
    if status in _MESSAGES:
        return _MESSAGES[status]
    known = HTTPStatus(status) if status in _KNOWN else None
    return (known.description or known.phrase) if known else f"HTTP status {status}"


_KNOWN = frozenset(map(int, HTTPStatus))
