"""The page at `/ui`: pictures to the served models and their answers in a browser, for people who never see the API.

Plain HTML, CSS and JavaScript modules of our own, in `files/`. The page is written once, when the service starts.
"""

import hashlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import bentoml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runtime.model.roles import Role
from runtime.serving.page.model_facts import ModelFacts
from runtime.serving.settings import ServingSettings

PAGE_PATH = "/ui"
FILES = Path(__file__).parent / "files"
_TEMPLATE = "page.html.jinja"
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_ASKS = ("predict", "segment", "detect")  # in the order in which the page shows their answers
# The browser holds what the page promises: nothing foreign, nothing inline, and no HTML is made of text.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; require-trusted-types-for 'script'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # asked again by its ETag, so that a new Bento's page is never mixed with an old one's
}

Answer = Callable[[Request], Coroutine[Any, Any, Response]]


def add_page(
    app: Starlette, models: Mapping[Role, bentoml.Model], apis: Sequence[str], settings: ServingSettings
) -> None:
    """Serve the page and its files. apis: names of the endpoints that there are. Raises ContractError."""
    page = render_page([ModelFacts.read(role, model) for role, model in models.items()], apis, settings)
    routes = [Route(PAGE_PATH, _answering(page.encode(), "text/html"))]
    for path in sorted(FILES.iterdir()):
        if path.suffix in _MEDIA_TYPES:
            route = f"{PAGE_PATH}/{path.name}"
            routes.append(Route(route, _answering(path.read_bytes(), _MEDIA_TYPES[path.suffix])))
    app.router.routes.extend(routes)


def render_page(models: Sequence[ModelFacts], apis: Sequence[str], settings: ServingSettings) -> str:
    """Write the page's HTML for these models and limits."""
    environment = Environment(
        loader=FileSystemLoader(FILES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    asks = [api for api in _ASKS if api in apis]
    served = {"asks": asks, "maxBodyBytes": settings.max_body_bytes}
    return environment.get_template(_TEMPLATE).render(models=models, asks=asks, served=served)


def _answering(body: bytes, media_type: str) -> Answer:
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return partial(_answer, body, media_type, {**_HEADERS, "ETag": etag})


async def _answer(body: bytes, media_type: str, headers: Mapping[str, str], request: Request) -> Response:
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)
