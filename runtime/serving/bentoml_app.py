"""The three places where BentoML's app is given other rules: its dispatcher, its tracing, the paths its metrics see.

BentoML offers no setting for them, so this reads attributes of its app that are not public. `check_bentoml` refuses
at start where they are not known to be right. Nothing of BentoML's code is changed: only this app's own objects are.
"""

import functools
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import bentoml
from bentoml.exceptions import BentoMLConfigException
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

KNOWN_VERSIONS = ("1.4.39",)
UNKNOWN_PATH = "/{unknown}"

BatchCallback = Callable[[Sequence[Any]], Coroutine[None, None, Sequence[Any]]]
# What BentoML calls for each request of a batchable API, here named after what it is in BentoML.
Dispatcher = Callable[[BatchCallback], Callable[[Any], Coroutine[None, None, Any]]]


class UnknownBentoMLError(BentoMLConfigException):
    """A BentoML whose app we do not know well enough to change its rules."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"cannot put our batching into this BentoML: {what}. Install bentoml=={KNOWN_VERSIONS[-1]}, as "
            "requirements/serve.txt has it"
        )


def check_bentoml() -> None:
    """Raises UnknownBentoMLError unless the installed BentoML is a version that we have read."""
    if bentoml.__version__ not in KNOWN_VERSIONS:
        raise UnknownBentoMLError(f"it is version {bentoml.__version__}, we know {', '.join(KNOWN_VERSIONS)}")


def find_dispatchers(app: Starlette) -> dict[str, Any]:
    """Return BentoML's own table from API name to dispatcher: the one that it asks at every request.

    Raises UnknownBentoMLError if it is not where version 1.4.39 keeps it.
    """
    from bentoml._internal.marshal.dispatcher import CorkDispatcher

    for route in app.routes:
        # `functools.partial(factory.api_endpoint_wrapper, name)`, `ServiceAppFactory.routes`
        endpoint = getattr(route, "endpoint", None)
        if isinstance(endpoint, functools.partial):
            dispatchers = getattr(getattr(endpoint.func, "__self__", None), "dispatchers", None)
            if isinstance(dispatchers, dict) and all(isinstance(d, CorkDispatcher) for d in dispatchers.values()):
                return dispatchers
    raise UnknownBentoMLError("its app keeps its dispatchers elsewhere")


def replace_dispatchers(app: Starlette, replacements: Mapping[str, Dispatcher]) -> None:
    """Have batchable APIs, by name, ask other dispatchers from now on. Raises UnknownBentoMLError."""
    check_bentoml()
    dispatchers = find_dispatchers(app)
    if unknown := sorted(replacements.keys() - dispatchers.keys()):
        raise UnknownBentoMLError(f"it has no dispatcher for {', '.join(unknown)}")
    dispatchers.update(replacements)


def leave_out_idle_tracing(app: Starlette) -> None:
    """Take OpenTelemetry out of the way of requests where BentoML has no exporter to give their spans to.

    Must run before the first request. BentoML's setting for it, `tracing.excluded_urls`, would silence an exporter
    that an operator adds in BENTOML_CONFIGURATION, too.
    """
    from bentoml._internal.configuration.containers import BentoMLContainer
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    tracing: object = OpenTelemetryMiddleware
    if BentoMLContainer.tracing.exporter_type.get() is None:
        app.user_middleware = [entry for entry in app.user_middleware if entry.cls is not tracing]


def socket_path_of(name: str) -> Path:
    """Where the service `name`, started beside this one, listens.

    Raises UnknownBentoMLError if that is not a unix socket.
    """
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml._internal.utils.uri import uri_to_path

    uri = BentoMLContainer.remote_runner_mapping.get().get(name, "")
    if not uri.startswith("file://"):
        raise UnknownBentoMLError(f"it serves '{name}' at '{uri}', not at a unix socket")
    return Path(uri_to_path(uri))


def bentoml_home() -> Path:
    """Return the folder in which BentoML keeps all that is a user's."""
    from bentoml._internal.configuration.containers import BentoMLContainer

    return Path(BentoMLContainer.bentoml_home.get())


class BoundedPaths:
    """Stands before BentoML's metrics, which keep a series of every path for ever: those not served become one.

    bentoml_app: whose routes say what is served; `app` stands around it. aliases: other names of paths, by name.
    Nothing is lost, as the answer is 404 for either path. A path with one slash too many leads to the one without.
    """

    def __init__(self, app: ASGIApp, bentoml_app: Starlette, aliases: Mapping[str, str]) -> None:
        self.app = app
        self._aliases = dict(aliases)
        self._paths = {route.path for route in bentoml_app.routes if isinstance(route, Route)}
        self._files = {
            route.path: route.app
            for route in bentoml_app.routes
            if isinstance(route, Mount) and isinstance(route.app, StaticFiles)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            path = scope["path"]
            known = self._aliases.get(path) or (path if self._is_served(path) else UNKNOWN_PATH)
            if known == UNKNOWN_PATH and path.removesuffix("/") in self._paths | self._aliases.keys():
                await _redirect_to_no_slash(scope, send)
                return
            if known != path:
                scope = {**scope, "path": known, "raw_path": known.encode()}
        await self.app(scope, receive, send)

    def _is_served(self, path: str) -> bool:
        if path in self._paths:
            return True
        folder, _, name = path.removeprefix("/").partition("/")
        files = self._files.get(f"/{folder}")
        return files is not None and path == f"/{folder}/{name}" and _is_file(files, name)


async def _redirect_to_no_slash(scope: Scope, send: Send) -> None:
    """Send the client from `.../predict/` to `../predict`.

    Starlette would name scheme and host as this process sees them, which behind a proxy, above all one for TLS, are not
    the client's; a path from the root would leave out the prefix under which a proxy has the service.
    """
    name = scope["path"].removesuffix("/").rpartition("/")[2]
    location = b"../" + quote(name).encode() + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    headers = [(b"location", location), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": int(HTTPStatus.TEMPORARY_REDIRECT), "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _is_file(files: StaticFiles, name: str) -> bool:
    # One spelling only: `a/../a/x.js` names the same file again and again.
    if name != os.path.normpath(name):
        return False
    try:
        return files.lookup_path(name)[1] is not None
    except (OSError, ValueError):  # a name too long, or with a null byte
        return False
