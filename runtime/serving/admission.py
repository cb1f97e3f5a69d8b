"""Refuses requests that could not be served before BentoML sees them: under overload saying no must cost little.

What BentoML does around a request, its routing, context and exception handling, costs more than half a millisecond. A
server that gets twice the requests it can serve would spend a fifth of its cores on saying no.
"""

from collections.abc import Callable, Collection
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

IsRefused = Callable[[], bool]


class AdmissionMiddleware:
    """Pure ASGI, inside `ErrorBodyMiddleware`, which writes the answer.

    routes: the paths that are guarded; requests to them by POST. is_refused: asked at each of them; notes the reason
    itself.
    BentoML's own request metrics do not count what is refused here; `vision_refusals_total` does.
    """

    def __init__(self, app: ASGIApp, routes: Collection[str], is_refused: IsRefused) -> None:
        self.app = app
        self._routes = routes
        self._is_refused = is_refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_guarded = scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self._routes
        if not (is_guarded and self._is_refused()):
            await self.app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": int(HTTPStatus.SERVICE_UNAVAILABLE), "headers": []})
        await send({"type": "http.response.body", "body": b""})
