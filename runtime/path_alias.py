"""A second path to one endpoint, for the sake of what is written about it."""

from starlette.types import ASGIApp, Receive, Scope, Send


class PathAliasMiddleware:
    """Pure ASGI: whatever is asked of the path `alias` is asked of `path`."""

    def __init__(self, app: ASGIApp, alias: str, path: str) -> None:
        self.app = app
        self._alias, self._path = alias, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == self._alias:
            scope = {**scope, "path": self._path, "raw_path": self._path.encode()}
        await self.app(scope, receive, send)
