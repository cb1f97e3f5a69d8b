"""Clients as they are, byte by byte, before a real server: JDK, curl, nc, HTTP/1.0, browsers of other origins."""

import re
import socket
from contextlib import suppress

import httpx
import pytest

from tests.bento_project import Served
from tests.service.requests import code_and_index, png, post
from tests.service.test_body_limit import MAX_BODY_BYTES, connection, head, is_closed_by_server, read_answer

ORIGIN = "https://app.example.com"  # as in conftest.py
H2C = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2_Settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAA"}


def read_all(client: socket.socket) -> bytes:
    """Everything until the server closes."""
    data = b""
    with suppress(ConnectionResetError):
        while received := client.recv(65536):
            data += received
    return data


def test_jdk_client_is_answered_with_its_length_or_chunks_over_one_connection(served: Served) -> None:
    body = png()
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    with connection(served) as client:
        client.settimeout(20)
        for request, sent in (
            (head(Content_Length=len(body), **H2C), body),
            (head(Transfer_Encoding="chunked", **H2C), chunks),
            (head(Content_Length=len(body), Connection="close"), body),
        ):
            client.sendall(request)
            client.sendall(sent)
        answers = read_all(client)
    assert answers.count(b"HTTP/1.1 ") == answers.count(b"HTTP/1.1 200 OK") == answers.count(b'"label":"red"') == 3


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_client_that_has_only_finished_sending_is_answered(served: Served, version: bytes) -> None:
    body = png()
    with connection(served) as client:
        client.sendall(head(Content_Length=len(body)).replace(b"HTTP/1.1", b"HTTP/" + version) + body)
        client.shutdown(socket.SHUT_WR)
        assert read_all(client).startswith(b"HTTP/1.1 200 OK\r\n")


def test_refusal_before_an_awaited_body_closes_since_nobody_knows_whether_it_comes(served: Served) -> None:
    wrong = head(Content_Length=2000, Expect="100-continue", Content_Encoding="gzip")
    with connection(served) as client:
        client.sendall(wrong)
        status, headers, _ = read_answer(client)
        assert (status, headers["connection"]) == (415, "close")
        assert is_closed_by_server(client)


def test_awaited_body_is_asked_for(served: Served) -> None:
    body = png()
    with connection(served) as client:
        client.sendall(head(Content_Length=len(body), Expect="100-continue"))
        assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_http2_without_asking_is_refused_with_its_reason(served: Served) -> None:
    with connection(served) as client:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        status, _, error = read_answer(client)
        assert (status, error["code"]) == (505, "http_version_not_supported")
        assert is_closed_by_server(client)


@pytest.mark.parametrize("query", ["", "?a=b"])
@pytest.mark.parametrize("path", ["predict", "predict/base64"])
def test_a_slash_too_many_leads_to_the_path_whatever_stands_before_the_service(
    served: Served, path: str, query: str
) -> None:
    headers = {"Host": "evil.example.com", "X-Forwarded-Proto": "https"}
    response = httpx.post(f"{served.url}/{path}/{query}", headers=headers, follow_redirects=False)
    assert response.status_code == 307
    assert response.headers["location"] == f"../{path.rpartition('/')[2]}{query}"
    files = [("images", png())]
    assert httpx.post(f"{served.url}/{path}/{query}", files=files, follow_redirects=True).status_code == 200


def test_preflight_of_a_stated_origin_is_answered(served: Served) -> None:
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type, x-request-id"}
    response = httpx.options(f"{served.url}/predict", headers={"Origin": ORIGIN, **wanted})
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert "POST" in response.headers["access-control-allow-methods"]
    assert response.headers["access-control-allow-headers"] == wanted["Access-Control-Request-Headers"]
    assert "access-control-allow-credentials" not in response.headers
    assert "Origin" in response.headers["vary"]


def test_preflight_of_another_origin_is_refused_and_says_so(served: Served) -> None:
    headers = {"Origin": "https://evil.example.com", "Access-Control-Request-Method": "POST"}
    response = httpx.options(f"{served.url}/predict", headers=headers)
    assert (response.status_code, *code_and_index(response)) == (403, "cors_refused", None)
    assert "VISION_CORS_ORIGINS" in response.json()["error"]["message"]
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(
    ("size", "media_type", "status"),
    [(None, "image/png", 200), (MAX_BODY_BYTES + 1, "image/png", 413), (9, "text/plain", 415), (9, "image/png", 415)],
)
def test_every_answer_may_be_read_by_pages_of_a_stated_origin_alone(
    served: Served, size: int | None, media_type: str, status: int
) -> None:
    body = png() if size is None else bytes(size)
    response = post(served, body, media_type, Origin=ORIGIN)
    assert response.status_code == status
    assert response.headers["access-control-allow-origin"] == ORIGIN
    exposed = set(re.split(r", *", response.headers["access-control-expose-headers"]))
    assert exposed == {"X-Request-ID", "Server-Timing", "Retry-After", "Location"}
    assert response.headers["vary"] == "Origin"
    response = post(served, body, media_type, Origin="https://evil.example.com")
    assert response.status_code == status
    assert "access-control-allow-origin" not in response.headers
    assert response.headers["vary"] == "Origin"


def test_a_timeout_in_the_head_may_be_read_too(served: Served) -> None:
    with connection(served) as client:
        client.sendall(f"POST /predict HTTP/1.1\r\nOrigin: {ORIGIN}\r\nX-Half".encode())
        status, headers, _ = read_answer(client)
        assert (status, headers["access-control-allow-origin"], headers["vary"]) == (408, ORIGIN, "Origin")
