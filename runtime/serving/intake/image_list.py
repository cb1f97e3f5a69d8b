"""The field `images` of a JSON body: images in base64 and addresses, where a list of both is taken."""

from dataclasses import dataclass
from typing import Final

from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.serving.intake.body_forms import shown_names, too_many_images

LIST_FIELD: Final = "images"
URL, BASE64 = "url", "base64"
HOW_TO_LIST = f'{{"{LIST_FIELD}": [{{"{URL}": "https://..."}}, {{"{BASE64}": "..."}}]}}'


@dataclass(frozen=True)
class ImageAddress:
    """Where an image is to be fetched from, as the client wrote it."""

    url: str


SentImage = bytes | str | ImageAddress
"""One image of a list as it was sent: a file, base64 of one, or its address."""


def read_image_list(value: object, max_images: int) -> list[str | ImageAddress]:
    """Read the field's value: a list of objects with `url` or `base64`. Raises RequestRefused naming the image."""
    if not isinstance(value, list):
        raise RequestRefused(RequestErrorCode.MALFORMED, f"'{LIST_FIELD}' must be a list of objects, {HOW_TO_LIST}")
    if not value:
        raise RequestRefused(RequestErrorCode.NO_IMAGE, f"'{LIST_FIELD}' is empty; send one or more images in it")
    if len(value) > max_images:
        raise too_many_images(max_images)
    return [_read_entry(entry, index) for index, entry in enumerate(value)]


def _read_entry(entry: object, index: int) -> str | ImageAddress:
    if not isinstance(entry, dict):
        raise _malformed(f'expected an object, {{"{URL}": "..."}} or {{"{BASE64}": "..."}}', index)
    if unknown := entry.keys() - {URL, BASE64}:
        message = f"unknown field(s) {shown_names(unknown)}; known: {URL}, {BASE64}"
        raise RequestRefused(RequestErrorCode.UNKNOWN_FIELD, message, index)
    given = {name: value for name, value in entry.items() if value not in (None, "")}
    if len(given) != 1:
        raise _malformed(f"expected one of the fields '{URL}' and '{BASE64}', got {len(given)}", index)
    [(name, value)] = given.items()
    if not isinstance(value, str):
        raise _malformed(f"'{name}' must be a string", index)
    return ImageAddress(value) if name == URL else value


def _malformed(message: str, index: int) -> RequestRefused:
    return RequestRefused(RequestErrorCode.MALFORMED, message, index)
