"""Base64 as clients write it: taken where it can be read in one way only, else refused by what is wrong with it."""

import base64
import re
from contextlib import suppress
from urllib.parse import unquote_to_bytes

from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.formats.altered import is_base64_of_image
from runtime.formats.sniff import HEAD_BYTES, sniff

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_OTHER_ALPHABET = bytes.maketrans(b"-_", b"+/")  # RFC 4648, section 5
_HEAD_CHARACTERS = 2 * HEAD_BYTES
_HINTS = {
    " ": "was a '+' read as the space of a form or an address?",
    "\\": "were line breaks escaped twice?",
    '"': "was it put into quotes twice?",
    "'": "was it put into quotes twice?",
    "-": "the standard and the URL-safe alphabet are mixed",
    "_": "the standard and the URL-safe alphabet are mixed",
    ".": "a file's name is not opened, an address is not fetched",
    ":": "a file's name is not opened, an address is not fetched",
}


def decode_base64(text: str, index: int) -> bytes:
    """Decode base64 (RFC 4648), bare or in a `data:` URI, whose media type plays no part.

    Taken are both alphabets, texts with and without padding, in lines, and percent-encoded ones. index: of the image in
    its request. Raises RequestRefused that says what the text is instead.
    """
    if text[:5].lower() == "data:" or text[:1].isspace():
        read = _read_data_uri(text.strip(), index)
        if isinstance(read, bytes):
            return read
        text = read
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = base64.b64decode(_mend(text, index))
    if not sniff(data[:HEAD_BYTES]):
        _refuse_what_was_encoded_otherwise(text, data, index)
    return data


def _read_data_uri(text: str, index: int) -> str | bytes:
    """Return the base64 of a `data:` URI, or the bytes of one that is percent-encoded; any other text as it is."""
    if text[:5].lower() != "data:":
        return text
    head, comma, content = text.partition(",")
    if not comma:
        raise _refused(index, "a data: URI has a comma between its head and its content")
    if "".join(head.lower().split()).endswith(";base64"):
        return content
    data = unquote_to_bytes(content)
    if not sniff(data[:HEAD_BYTES]):
        raise _refused(index, "a data: URI of base64 must end its head in ';base64,'")
    return data


def _mend(text: str, index: int) -> bytes:
    """Return standard base64 with padding of what can only be meant so."""
    if not text.isascii():
        place = next(i for i, character in enumerate(text) if not character.isascii())
        raise _refused(index, f"not base64: {text[place]!r} at character {place}")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise _refused(index, "an address, not base64; addresses are not fetched")
    if text[:2] in ("b'", 'b"'):
        raise _refused(index, "Python's text of bytes, b'...'; decode it: base64.b64encode(data).decode()")
    raw = text.encode()
    raw = _join_lines(unquote_to_bytes(raw) if b"%" in raw else raw)
    if (b"-" in raw or b"_" in raw) and not (b"+" in raw or b"/" in raw):
        raw = raw.translate(_OTHER_ALPHABET)
    _check_alphabet(raw, text, index)
    content = raw.rstrip(b"=")
    if b"=" in content:
        raise _refused(index, "base64 with padding in its middle: texts of several pieces were joined")
    num_missing = -len(content) % 4
    if num_missing == 3:
        raise _refused(index, f"base64 of {len(content)} characters, which no data give: it was cut")
    if len(raw) - len(content) > num_missing:
        raise _refused(index, "base64 with more padding than belongs to it")
    return content + b"=" * num_missing


def _join_lines(raw: bytes) -> bytes:
    """Take out line breaks, with what indents or ends lines; a space inside of a line is left."""
    raw = raw.strip()
    if b" " in raw or b"\t" in raw:
        raw = re.sub(rb"[ \t]*[\r\n]+[ \t]*", b"", raw)
    return raw.translate(None, b"\r\n")


def _check_alphabet(raw: bytes, text: str, index: int) -> None:
    if wrong := raw.translate(None, _ALPHABET + b"="):
        found = chr(wrong[0])
        hint = f"; {_HINTS[found]}" if found in _HINTS else ""
        raise _refused(index, f"not base64: {found!r} at character {text.find(found)}{hint}")


def _refuse_what_was_encoded_otherwise(text: str, data: bytes, index: int) -> None:
    """Name what happens to be base64 too. What is no image at all is for those to say who decode it."""
    with suppress(ValueError):
        if sniff(bytes.fromhex(text[:_HEAD_CHARACTERS])):
            raise _refused(index, "hexadecimal, not base64")
    start = data[:_HEAD_CHARACTERS].decode("latin-1")
    if start[:5].lower() == "data:" or is_base64_of_image(start):
        raise _refused(index, "base64 of base64: it was encoded twice")


def _refused(index: int, problem: str) -> RequestRefused:
    return RequestRefused(RequestErrorCode.BAD_BASE64, problem, index)
