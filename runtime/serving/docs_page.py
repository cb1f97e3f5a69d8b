"""The page at `/`: Swagger UI, as BentoML carries it, over our OpenAPI document. It loads nothing foreign.

BentoML's own page loads Google's tag manager whatever is set, and has a stranger's server check the document.
"""

import base64
import hashlib
from functools import partial

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
_START_HASH = base64.b64encode(hashlib.sha256(_START.encode()).digest()).decode()
# The browser holds what the page promises. Swagger UI writes styles into its elements and carries its icons as data.
POLICY = (
    f"default-src 'none'; script-src 'self' 'sha256-{_START_HASH}'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


def replace_docs_page(app: Starlette, links_to_page: bool) -> None:
    """Serve our page where BentoML has its own; an app without one is left as it is.

    links_to_page: whether there is a page for pictures, to which this one leads.
    """
    page = docs_page(links_to_page)
    routes = app.router.routes
    for place, route in enumerate(routes):
        if isinstance(route, Route) and route.name == _PAGE_NAME:
            routes[place] = Route(route.path, partial(_show, page), name=_PAGE_NAME)


def docs_page(links_to_page: bool) -> str:
    """Write the page."""
    link = '<p><a href="./ui">Look at pictures in the browser</a></p>' if links_to_page else ""
    return f"""<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="UTF-8">
    <title>Vision service</title>
    <link rel="stylesheet" type="text/css" href="./static_content/swagger-ui.css">
    <link rel="icon" type="image/png" href="./static_content/favicon-light-32x32.png">
  </head>
  <body>
    {link}
    <div id="swagger-ui"></div>
    <script src="./static_content/swagger-ui-bundle.js" charset="UTF-8"></script>
    <script>{_START}</script>
  </body>
</html>
"""


async def _show(page: str, _: Request) -> HTMLResponse:
    return HTMLResponse(page, headers={"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"})
