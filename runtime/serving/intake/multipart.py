"""The images of a form: which of its parts are files, and what those are that should be and are not."""

import re
from binascii import a2b_qp

from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.formats.sniff import HEAD_BYTES, sniff
from runtime.serving.intake.body_forms import (
    FILES_FIELD,
    JSON,
    MANY_FIELD,
    MULTIPART,
    ONE_FIELD,
    describe_text,
    shown,
    shown_names,
    too_many_images,
)
from runtime.serving.intake.form_parts import Part, split_form

# `images[]` is what axios and PHP make of a list, `images[0]` what axios and .NET make of one with indexes.
_FILES_FIELD = re.compile(re.escape(FILES_FIELD) + r"(\[\d*\])?", re.ASCII)
_CHARSET_FIELD = "_charset_"  # RFC 7578, section 4.6
_PLAIN_ENCODINGS = frozenset({"", "7bit", "8bit", "binary"})


def read_multipart(content_type: str, body: bytes, max_images: int) -> list[bytes | str]:
    """Return the files of the field `images` in the order sent; a part in base64 is text that is not yet decoded.

    A part is a file if it has a file's name, if its type is not text, or if it holds the bytes of an image. Parts that
    hold nothing and name no file say nothing: browsers send one for an input without a choice. Raises RequestRefused.
    """
    images: list[bytes | str] = []
    unknown: set[str] = set()
    has_empty = False
    for part in split_form(content_type, body, max_images):
        name, filename = part.read_disposition()
        is_known = _FILES_FIELD.fullmatch(name) is not None
        if not part.content and not filename and (filename == "" or _is_text_type(part)):
            has_empty = has_empty or is_known
        elif is_known:
            if len(images) == max_images:
                raise too_many_images(max_images)
            images.append(_read_file(part, filename, len(images)))
        elif name != _CHARSET_FIELD:
            unknown.add(name)
    if unknown:
        raise _unknown_fields(unknown)
    if not images:
        what = "holds no file" if has_empty else "is missing"
        message = f"the field '{FILES_FIELD}' {what}; send one or more files in it"
        raise RequestRefused(RequestErrorCode.NO_IMAGE, message)
    return images


def _read_file(part: Part, filename: str | None, index: int) -> bytes | str:
    content = part.content or b""
    if part.header(b"content-type").lower().startswith("multipart/"):
        message = f"the part is a form of its own; send each file as a part of '{MULTIPART}'"
        raise RequestRefused(RequestErrorCode.MALFORMED, message, index)
    encoding = part.header(b"content-transfer-encoding").lower()
    if encoding == "base64":
        return content.decode("latin-1")
    if encoding == "quoted-printable":
        content = a2b_qp(content)
    elif encoding not in _PLAIN_ENCODINGS:
        message = f"the part's transfer encoding {shown(encoding)!r} is not accepted; send the file as it is"
        raise RequestRefused(RequestErrorCode.MALFORMED, message, index)
    if (
        filename is None
        and _is_text_type(part)
        and not sniff(content[:HEAD_BYTES])
        and (found := describe_text(content))
    ):
        message = f"the field '{FILES_FIELD}' holds {found}; send the file itself: curl -F {FILES_FIELD}=@FILE"
        raise RequestRefused(RequestErrorCode.NOT_A_FILE, message, index)
    return content


def _is_text_type(part: Part) -> bool:
    """Tell whether a part may be text; without a type it is (RFC 7578, section 4.4)."""
    media_type = part.header(b"content-type").lower()
    return media_type.startswith(("text/", JSON)) or not media_type


def _unknown_fields(unknown: set[str]) -> RequestRefused:
    message = f"unknown field(s) {shown_names(unknown)}; files go into the field '{FILES_FIELD}'"
    if unknown & {ONE_FIELD, MANY_FIELD}:
        message += f", and '{ONE_FIELD}' and '{MANY_FIELD}' into {JSON}"
    return RequestRefused(RequestErrorCode.UNKNOWN_FIELD, message)
