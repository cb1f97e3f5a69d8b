"""A proxy in the environment is left out for this machine, in whatever spelling, and asked for all others."""

import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest
import requests

from project.loopback import ask_directly, is_loopback, without_proxies

DEAD = "http://127.0.0.1:9"  # the discard port: nothing listens


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"asked for {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_proxy_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "a.localhost", "127.0.0.1", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]"],
)
def test_this_machine_is_known_by_every_name(host: str) -> None:
    assert is_loopback(f"http://{host}:3000/predict")


@pytest.mark.parametrize(
    "url", ["http://example.org", "http://10.0.0.1:80", "http://localhost.example.org", "sqlite:///x"]
)
def test_others_are_not_this_machine(url: str) -> None:
    assert not is_loopback(url)


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_clients_that_read_the_environment_ask_this_machine_directly(
    name: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "HTTP_PROXY":
        monkeypatch.setenv("NO_PROXY", "intranet.example")
    monkeypatch.setenv(name, DEAD)
    url = f"http://127.0.0.1:{port}/here"
    with pytest.raises(requests.exceptions.ProxyError):
        requests.get(url, timeout=5)
    monkeypatch.setenv("no_proxy", "")  # put back at the end, as the next line changes it
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    ask_directly(url)
    assert requests.get(url, timeout=5).text == "asked for /here"
    assert httpx.get(url, timeout=5).text == "asked for /here"
    assert urllib.request.urlopen(url, timeout=5).read() == b"asked for /here"


def test_what_the_user_exempted_stays_exempted_in_both_spellings() -> None:
    environment = {"NO_PROXY": "a.example, b.example", "no_proxy": "c.example"}
    for url in ("http://127.0.0.1:1", "http://[::1]:1", "http://10.0.0.1"):
        ask_directly(url, environment)
    assert environment["no_proxy"] == environment["NO_PROXY"] == "c.example,a.example,b.example,127.0.0.1,::1,[::1]"


def test_for_other_machines_the_proxy_is_asked(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    ask_directly("http://service.invalid/x")
    assert requests.get("http://service.invalid/x", timeout=5).text == "asked for http://service.invalid/x"


def test_without_proxies_they_are_gone_and_come_back() -> None:
    environment = {"http_proxy": DEAD, "ALL_PROXY": "socks5://127.0.0.1:9", "HOME": "/"}
    before = dict(environment)
    with without_proxies(environment):
        assert environment == {"HOME": "/"}
    assert environment == before
