"""The page at `/` loads nothing from anywhere else, and the browser is told to hold it to that."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from runtime.serving.docs_page import docs_page, replace_docs_page
from tests.bento_project import Served

LOADING = ("src", "href", "action", "data", "poster", "srcset", "background")


class Loaded(HTMLParser):
    """What a page names to be loaded, and the scripts that it holds."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.scripts: list[str] = []
        self._is_script = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names += [value or "" for name, value in attrs if name in LOADING]
        self._is_script = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self._is_script = False

    def handle_data(self, data: str) -> None:
        if self._is_script and data.strip():
            self.scripts.append(data)


@pytest.fixture(scope="module")
def page(served: Served) -> httpx.Response:
    return httpx.get(f"{served.url}/")


def directives(page: httpx.Response) -> dict[str, list[str]]:
    policy = page.headers["content-security-policy"]
    return {name: sources for name, *sources in (part.split() for part in policy.split(";"))}


def test_page_names_only_files_that_the_service_has(served: Served, page: httpx.Response) -> None:
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    loaded = Loaded(page.text)
    assert len(loaded.names) == 4
    for name in [*loaded.names, "./docs.json"]:
        url = urljoin(f"{served.url}/", name)
        assert urlsplit(url).netloc == urlsplit(served.url).netloc
        found = httpx.get(url)
        assert found.status_code == 200, name
        if name.endswith(".css"):
            inside = re.findall(r"url\(\s*['\"]?([^'\")]*)|@import\s*['\"]?([^'\";]*)", found.text)
            assert [one for one in inside if not "".join(one).startswith("data:")] == []
    assert "//" not in page.text.replace("<!DOCTYPE", "")


def test_browser_is_told_to_load_nothing_else(page: httpx.Response) -> None:
    policy = directives(page)
    assert policy["default-src"] == ["'none'"]
    [script] = Loaded(page.text).scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy["script-src"] == ["'self'", f"'sha256-{digest}'"]
    sources = {source for listed in policy.values() for source in listed}
    assert sources <= {"'none'", "'self'", "'unsafe-inline'", f"'sha256-{digest}'", "data:"}
    assert "'unsafe-inline'" not in policy["script-src"]
    # The document would be sent to a stranger's server to be checked.
    assert "validatorUrl: null" in script


def test_document_leads_the_page_nowhere_else(served: Served) -> None:
    """A card in its description would bring the pictures that it names."""
    document = httpx.get(f"{served.url}/docs.json").text
    assert "http:" not in document
    assert "https:" not in document


def test_only_bentomls_page_is_replaced() -> None:
    app = Starlette(routes=[Route("/a", print, name="a"), Route("/", print, name="index")])
    before = list(app.router.routes)
    replace_docs_page(app, links_to_page=False)
    assert app.router.routes[0] is before[0]
    assert [route.path for route in app.router.routes if isinstance(route, Route)] == ["/a", "/"]
    assert app.router.routes[1] is not before[1]
    assert "googletagmanager" not in docs_page(links_to_page=True)


def test_page_for_pictures_is_linked_where_there_is_one() -> None:
    assert 'href="./ui"' in docs_page(links_to_page=True)
    assert "./ui" not in docs_page(links_to_page=False)
