"""The page at `/ui` of a served Bento: all of it is packed, nothing foreign is loaded, the card is the model's."""

import re
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from runtime.serving.page.inspection_page import FILES
from tests.bento_project import Served
from tests.service.requests import code_and_index


@pytest.fixture(scope="module")
def page(served: Served) -> httpx.Response:
    return httpx.get(f"{served.url}/ui")


def test_everything_that_the_page_loads_is_in_the_bento(served: Served, page: httpx.Response) -> None:
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="(\./ui/[^"]+)"', page.text)
    assert "./ui/page.js" in named
    assert "./ui/page.css" in named
    files = {f"./ui/{path.name}" for path in FILES.iterdir() if path.suffix != ".jinja"}
    assert set(named) <= files
    for name in files:
        found = httpx.get(urljoin(f"{served.url}/ui", name))
        assert found.status_code == 200, name
        assert found.text == (FILES / urlsplit(name).path.rpartition("/")[2]).read_text(encoding="utf-8")
        assert found.headers["x-content-type-options"] == "nosniff"


def test_browser_is_told_to_load_nothing_foreign_and_to_run_nothing_inline(page: httpx.Response) -> None:
    policy = dict(part.strip().partition(" ")[::2] for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert policy["img-src"] == "'self' blob:"
    assert " style=" not in page.text
    assert re.findall(r"<script(?![^>]* src=)[^>]*>", page.text) == ['<script type="application/json" id="served">']


def test_page_shows_the_served_model_and_its_card(served: Served, page: httpx.Response) -> None:
    name, _, version = served.classifier.partition(":")
    assert f"{name} <code>{version}</code>" in page.text
    assert "<h3>A tiny model</h3>" in page.text
    assert '"asks": ["predict"], "maxBodyBytes": 1000000' in page.text


def test_what_did_not_change_is_not_sent_again(served: Served, page: httpx.Response) -> None:
    again = httpx.get(f"{served.url}/ui", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert page.headers["cache-control"] == "no-cache"


def test_other_spellings_lead_to_the_page_or_nowhere(served: Served) -> None:
    slash = httpx.get(f"{served.url}/ui/")
    assert (slash.status_code, urljoin(f"{served.url}/ui/", slash.headers["location"])) == (307, f"{served.url}/ui")
    for path in ("/ui/page.html.jinja", "/ui/../service.py", "/ui/nothing.js"):
        found = httpx.get(served.url + path)
        assert (found.status_code, *code_and_index(found)) == (404, "not_found", None)
    assert httpx.post(f"{served.url}/ui").status_code == 405
