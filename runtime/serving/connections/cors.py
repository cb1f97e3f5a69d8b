"""Which pages of other origins may read our answers (CORS): every answer, however early it is written."""

from collections.abc import Callable, Sequence
from typing import Any, Self

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.serving.connections.origins import ANY
from runtime.serving.settings import SettingsError

EXPOSED_HEADERS = ("X-Request-ID", "Server-Timing", "Retry-After", "Location")
METHODS = ("GET", "HEAD", "POST", "DELETE")

OnRefusal = Callable[[Scope, RequestRefused], None]


class CorsMiddleware(CORSMiddleware):
    """Starlette's, inside `ErrorBodyMiddleware`: a preflight that is refused is answered as everything is.

    on_refusal: called for each of those. options: Starlette's.
    """

    def __init__(self, app: ASGIApp, on_refusal: OnRefusal, **options: Any) -> None:
        super().__init__(app, **options)
        self._on_refusal = on_refusal

    @classmethod
    def of(cls, app: ASGIApp, origins: Sequence[str], on_refusal: OnRefusal) -> Self:
        """Admit pages of these origins. Cookies and other credentials are never admitted: the service knows none.

        Any request header is, because proxies before the service ask for keys in headers of their own. A service in a
        private network, which Chrome asks about in the same preflight, is open to the same pages.
        """
        options = {
            "allow_methods": METHODS,
            "allow_headers": (ANY,),
            "expose_headers": EXPOSED_HEADERS,
            "allow_private_network": True,
        }
        return cls(app, on_refusal, allow_origins=origins, **options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "OPTIONS":
            await super().__call__(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if "origin" not in headers or "access-control-request-method" not in headers:
            await super().__call__(scope, receive, send)
            return
        response = self.preflight_response(headers)
        if response.status_code != 200:
            what = bytes(response.body).decode().removeprefix("Disallowed CORS ")
            message = f"this service does not admit the {what} of {headers['origin'][:100]!r}; see VISION_CORS_ORIGINS"
            self._on_refusal(scope, RequestRefused(RequestErrorCode.CORS_REFUSED, message))
        await response(scope, receive, send)

    def early_headers(self, request_headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Return what an answer needs that never comes through here. Names are in lower case."""
        origin = dict(request_headers).get(b"origin")
        if origin is None or not self.is_allowed_origin(origin.decode("latin-1")):
            return []
        is_named = not self.allow_all_origins or self.allow_credentials
        own = {name.lower().encode(): value.encode() for name, value in self.simple_headers.items()}
        allowed = {b"access-control-allow-origin": origin} if is_named else {}
        return list({**own, **allowed, b"vary": b"Origin"}.items())


def cors_around(
    app: ASGIApp, bentoml_app: Starlette, origins: Sequence[str], on_refusal: OnRefusal
) -> CorsMiddleware | None:
    """Return `app` with CORS around it, or None if nobody asked for it.

    bentoml_app: whose own CORS, if BentoML's configuration turns it on (`http.cors`), is moved out here, because
    answers that are given before BentoML would not have it. Raises SettingsError if `origins` are stated as well.
    """
    own: object = CORSMiddleware
    entries = [entry for entry in bentoml_app.user_middleware if entry.cls is own]
    if not entries:
        return CorsMiddleware.of(app, origins, on_refusal) if origins else None
    if origins:
        raise SettingsError("VISION_CORS_ORIGINS and BentoML's http.cors exclude each other; unset one")
    bentoml_app.user_middleware = [entry for entry in bentoml_app.user_middleware if entry.cls is not own]
    options: dict[str, Any] = {"expose_headers": EXPOSED_HEADERS, **entries[0].kwargs}
    return CorsMiddleware(app, on_refusal, **options)
