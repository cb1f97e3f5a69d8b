"""Errors in the OpenAPI document: one response for each status, and the form that all bodies have."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from runtime.answers.refusals import STATUS, AnyCode
from runtime.serving.error_bodies import EDGE_CODES
from runtime.serving.intake.body_forms import JSON
from runtime.serving.openapi.bodies import headers_of, object_of, ref

Json = dict[str, Any]

_EDGE_STATUSES = (HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.TOO_MANY_REQUESTS)
_FOR_A_WHILE = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.INSUFFICIENT_STORAGE)


def errors_of(refusals: Iterable[AnyCode]) -> Json:
    """Return one response for each status, naming the codes that go with it. refusals: what may be said."""
    codes: dict[int, set[str]] = {status: {EDGE_CODES[status]} for status in _EDGE_STATUSES}
    for code in refusals:
        codes.setdefault(STATUS[code], set()).add(code.value)
    retry = {"Retry-After": "whole seconds after which the same request may succeed"}
    return {
        str(int(status)): {
            "description": f"{HTTPStatus(status).phrase}: {', '.join(sorted(names))}",
            "headers": headers_of(retry if status in _FOR_A_WHILE else {}),
            "content": {JSON: {"schema": ref("Error")}},
        }
        for status, names in sorted(codes.items())
    }


def error_schemas() -> Json:
    """Return the schemas of a body that says what went wrong."""
    codes = sorted({*(code.value for code in STATUS), *EDGE_CODES.values()})
    problem = object_of(
        {
            "code": {"type": "string", "enum": codes, "description": "stable; clients may switch on it"},
            "message": {"type": "string", "description": "for people; may change"},
            "index": {"type": "integer", "nullable": True, "description": "place of the image at fault, from 0"},
            "request_id": {"type": "string", "description": "names this request in the service's log"},
        }
    )
    return {"Error": object_of({"error": ref("Problem")}), "Problem": problem}
