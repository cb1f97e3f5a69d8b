"""Which form a body has: the first tries of clients that were told nothing, and those that are named as wrong."""

import base64
import json

import pytest

from runtime.answers.refusals import RequestRefused
from runtime.serving.intake.body_forms import Form, tell_form
from tests.runtime.formats.pictures import ACCEPTED, JPEG, PNG

FORM = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n' + PNG + b"\r\n--b--\r\n"
DOCUMENT = json.dumps({"image_b64": base64.b64encode(PNG).decode()}).encode()
TYPES = (
    "",
    "application/octet-stream",
    "application/x-www-form-urlencoded",  # of curl's --data-binary
    "text/plain;charset=UTF-8",  # of fetch with a string
    "application/json",
    "multipart/form-data",
    "image/*",
    "image/png",
    "image/png, */*",
    "binary/octet-stream",
    "*/*",
    "no type at all",
)


def refusal(content_type: str, body: bytes) -> tuple[str, int | None, str]:
    with pytest.raises(RequestRefused) as refused:
        tell_form(content_type, body)
    return refused.value.code.value, refused.value.index, str(refused.value)


@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize("body", [*ACCEPTED, b"GIF89a", b"\0\0\0\x1cftypheic"])
def test_bytes_of_an_image_are_one_whatever_the_type_says(content_type: str, body: bytes) -> None:
    assert tell_form(content_type, body) is Form.RAW


@pytest.mark.parametrize("content_type", [name for name in TYPES if not name.startswith("multipart")])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b"\r\n "])
def test_object_in_json_is_one_whatever_the_type_says(content_type: str, mark: bytes) -> None:
    assert tell_form(content_type, mark + DOCUMENT) is Form.JSON
    assert tell_form(content_type, DOCUMENT.decode().encode("utf-16")) is Form.JSON


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; a=b", "text/json", "application/a+json"]
)
@pytest.mark.parametrize("body", [b"", b"[1]", b"nothing", b"\x00\x01"])
def test_what_is_stated_to_be_json_is_read_as_json(content_type: str, body: bytes) -> None:
    assert tell_form(content_type, body) is Form.JSON


@pytest.mark.parametrize("body", [b"[1]", b'"text"'])
def test_json_that_is_no_object_is_told_of_as_json(body: bytes) -> None:
    assert tell_form("", body) is Form.JSON
    assert tell_form("application/x-www-form-urlencoded", body) is Form.JSON


@pytest.mark.parametrize("content_type", ["multipart/form-data", "Multipart/Form-Data; boundary=b"])
def test_form_is_one_by_its_type(content_type: str) -> None:
    assert tell_form(content_type, FORM) is Form.MULTIPART
    assert tell_form(content_type, b"") is Form.MULTIPART


@pytest.mark.parametrize("content_type", ["application/json", "", "image/jpeg", "multipart/mixed; boundary=b"])
def test_form_of_another_type_is_named(content_type: str) -> None:
    code, index, message = refusal(content_type, FORM)
    assert (code, index) == ("unsupported_media_type", None)
    stated = content_type.split(";")[0] or "missing"
    assert f"the body is a form, but its content type is {stated}; let the client set" in message


@pytest.mark.parametrize("content_type", ["image/png", "application/octet-stream", "", "text/plain"])
@pytest.mark.parametrize(
    ("body", "found"),
    [
        (base64.b64encode(PNG), "base64 text"),
        (base64.encodebytes(JPEG), "base64 text"),
        (b"data:image/png;base64," + base64.b64encode(PNG), "a data: URI"),
    ],
)
def test_base64_as_the_body_is_told_where_it_belongs(content_type: str, body: bytes, found: str) -> None:
    code, index, message = refusal(content_type, body)
    assert (code, index) == ("not_a_file", 0)
    assert (
        f'image 0: the body is {found}; send the file itself, or base64 as application/json: {{"image_b64"' in message
    )


def test_bytes_of_no_known_format_are_for_the_decoder() -> None:
    for content_type in ("", "application/octet-stream", "image/png"):
        assert tell_form(content_type, b"\x00\x01\x02") is Form.RAW
    assert tell_form("image/png", b"") is Form.RAW


REFUSED = [
    ("", b"", "no_image", None, "the body is empty; send multipart/form-data"),
    ("text/plain", b"", "no_image", None, "the body is empty"),
    ("", b"tile.jpg", "not_a_file", 0, "the body is text ('tile.jpg')"),
    ("image/png", b"http://127.0.0.1:9/a.png", "not_a_file", 0, "an address, and addresses are not fetched"),
    ("text/plain", b"hello", "unsupported_media_type", None, "expected multipart/form-data"),
    ("application/xml", b"<a/>", "unsupported_media_type", None, "got application/xml"),
    ("multipart/mixed", b"x", "unsupported_media_type", None, "expected multipart/form-data, got multipart/mixed"),
    ("application/x-www-form-urlencoded", b"images=a.png", "unsupported_media_type", None, "is that of fields"),
]


@pytest.mark.parametrize(("content_type", "body", "code", "index", "message"), REFUSED)
def test_anything_else_is_refused_by_name(
    content_type: str, body: bytes, code: str, index: int | None, message: str
) -> None:
    found = refusal(content_type, body)
    assert found[:2] == (code, index)
    assert message in found[2]


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "image/jpeg", "", "text/plain"])
def test_file_whose_bytes_curl_left_out_is_named(content_type: str) -> None:
    """`curl -d @FILE` takes out line breaks and null bytes: a JPEG still starts like one, a PNG does not."""
    jpeg, png = (data.translate(None, b"\0\r\n") for data in (JPEG, PNG))
    code, index, message = refusal(content_type, jpeg)
    assert (code, index) == ("corrupt_image", 0)
    assert "--data-binary" in message
    assert tell_form(content_type, png) is Form.RAW  # the decoder says what was done to it


@pytest.mark.parametrize("data", [JPEG.decode("latin-1").encode(), PNG.decode(errors="replace").encode()])
def test_picture_that_was_handled_as_text_is_for_the_decoder_to_name(data: bytes) -> None:
    for content_type in ("text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "image/png", ""):
        assert tell_form(content_type, data) is Form.RAW
