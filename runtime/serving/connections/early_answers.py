"""Answers that are written to a connection before there is a request that an application could answer."""

import json
from http import HTTPStatus

from runtime.serving.error_bodies import REQUEST_ID_HEADER, request_id_of


def early_answer(
    status: HTTPStatus,
    code: str,
    message: str,
    request_headers: list[tuple[bytes, bytes]],
    headers: list[tuple[bytes, bytes]],
) -> bytes:
    """Return a whole HTTP/1.1 answer in the form of every error, after which the connection closes.

    request_headers: those that have come, names in lower case. headers: what the answer has beside its own.
    """
    wanted = dict(request_headers).get(REQUEST_ID_HEADER.encode(), b"").decode("latin-1")
    request_id = request_id_of(wanted)
    error = {"code": code, "message": message, "index": None, "request_id": request_id}
    body = json.dumps({"error": error}).encode()
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}".encode(),
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        f"{REQUEST_ID_HEADER}: {request_id}".encode(),
        *(b"%b: %b" % header for header in headers),
        b"connection: close",
    ]
    return b"\r\n".join([*lines, b"", b""]) + body
