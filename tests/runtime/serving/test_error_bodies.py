"""Errors from around the service: BentoML's and Starlette's own answers come out in our form."""

import asyncio
import re
from pathlib import Path

import httpx
import pytest
from bentoml._internal.server.http.traffic import MaxConcurrencyMiddleware
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from runtime.answers.refusals import STATUS, FetchErrorCode, JobErrorCode, RequestErrorCode, RequestRefused
from runtime.serving.error_bodies import EDGE_CODES, ErrorBodyMiddleware, note_refusal

API_PAGE = Path(__file__).parents[3] / "docs" / "API.md"


async def answer(request: Request) -> Response:
    """Do what the query says: fail, refuse or answer with a status."""
    status = int(request.query_params.get("status", "200"))
    if status == 0:
        raise RuntimeError("a fault of ours")
    if status == 1:
        note_refusal(request.scope, RequestRefused(RequestErrorCode.OVERLOADED, "full", retry_after_s=7))
    return PlainTextResponse("theirs", status_code=max(status, 503) if status < 100 else status)


APP = Starlette(routes=[Route("/", answer)])


def get(app: ASGIApp, path: str, num_requests: int = 1) -> list[httpx.Response]:
    """Ask the application, all requests at once."""

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(ErrorBodyMiddleware(app), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return list(await asyncio.gather(*(client.get(path) for _ in range(num_requests))))

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("path", "status", "code", "retry_after"),
    [
        ("/nothing", 404, "not_found", None),
        ("/?status=0", 500, "internal_server_error", None),
        ("/?status=1", 503, "overloaded", "7"),
        ("/?status=429", 429, "overloaded", "1"),
        ("/?status=503", 503, "overloaded", "1"),
        ("/?status=504", 504, "deadline_exceeded", None),
        ("/?status=418", 418, "im_a_teapot", None),
        ("/?status=499", 499, "http_499", None),
    ],
)
def test_every_error_has_our_form(path: str, status: int, code: str, retry_after: str | None) -> None:
    [response] = get(APP, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert response.headers.get("retry-after") == retry_after
    error = response.json()["error"]
    assert error["message"]
    assert error == {
        "code": code,
        "message": error["message"],
        "index": None,
        "request_id": response.headers["x-request-id"],
    }


def test_answers_that_are_no_errors_pass_as_they_are() -> None:
    [response] = get(APP, "/")
    assert (response.status_code, response.text) == (200, "theirs")
    assert len(response.headers["x-request-id"]) == 32


def test_bentomls_own_concurrency_limit_answers_in_our_form() -> None:
    async def slow(request: Request) -> Response:
        await asyncio.sleep(0.05)
        return PlainTextResponse("done")

    limited = MaxConcurrencyMiddleware(Starlette(routes=[Route("/", slow)]), max_concurrency=1)
    refused = [response for response in get(limited, "/", num_requests=3) if response.status_code != 200]
    assert [(r.status_code, r.json()["error"]["code"], r.headers["retry-after"]) for r in refused] == [
        (429, "overloaded", "1")
    ] * 2


def test_the_page_lists_every_code_with_its_status() -> None:
    """A client's author reads docs/API.md; what it says is what is sent."""
    page = API_PAGE.read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(\w+)` \| (\d{3}) \|", page, re.MULTILINE))
    of_images = {*FetchErrorCode, JobErrorCode.GIVEN_UP}  # in a line of a list or a job, which has no status
    sent = {(code.value, int(status)) for code, status in STATUS.items() if code not in of_images}
    around = {(code, int(status)) for status, code in EDGE_CODES.items()}
    assert {(code, int(status)) for code, status in rows} == sent | around
    in_tables = " ".join(re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE))
    assert [code for code in of_images if f"`{code}`" not in in_tables] == []
