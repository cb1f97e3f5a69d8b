"""The four forms of a request, and every way in which each can be wrong: status, code and index."""

import base64
import json

import httpx
import pytest

from tests.bento_project import Served
from tests.onnx_fixture import COLOURS
from tests.service.requests import code_and_index, png, post, truncated_jpeg

JSON = "application/json"
FORM = "multipart/form-data; boundary=b"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def labels(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [answer["label"] for answer in response.json()]


def test_every_form_gives_the_same_answer(served: Served) -> None:
    """Down to the last bit of every probability: it is one way for an image whatever brought it here."""
    data = png(colour=(200, 90, 30))
    answers = [
        httpx.post(f"{served.url}/predict", files=[("images", ("a.png", data))]),
        post(served, data, "image/png"),
        post(served, json.dumps({"image_b64": b64(data)}).encode(), JSON),
        post(served, json.dumps({"images_b64": [b64(data)]}).encode(), JSON),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert answer.json() == answers[0].json()
        assert len(answer.json()) == 1


def test_several_images_in_json_come_back_in_order(served: Served) -> None:
    order = ["blue", "red", "green"]
    body = json.dumps({"images_b64": [b64(png(colour=COLOURS[name])) for name in order]}).encode()
    assert labels(post(served, body, JSON)) == order


@pytest.mark.parametrize("head", ["data:image/png;base64,", "data:;base64,", "DATA:text/html;charset=utf-8;Base64,"])
def test_data_uri_is_taken_and_its_media_type_plays_no_part(served: Served, head: str) -> None:
    body = json.dumps({"image_b64": head + b64(png(colour=COLOURS["green"]))}).encode()
    assert labels(post(served, body, JSON)) == ["green"]


@pytest.mark.parametrize("media_type", ["image/jpeg", "IMAGE/WebP; q=1", "image/x-unheard-of"])
def test_format_of_a_raw_body_is_told_by_content(served: Served, media_type: str) -> None:
    assert labels(post(served, png(colour=COLOURS["blue"]), media_type)) == ["blue"]


def test_json_with_a_charset_is_json(served: Served) -> None:
    body = json.dumps({"image_b64": b64(png())}).encode()
    assert labels(post(served, body, "Application/JSON; charset=utf-8")) == ["red"]


GOOD = b64(png())
REFUSED_JSON: list[tuple[str, int, int | None, object]] = [
    ("bad_base64", 400, 0, {"image_b64": "http://127.0.0.1:9/a.png"}),
    ("bad_base64", 400, 1, {"images_b64": [GOOD, GOOD.rstrip("=") + "A" * (1 + -len(GOOD.rstrip("=")) % 4)]}),
    ("bad_base64", 400, 0, {"image_b64": GOOD[:20] + " " + GOOD[20:]}),
    ("bad_base64", 400, 0, {"image_b64": "data:image/png," + GOOD}),
    ("bad_base64", 400, 0, {"image_b64": "ä" + GOOD}),
    ("empty_file", 400, 0, {"image_b64": ""}),
    ("corrupt_image", 400, 1, {"images_b64": [GOOD, b64(truncated_jpeg())]}),
    ("unsupported_format", 415, 0, {"image_b64": b64(b"GIF89a")}),
    ("too_many_pixels", 413, 0, {"image_b64": b64(png(101, 100))}),
    ("unknown_field", 400, None, {"image_b64": GOOD, "url": "http://127.0.0.1:9/a.png"}),
    ("unknown_field", 400, None, {"images": [GOOD]}),
    ("no_image", 400, None, {}),
    ("no_image", 400, None, {"images_b64": []}),
    ("too_many_images", 413, None, {"images_b64": [GOOD] * 5}),
    ("malformed_request", 400, None, {"image_b64": GOOD, "images_b64": [GOOD]}),
    ("malformed_request", 400, None, {"images_b64": GOOD}),
    ("malformed_request", 400, 0, {"image_b64": None}),
    ("malformed_request", 400, 1, {"images_b64": [GOOD, 7]}),
    ("malformed_request", 400, None, [GOOD]),
    ("malformed_request", 400, None, "http://127.0.0.1:9/a.png"),
]


@pytest.mark.parametrize(("code", "status", "index", "document"), REFUSED_JSON)
def test_refused_json(served: Served, code: str, status: int, index: int | None, document: object) -> None:
    response = post(served, json.dumps(document).encode(), JSON)
    assert (response.status_code, *code_and_index(response)) == (status, code, index)


REFUSED_BODIES: list[tuple[str, int, int | None, str, bytes]] = [
    ("malformed_request", 400, None, JSON, b""),
    ("malformed_request", 400, None, JSON, b'{"image_b64": "'),
    ("malformed_request", 400, None, JSON, b'{"image_b64": "\xff"}'),
    ("malformed_request", 400, None, JSON, b"[" * 100_000),
    ("malformed_request", 400, None, JSON, b'{"image_b64": "\\ud800"}'),
    ("malformed_request", 400, None, JSON, b'{"\\ud800": 1}'),
    ("malformed_request", 400, None, JSON, b'{"image_b64": ' + b"9" * 100_000 + b"}"),
    ("empty_file", 400, 0, "image/png", b""),
    ("unsupported_format", 415, 0, "image/png", b"<svg></svg>"),
    ("corrupt_image", 400, 0, "image/png", truncated_jpeg()),
    ("too_many_pixels", 413, 0, "image/jpeg", png(101, 100)),
    ("no_image", 400, None, FORM, b"--b--\r\n"),
    ("malformed_request", 400, None, FORM, b"not a form"),
    ("malformed_request", 400, None, FORM, b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n"),
    ("malformed_request", 400, None, "multipart/form-data", b"--b--\r\n"),
    ("unsupported_media_type", 415, None, "application/x-www-form-urlencoded", b"images=http://127.0.0.1:9/a.png"),
    ("unsupported_media_type", 415, None, "application/vnd.bentoml+pickle", b"\x80\x04N."),
    ("unsupported_media_type", 415, None, "text/html", b"<html></html>"),
    ("no_image", 400, None, "", b""),
    ("not_a_file", 400, 0, "image/png", b"tile.png"),
]


@pytest.mark.parametrize("charset", ["undefined", "punycode", "idna", "utf-16", "hex", "no-such", '"', "x" * 500])
def test_form_in_a_charset_of_nobodys_is_refused(served: Served, charset: str) -> None:
    """Python's codec `undefined` raises what the form's parser lets through: once a 500."""
    part = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n' + png() + b"\r\n--b--\r\n"
    response = post(served, part, f"{FORM}; charset={charset}")
    assert (response.status_code, *code_and_index(response)) == (400, "malformed_request", None)
    assert "charset" in response.text
    assert labels(post(served, part, f"{FORM}; Charset=UTF-8")) == ["red"]


@pytest.mark.parametrize(("code", "status", "index", "media_type", "body"), REFUSED_BODIES)
def test_refused_body(served: Served, code: str, status: int, index: int | None, media_type: str, body: bytes) -> None:
    response = post(served, body, media_type)
    assert (response.status_code, *code_and_index(response)) == (status, code, index)


def part(disposition: str, *headers: str, end: bytes = b"--b--\r\n") -> bytes:
    lines = [f"Content-Disposition: form-data; {disposition}", *headers]
    return b"--b\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + png() + b"\r\n" + end


TAKEN: dict[str, tuple[str | None, bytes]] = {
    "a part with a type and no name (.NET, Retrofit)": (FORM, part('name="images"', "Content-Type: image/png")),
    "a part with neither": (FORM, part("name=images")),
    "a part whose name is encoded": (FORM, part("name=images; filename*=UTF-8''a.png")),
    "a part in base64": (
        FORM,
        part("name=images", "Content-Transfer-Encoding: base64").replace(png(), base64.encodebytes(png())),
    ),
    "images[] (axios, PHP)": (FORM, part('name="images[]"; filename="a.png"')),
    "bytes of no type (requests' data=)": (None, png()),
    "bytes under curl's type": ("application/x-www-form-urlencoded", png()),
    "bytes under octet-stream": ("application/octet-stream", png()),
    "bytes under a form's type": ("multipart/form-data", png()),
    "JSON of no type": (None, json.dumps({"image_b64": b64(png())}).encode()),
    "JSON under curl's type": ("application/x-www-form-urlencoded", json.dumps({"image_b64": b64(png())}).encode()),
    "JSON with a byte order mark": (JSON, b"\xef\xbb\xbf" + json.dumps({"image_b64": b64(png())}).encode()),
    "JSON of PowerShell": (JSON, json.dumps({"image_b64": b64(png())}).encode("utf-16")),
    "base64 in lines": (JSON, json.dumps({"image_b64": base64.encodebytes(png()).decode()}).encode()),
}


@pytest.mark.parametrize("client", TAKEN)
def test_first_tries_of_clients_are_taken(served: Served, client: str) -> None:
    media_type, body = TAKEN[client]
    headers = {} if media_type is None else {"Content-Type": media_type}
    assert labels(httpx.post(f"{served.url}/predict", content=body, headers=headers)) == ["red"]


def test_form_without_its_closing_boundary_says_so(served: Served) -> None:
    response = post(served, part("name=images; filename=a", end=b""), FORM)
    assert (response.status_code, *code_and_index(response)) == (400, "malformed_request", None)
    assert "ends without its closing boundary" in response.text


def test_form_larger_than_what_is_read_at_once_is_taken_apart_in_a_thread(served: Served) -> None:
    padded = png() + bytes(500_000)
    body = part("name=images").replace(png(), padded)
    assert labels(post(served, body, FORM)) == ["red"]
    response = post(served, body[:-6], FORM)
    assert code_and_index(response) == ("malformed_request", None)


def test_compressed_body_is_refused(served: Served) -> None:
    response = post(served, png(), "image/png", **{"Content-Encoding": "gzip"})
    assert (response.status_code, *code_and_index(response)) == (415, "unsupported_media_type", None)


def test_what_a_client_wrote_comes_back_shortened(served: Served) -> None:
    response = post(served, json.dumps({"x" * 5000: 1}).encode(), JSON)
    assert code_and_index(response) == ("unknown_field", None)
    assert len(response.content) < 500
