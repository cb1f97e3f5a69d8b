"""Base64 as clients write it, to the last byte, and what is wrong with a text that is none."""

import base64
import re
from urllib.parse import quote, quote_from_bytes

import pytest

from runtime.answers.refusals import RequestRefused
from runtime.serving.intake.base64_text import decode_base64
from tests.runtime.formats.pictures import ACCEPTED, JPEG, PNG, encoded

TEXT = base64.b64encode(PNG).decode()
LINES = base64.encodebytes(PNG).decode()
# Of every length modulo three, and with both characters in which the alphabets differ.
SAMPLES = tuple(JPEG + bytes([251, 239, 190, 255] * 3)[: 9 + extra] for extra in range(3))


def refusal(text: str) -> str:
    with pytest.raises(RequestRefused) as refused:
        decode_base64(text, 3)
    assert (refused.value.code, refused.value.index) == ("bad_base64", 3)
    assert str(refused.value).startswith("image 3: ")
    return str(refused.value).removeprefix("image 3: ")


@pytest.mark.parametrize("data", [*ACCEPTED, *SAMPLES])
def test_every_spelling_gives_the_same_bytes(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    lines = base64.encodebytes(data).decode()
    other = base64.urlsafe_b64encode(data).decode()
    spellings = {
        text,
        lines,
        lines.replace("\n", "\r\n"),
        re.sub("^", "    ", lines, flags=re.M),
        f" {text}\n",
        other,
        other.rstrip("="),
        text.rstrip("="),
        f"data:image/png;base64,{text}",
        f"DATA:;BASE64,{text}",
        f"data:image/svg+xml;charset=utf-8;name=a.png; base64,{lines}",
        f"data:application/octet-stream;base64,{quote(text, safe='')}",
        f"data:image/png,{quote_from_bytes(data)}",
        quote(text, safe=""),
    }
    for spelling in spellings:
        assert decode_base64(spelling, 0) == data, spelling[:40]


WRONG = {
    "http://127.0.0.1:9/a.png": "an address, not base64; addresses are not fetched",
    "s3://bucket/a.png": "an address, not base64; addresses are not fetched",
    "tile.jpg": "not base64: '.' at character 4; a file's name is not opened",
    "C:\\tile": "not base64: ':' at character 1; a file's name is not opened",
    TEXT.replace("A", " ", 1): "not base64: ' ' at character",
    TEXT[:20] + "\\n" + TEXT[20:]: "not base64: '\\\\' at character 20; were line breaks escaped twice?",
    f'"{TEXT}"': "not base64: '\"' at character 0; was it put into quotes twice?",
    f"b'{TEXT}'": "Python's text of bytes",
    "\u00e4" + TEXT: "not base64: '\u00e4' at character 0",
    TEXT + "\ufeff": "not base64: '\\ufeff'",
    "ab-+": "not base64: '-' at character 2; the standard and the URL-safe alphabet are mixed",
    "abcde": "base64 of 5 characters, which no data give: it was cut",
    "abc==": "base64 with more padding than belongs to it",
    "ab===": "base64 with more padding than belongs to it",
    "ab==cdef": "base64 with padding in its middle",
    "data:image/png;base64": "a data: URI has a comma",
    "data:image/png," + TEXT: "a data: URI of base64 must end its head in ';base64,'",
    PNG.hex(): "hexadecimal, not base64",
    JPEG.hex(): "hexadecimal, not base64",
    base64.b64encode(TEXT.encode()).decode(): "base64 of base64",
    base64.b64encode(f"data:image/png;base64,{TEXT}".encode()).decode(): "base64 of base64",
    "%zz" + TEXT: "not base64: '%' at character 0",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_named(text: str) -> None:
    assert refusal(text).startswith(WRONG[text])


def test_what_is_no_image_is_for_the_decoder() -> None:
    assert decode_base64("", 0) == b""
    assert decode_base64(base64.b64encode(b"nothing at all").decode(), 0) == b"nothing at all"


def test_text_that_was_cut_is_never_a_whole_picture() -> None:
    """Without padding a cut text cannot be told from a whole one; its bytes can."""
    text = base64.b64encode(encoded("PNG", 64)).decode().rstrip("=")
    for cut in range(1, 9):
        if len(text[:-cut]) % 4 == 1:
            assert "it was cut" in refusal(text[:-cut])
        else:
            assert decode_base64(text[:-cut], 0) == base64.b64decode(text + "===")[: (len(text) - cut) * 6 // 8]
