"""Bodies in JSON as clients write them, and the right key or form named where one is wrong."""

import base64
import codecs
import json

import pytest

from runtime.answers.refusals import RequestRefused
from runtime.serving.intake.json_body import read_json
from tests.runtime.formats.pictures import PNG

TEXT = base64.b64encode(PNG).decode()
ONE = {"image_b64": TEXT}


def refusal(body: bytes) -> tuple[str, int | None, str]:
    with pytest.raises(RequestRefused) as refused:
        read_json(body, 4)
    return refused.value.code.value, refused.value.index, str(refused.value)


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_byte_order_mark_of_utf8_does_not_matter(mark: bytes) -> None:
    assert read_json(mark + json.dumps(ONE).encode(), 4).texts == [TEXT]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_wide_encodings_are_told_by_their_bytes(encoding: str) -> None:
    assert read_json(json.dumps(ONE).encode(encoding), 4).texts == [TEXT]


@pytest.mark.parametrize("empty", [None, "", []])
def test_field_that_is_empty_beside_the_other_is_as_good_as_missing(empty: object) -> None:
    assert read_json(json.dumps({**ONE, "images_b64": empty}).encode(), 4).texts == [TEXT]
    assert read_json(json.dumps({"image_b64": empty, "images_b64": [TEXT, TEXT]}).encode(), 4).texts == [TEXT, TEXT]


WRONG: dict[str, tuple[str, bytes, str]] = {
    "nothing": ("malformed_request", b" \r\n", "the body is empty; send {"),
    "lines of JSON": ("malformed_request", b'{"image_b64": "a"}\n{"image_b64": "b"}', "go into 'images_b64'"),
    "raw line breaks": ("malformed_request", b'{"image_b64": "ab\ncd"}', "`base64 -w0`"),
    "Latin-1": ("malformed_request", b'{"image_b64": "\xe4"}', "JSON is UTF-8"),
    "half a UTF-16": ("malformed_request", b"\xff\xfe{\0\0", "starts as utf-16"),
    "Python's text": ("malformed_request", str(ONE).encode(), "json.dumps"),
    "quotes of a shell": ("malformed_request", b"'{}'", "shell's"),
    "encoded twice": ("malformed_request", json.dumps(json.dumps(ONE)).encode(), "it was encoded twice"),
    "base64 alone": ("malformed_request", json.dumps(TEXT).encode(), "base64 goes into 'image_b64'"),
    "a list": ("malformed_request", json.dumps([TEXT]).encode(), "must be a JSON object"),
    "an object for an image": ("malformed_request", b'{"images_b64": {"b64": "a"}}', "list of strings, got an object"),
    "a list for one": ("malformed_request", b'{"image_b64": ["a"]}', "a list goes into 'images_b64'"),
    "JavaScript's text": ("malformed_request", b"[object Object]", "send JSON.stringify of it"),
    "one for many": ("malformed_request", b'{"images_b64": "a"}', "one string goes into 'image_b64'"),
    "both": ("malformed_request", b'{"image_b64": "a", "images_b64": ["b"]}', "expected one of the fields"),
    "images": ("unknown_field", b'{"images": ["a"]}', "a list of images in base64 goes into 'images_b64'"),
    "image": ("unknown_field", b'{"image": "a"}', "one image in base64 goes into 'image_b64'"),
    "a name with a blank": ("unknown_field", b'{"image_b64 ": "a"}', "unknown field(s) 'image_b64 '; known"),
    "an address": ("unknown_field", b'{"url": 1, "image_b64": "a"}', "known: image_b64, images_b64"),
    "no field": ("no_image", b"{}", "expected one of the fields"),
    "no image": ("no_image", b'{"images_b64": []}', "'images_b64' is empty"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_document_is_named(name: str) -> None:
    code, body, message = WRONG[name]
    found = refusal(body)
    assert found[:2] == (code, None)
    assert message in found[2]


@pytest.mark.parametrize(
    ("value", "found"), [(None, "null"), (True, "a boolean"), (7, "a number"), (["a"], "a list"), ({}, "an object")]
)
def test_element_of_another_type_is_named_as_json_calls_it(value: object, found: str) -> None:
    body = json.dumps({"images_b64": [TEXT, value]}).encode()
    assert refusal(body) == ("malformed_request", 1, f"image 1: expected a string, got {found}")


@pytest.mark.parametrize(
    ("value", "words"),
    [([255, 216], "bytes are sent in base64"), ({"type": "Buffer", "data": [255]}, "send its toString('base64')")],
)
def test_bytes_as_numbers_are_led_to_base64(value: object, words: str) -> None:
    for document in ({"image_b64": value}, {"images_b64": [value]}):
        code, index, message = refusal(json.dumps(document).encode())
        assert (code, index) == ("malformed_request", 0)
        assert words in message
