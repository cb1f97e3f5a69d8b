"""Which form a body has, told by its first bytes and then by its content type, so that a first try works.

Nothing is fetched: an address where an image should be is a refusal. Bodies are held in memory, never on disk; how
large they may be is `runtime/serving/connections/body_limit.py`'s matter.
"""

import json
import re
from collections.abc import Iterable
from enum import Enum, auto

from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.formats.altered import altered_by, is_base64_of_image
from runtime.formats.sniff import HEAD_BYTES, sniff
from runtime.model.errors import ImageErrorCode

FILES_FIELD, ONE_FIELD, MANY_FIELD = "images", "image_b64", "images_b64"
MULTIPART, JSON, IMAGE_PREFIX = "multipart/form-data", "application/json", "image/"
URLENCODED, BYTES = "application/x-www-form-urlencoded", "application/octet-stream"
SHOWN_CHARACTERS = 100  # of a client's own words in a message
HOW_TO_SEND = (
    f"send {MULTIPART} with one or more files in '{FILES_FIELD}', {JSON} with '{ONE_FIELD}' or '{MANY_FIELD}', "
    "or an image file as the body"
)
LET_THE_CLIENT = "let the client set Content-Type itself, with its boundary"
_SHOWN_TYPE = 40
_TEXT_START = 1000  # bytes that tell text from what is none
_WIRED_TYPES = frozenset({"", BYTES, URLENCODED, "text/plain"})  # what clients state that were told nothing
_LOST_BY_CURL = b"\0\r\n"
_STARTS_THAT_STAY = ("JPEG", "WebP")


class Form(Enum):
    """What a body is read as."""

    MULTIPART = auto()
    JSON = auto()
    RAW = auto()


def tell_form(content_type: str, body: bytes) -> Form:
    """Tell what the whole `body` is. Raises RequestRefused that names what it is instead.

    The bytes of an image are one whatever the type says, and so is an object in JSON: of the types that clients state
    when nobody told them, such as curl's `application/x-www-form-urlencoded`, neither says anything.
    """
    media_type = content_type.split(";")[0].split(",")[0].strip().lower()
    if found := sniff(body[:HEAD_BYTES]):
        _check_no_bytes_are_lost(found, body)
        return Form.RAW
    if media_type == MULTIPART:
        return Form.MULTIPART
    if _starts_like_form(body):
        message = f"the body is a form, but its content type is {_named(media_type)}; {LET_THE_CLIENT}"
        raise RequestRefused(RequestErrorCode.UNSUPPORTED_MEDIA_TYPE, message)
    if _is_json_type(media_type) or _starts_like_json(body, is_told=media_type not in _WIRED_TYPES):
        return Form.JSON
    is_bytes = media_type in ("", BYTES) or media_type.startswith(IMAGE_PREFIX) or altered_by(body[:_TEXT_START]) != ""
    if not body and not (is_bytes and media_type):
        raise RequestRefused(RequestErrorCode.NO_IMAGE, f"the body is empty; {HOW_TO_SEND}")
    _check_no_text_for_an_image(body, is_bytes)
    if is_bytes:
        return Form.RAW
    raise RequestRefused(RequestErrorCode.UNSUPPORTED_MEDIA_TYPE, _wrong_type(media_type))


def describe_text(data: bytes) -> str:
    """Return what the text is that came where an image should be, '' if it is no text."""
    start = data[:_TEXT_START]
    if b"\0" in start:
        return ""
    # Cut in the middle of a character, perhaps.
    text = start.decode("utf-8", "ignore").strip()
    if len(text.encode()) < len(start.strip()) - 3 or re.search(r"[\x00-\x08\x0e-\x1f]", text):
        return ""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        return "an address, and addresses are not fetched"
    if text[:5].lower() == "data:":
        return "a data: URI"
    if is_base64_of_image(text):
        return "base64 text"
    return f"text ({shown(text)!r})"


def too_many_images(max_images: int) -> RequestRefused:
    message = f"at most {max_images} images are accepted in one request"
    return RequestRefused(RequestErrorCode.TOO_MANY_IMAGES, message)


def shown(text: str) -> str:
    """Shorten a client's own words."""
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."


def shown_names(names: Iterable[str]) -> str:
    """Quote and shorten a client's own names, so that blanks and quotes in them are seen."""
    return shown(", ".join(repr(name) for name in sorted(names)))


def _check_no_bytes_are_lost(found: str, body: bytes) -> None:
    """`curl -d @FILE` leaves out line breaks and null bytes, which every file of these formats has, under any type."""
    if found in _STARTS_THAT_STAY and len(body) > HEAD_BYTES and not any(byte in body for byte in _LOST_BY_CURL):
        message = (
            "all null bytes and line breaks are gone, as curl -d takes them out; "
            f"send curl -F {FILES_FIELD}=@FILE or curl --data-binary @FILE"
        )
        raise RequestRefused(ImageErrorCode.CORRUPT, message, 0)


def _is_json_type(media_type: str) -> bool:
    return media_type.endswith(("/json", "+json", "/x-json"))


def _starts_like_json(body: bytes, is_told: bool) -> bool:
    """An object always; a list or a string, whose refusal says what is missing, only where the type says nothing."""
    start = body[:_TEXT_START]
    text = start.decode(json.detect_encoding(start), "ignore").lstrip()
    return text[:1] == "{" or (not is_told and text[:1] in ("[", '"') and bool(text))


def _starts_like_form(body: bytes) -> bool:
    return body[:4].lstrip(b"\r\n").startswith(b"--") and b"content-disposition:" in body[:_TEXT_START].lower()


def _check_no_text_for_an_image(body: bytes, is_bytes: bool) -> None:
    found = describe_text(body) if body else ""
    if found in ("base64 text", "a data: URI") or (found and is_bytes and body[:1] != b"<"):
        message = f'the body is {found}; send the file itself, or base64 as {JSON}: {{"{ONE_FIELD}": "..."}}'
        raise RequestRefused(RequestErrorCode.NOT_A_FILE, message, 0)


def _wrong_type(media_type: str) -> str:
    if media_type == URLENCODED:
        return (
            f"the content type {URLENCODED} is that of fields, or of curl -d, which takes line breaks and null bytes "
            f"out of a file; send curl -F {FILES_FIELD}=@FILE, curl --data-binary @FILE, or {JSON} with '{ONE_FIELD}'"
        )
    if media_type.startswith("multipart/"):
        return f"expected {MULTIPART}, got {_named(media_type)}"
    return f"expected {MULTIPART}, {JSON} or {IMAGE_PREFIX}*, got {_named(media_type)}"


def _named(media_type: str) -> str:
    return media_type[:_SHOWN_TYPE] or "missing"
