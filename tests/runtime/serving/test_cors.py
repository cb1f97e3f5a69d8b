"""Which origins are admitted, and that it holds for answers from before BentoML, whoever turned CORS on."""

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.answers.refusals import RequestRefused
from runtime.serving.connections.cors import EXPOSED_HEADERS, CorsMiddleware, cors_around
from runtime.serving.edge import AdmissionMiddleware
from runtime.serving.error_bodies import ErrorBodyMiddleware
from runtime.serving.settings import ServingSettings, SettingsError

ORIGIN, OTHER = "https://app.example.com", "https://evil.example.com"


def ignore(scope: Scope, refusal: RequestRefused) -> None:
    """Nobody counts here."""


async def page(request: Request) -> Response:
    return PlainTextResponse("page")


def bentoml_app(*middleware: Middleware) -> Starlette:
    return Starlette(routes=[Route("/predict", page, methods=["POST"])], middleware=list(middleware))


def edge(app: Starlette, origins: tuple[str, ...]) -> tuple[ASGIApp, CorsMiddleware | None]:
    """The service's order, with a gate that refuses everything before BentoML."""
    admitted = AdmissionMiddleware(app, ["/predict"], lambda _path: True)
    cors = cors_around(admitted, app, origins, ignore)
    return ErrorBodyMiddleware(cors or admitted), cors


def ask(app: ASGIApp, method: str = "POST", **headers: str) -> httpx.Response:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            return await client.request(method, "/predict", headers=headers)

    return asyncio.run(send())


@pytest.mark.parametrize(
    ("stated", "origin", "allowed"),
    [
        ((ORIGIN,), ORIGIN, ORIGIN),
        ((ORIGIN, "http://localhost:5173"), "http://localhost:5173", "http://localhost:5173"),
        ((ORIGIN,), OTHER, None),
        ((ORIGIN,), ORIGIN + ":8443", None),
        ((ORIGIN,), "null", None),
        (("*",), OTHER, "*"),
        ((), ORIGIN, None),
    ],
)
def test_an_early_refusal_names_the_origin_that_may_read_it(
    stated: tuple[str, ...], origin: str, allowed: str | None
) -> None:
    app, cors = edge(bentoml_app(), stated)
    response = ask(app, Origin=origin)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "overloaded")
    assert response.headers.get("access-control-allow-origin") == allowed
    early = dict(cors.early_headers([(b"origin", origin.encode())]) if cors else [])
    assert early.get(b"access-control-allow-origin", b"").decode() == (allowed or "")
    assert "access-control-allow-credentials" not in response.headers


def test_answers_differ_by_origin_for_caches_too() -> None:
    app, cors = edge(bentoml_app(), (ORIGIN,))
    assert cors is not None
    assert ask(app).headers["vary"] == ask(app, Origin=ORIGIN).headers["vary"] == "Origin"
    assert cors.early_headers([]) == []


def test_without_a_setting_nothing_is_added() -> None:
    app, cors = edge(bentoml_app(), ())
    assert cors is None
    assert not [name for name in ask(app, Origin=ORIGIN).headers if name.startswith("access-control") or name == "vary"]
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    assert ask(app, "OPTIONS", **preflight).status_code == 405


@pytest.mark.parametrize(
    ("method", "words"), [("PUT", "does not admit the method of"), ("POST", "does not admit the origin of")]
)
def test_a_preflight_that_is_refused_says_what_is_not_admitted(method: str, words: str) -> None:
    counted: list[str] = []

    def count(scope: Scope, refusal: RequestRefused) -> None:
        counted.append(refusal.code.value)

    app = CorsMiddleware.of(bentoml_app(), (ORIGIN,), count)
    origin = OTHER if method == "POST" else ORIGIN
    response = ask(app, "OPTIONS", Origin=origin, **{"Access-Control-Request-Method": method})
    assert counted == ["cors_refused"]
    assert response.status_code == 400  # `ErrorBodyMiddleware` makes of it what was noted

    messages: list[str] = []
    app = CorsMiddleware.of(bentoml_app(), (ORIGIN,), lambda _, refusal: messages.append(str(refusal)))
    ask(app, "OPTIONS", Origin=origin, **{"Access-Control-Request-Method": method})
    assert words in messages[0]


def test_a_preflight_to_a_private_network_is_answered() -> None:
    app = CorsMiddleware.of(bentoml_app(), (ORIGIN,), ignore)
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Private-Network": "true"}
    response = ask(app, "OPTIONS", Origin=ORIGIN, **asked)
    assert (response.status_code, response.headers["access-control-allow-private-network"]) == (200, "true")
    refused = ask(app, "OPTIONS", Origin=OTHER, **asked)
    assert (refused.status_code, refused.headers.get("access-control-allow-origin")) == (400, None)


def test_a_request_for_options_that_is_no_preflight_passes() -> None:
    app, _ = edge(bentoml_app(), (ORIGIN,))
    assert ask(app, "OPTIONS").status_code == 405


def test_bentomls_own_cors_is_moved_to_where_every_answer_has_it() -> None:
    own = Middleware(CORSMiddleware, allow_origins=[ORIGIN], allow_credentials=True)
    bare = bentoml_app(own)
    app, cors = edge(bare, ())
    response = ask(app, Origin=ORIGIN)
    assert response.status_code == 503
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["access-control-allow-credentials"] == "true"
    assert response.headers["access-control-expose-headers"] == ", ".join(EXPOSED_HEADERS)
    assert bare.user_middleware == []
    assert cors is not None
    assert dict(cors.early_headers([(b"origin", ORIGIN.encode())]))[b"access-control-allow-credentials"] == b"true"


def test_both_settings_exclude_each_other() -> None:
    own = Middleware(CORSMiddleware, allow_origins=[ORIGIN])
    with pytest.raises(SettingsError, match=r"VISION_CORS_ORIGINS and BentoML's http\.cors"):
        edge(bentoml_app(own), (ORIGIN,))


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("", ()),
        ("*", ("*",)),
        ("https://App.Example.com", ("https://app.example.com",)),
        ("https://a.example:443, http://b.example:80", ("https://a.example", "http://b.example")),
        ("https://a.example:8443 http://[::1]:3000,null", ("https://a.example:8443", "http://[::1]:3000", "null")),
    ],
)
def test_origins_are_read_as_browsers_send_them(
    text: str, origins: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISION_CORS_ORIGINS", text)
    assert ServingSettings.read().cors_origins == origins


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("https://a.example/", "without a path or slash"),
        ("https://a.example/app", "without a path or slash"),
        ("a.example", "is no origin"),
        ("ftp://a.example", "is no origin"),
        ("https://", "is no origin"),
        ("https://a.example:port", "is no origin"),
        ("https://user@a.example", "is no origin"),
        ("https://*.example.com", "has a wildcard"),
        ("*, https://a.example", "stands alone"),
        ('["https://a.example"]', "is no origin"),
    ],
)
def test_what_is_no_origin_is_named(text: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISION_CORS_ORIGINS", text)
    with pytest.raises(SettingsError, match="VISION_CORS_ORIGINS=") as caught:
        ServingSettings.read()
    assert words in str(caught.value)


def test_what_is_no_http_passes() -> None:
    reached: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope["type"])

    asyncio.run(CorsMiddleware.of(app, ("*",), ignore)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert reached == ["lifespan"]
