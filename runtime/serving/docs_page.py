"""The page at `/`: Swagger UI, as BentoML carries it, over our OpenAPI document. It loads nothing foreign.

BentoML's own page loads Google's tag manager whatever is set, and has a stranger's server check the document.
"""

import base64
import hashlib

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

_PAGE_NAME = "index"  # of BentoML's route
_START = """
window.ui = SwaggerUIBundle({
  url: "./docs.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis], layout: "BaseLayout"
});
"""
PAGE = f"""<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="UTF-8">
    <title>Vision service</title>
    <link rel="stylesheet" type="text/css" href="./static_content/swagger-ui.css">
    <link rel="icon" type="image/png" href="./static_content/favicon-light-32x32.png">
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="./static_content/swagger-ui-bundle.js" charset="UTF-8"></script>
    <script>{_START}</script>
  </body>
</html>
"""
_START_HASH = base64.b64encode(hashlib.sha256(_START.encode()).digest()).decode()
# The browser holds what the page promises. Swagger UI writes styles into its elements and carries its icons as data.
POLICY = (
    f"default-src 'none'; script-src 'self' 'sha256-{_START_HASH}'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


def replace_docs_page(app: Starlette) -> None:
    """Serve our page where BentoML has its own; an app without one is left as it is."""
    routes = app.router.routes
    for place, route in enumerate(routes):
        if isinstance(route, Route) and route.name == _PAGE_NAME:
            routes[place] = Route(route.path, _show, name=_PAGE_NAME)


async def _show(_: Request) -> HTMLResponse:
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"})
