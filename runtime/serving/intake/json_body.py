"""Bodies in JSON: the texts that stand for images, and what a document is that holds none where they should be."""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, cast

from pydantic_core import from_json

from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.formats.altered import is_base64_of_image
from runtime.serving.intake.body_forms import MANY_FIELD, ONE_FIELD, shown, shown_names, too_many_images
from runtime.serving.intake.image_list import HOW_TO_LIST, LIST_FIELD, ImageAddress, read_image_list

_HOW = f'{{"{ONE_FIELD}": "..."}} or {{"{MANY_FIELD}": ["...", "..."]}}'
_START = 64  # bytes that tell what it is that is no JSON
# What a client's mistake looks like to the parser, and what it was.
_MISTAKES = (
    ("trailing characters", f"one document is expected, several images go into '{MANY_FIELD}'"),
    ("control character", "line breaks in a text must be left out or escaped, as `base64 -w0` and JSON libraries do"),
    ("unicode code point", "JSON is UTF-8"),
)


class JsonBody(NamedTuple):
    """texts: images that are not yet decoded. options: other fields that are there and not null, as they came."""

    texts: list[str]
    options: dict[str, object]


class ListBody(NamedTuple):
    """As `JsonBody`, of images some of which may be addresses."""

    images: Sequence[str | ImageAddress]
    options: dict[str, object]


def read_json(body: bytes, max_images: int, options: Sequence[str] = ()) -> JsonBody:
    """Read `{"image_b64": ...}` or `{"images_b64": [...]}`, with fields of the names in `options` beside it.

    A byte order mark and UTF-16 or UTF-32 do not matter. A field that is null or empty beside the other is as good as
    missing: generated clients write both. Raises RequestRefused.
    """
    document = _object_of(body, _HOW)
    stated = _take_options(document, (ONE_FIELD, MANY_FIELD, *options), options)
    return JsonBody(_read_texts(document, max_images), stated)


def read_list_json(body: bytes, max_images: int, options: Sequence[str] = ()) -> ListBody:
    """Read what `read_json` does, or `{"images": [{"url": "..."}, {"base64": "..."}]}`. Raises RequestRefused."""
    document = _object_of(body, HOW_TO_LIST)
    stated = _take_options(document, (LIST_FIELD, ONE_FIELD, MANY_FIELD, *options), options)
    listed = document.pop(LIST_FIELD, None)
    if listed is None or (listed == [] and document):
        return ListBody(_read_texts(document, max_images), stated)
    if given := [name for name, value in document.items() if value not in (None, "", [])]:
        message = f"expected one of the fields '{LIST_FIELD}', '{ONE_FIELD}' and '{MANY_FIELD}', got {1 + len(given)}"
        raise _malformed(message)
    return ListBody(read_image_list(listed, max_images), stated)


def _object_of(body: bytes, how: str) -> dict[str, object]:
    document = _parse(body)
    if not isinstance(document, dict):
        raise _malformed(f"the body must be a JSON object, {how}, got {_described(document)}")
    return document


def _take_options(document: dict[str, object], known: Sequence[str], options: Sequence[str]) -> dict[str, object]:
    """Take the fields of these names out of a document and return those that are not null."""
    if unknown := sorted(document.keys() - set(known)):
        hint = _right_field(document[unknown[0]]) if len(unknown) == 1 else ""
        message = f"unknown field(s) {shown_names(unknown)}; known: {', '.join(known)}{hint}"
        raise RequestRefused(RequestErrorCode.UNKNOWN_FIELD, message)
    stated = {name: document.pop(name) for name in options if name in document}
    return {name: value for name, value in stated.items() if value is not None}


def _read_texts(document: dict[str, object], max_images: int) -> list[str]:
    given = {name: value for name, value in document.items() if value not in (None, "", [])} or document
    if len(given) != 1:
        code = RequestErrorCode.MALFORMED if given else RequestErrorCode.NO_IMAGE
        raise RequestRefused(code, f"expected one of the fields '{ONE_FIELD}' and '{MANY_FIELD}', got {len(given)}")
    [(name, value)] = given.items()
    return _texts_of(name, value, max_images)


def _texts_of(name: str, value: object, max_images: int) -> list[str]:
    if name == ONE_FIELD and isinstance(value, list) and not _is_numbers(value):
        raise _malformed(f"'{ONE_FIELD}' must be a string; a list goes into '{MANY_FIELD}'")
    if name == MANY_FIELD and not isinstance(value, list):
        hint = f"; one string goes into '{ONE_FIELD}'" if isinstance(value, str) else ""
        raise _malformed(f"'{MANY_FIELD}' must be a list of strings, got {_described(value)}{hint}")
    texts = cast(list[object], value) if name == MANY_FIELD else [value]
    if not texts:
        raise RequestRefused(RequestErrorCode.NO_IMAGE, f"'{MANY_FIELD}' is empty; send one or more images in it")
    if len(texts) > max_images:
        raise too_many_images(max_images)
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            message = f"expected a string, got {_described(text)}"
            raise RequestRefused(RequestErrorCode.MALFORMED, message, index)
    return cast(list[str], texts)


def _parse(body: bytes) -> object:
    if not body or body.isspace():
        raise _malformed(f"the body is empty; send {_HOW}")
    encoding = json.detect_encoding(body)
    try:
        if encoding == "utf-8":  # nearly every body
            return from_json(body, allow_inf_nan=False)
        return from_json(body.decode(encoding), allow_inf_nan=False)
    except UnicodeDecodeError as exc:
        raise _malformed(f"the body starts as {encoding} and is none; JSON is UTF-8") from exc
    except ValueError as exc:
        raise _malformed(f"the body is not valid JSON: {shown(str(exc))}{_mistake(body, str(exc))}") from exc


def _mistake(body: bytes, error: str) -> str:
    start = body[:_START].lstrip()
    if start.startswith(b"'"):
        return "; the quotes around it are the shell's, which Windows does not take off"
    if start.startswith(b"[object "):
        return "; it is JavaScript's text of an object: send JSON.stringify of it"
    if re.match(rb"\{\s*'", start):
        return "; it is Python's text of a dict: send json.dumps of it"
    return "".join(f"; {mistake}" for words, mistake in _MISTAKES if words in error)


def _described(value: object) -> str:
    if isinstance(value, str):
        with suppress(ValueError):
            if isinstance(from_json(value), dict):
                return "a string that holds an object: it was encoded twice"
        return f"a string; base64 goes into '{ONE_FIELD}'" if is_base64_of_image(value) else "a string"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, list):
        return "a list of numbers; bytes are sent in base64" if _is_numbers(value) else "a list"
    if isinstance(value, dict) and value.get("type") == "Buffer":
        return "a Buffer of Node.js; send its toString('base64')"
    return "null" if value is None else "an object"


def _is_numbers(value: list[object]) -> bool:
    return bool(value) and isinstance(value[0], int)


def _right_field(value: object) -> str:
    if isinstance(value, list):
        return f"; a list of images in base64 goes into '{MANY_FIELD}'"
    return f"; one image in base64 goes into '{ONE_FIELD}'" if isinstance(value, str) else ""


def _malformed(message: str) -> RequestRefused:
    return RequestRefused(RequestErrorCode.MALFORMED, message)
