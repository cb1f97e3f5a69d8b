"""A form (RFC 7578) taken into its parts, and every way in which it can be malformed, by name.

A form is read whole: what a cut upload lacks is found before any of its pictures is decoded.
"""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.serving.intake.body_forms import (
    HOW_TO_SEND,
    LET_THE_CLIENT,
    MULTIPART,
    describe_text,
    shown,
    too_many_images,
)

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

# Python knows a hundred more: some raise what nobody expects, and punycode takes minutes of a core for a megabyte.
# RFC 7578 (section 5.1.2) knows no such parameter, but some clients name one of these.
_FORM_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1"})
_ENCODED_NAME = "*"  # stands for what is said by RFC 5987 alone, which RFC 7578 forbids and some clients write
_MAX_HEADERS = 32  # of a part
_MAX_BOUNDARIES = 1000  # beyond two for each image; the parser goes from one to the next in Python


@dataclass
class Part:
    """One part of a form; `content` is None until its end is reached."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    content: bytes | None = None

    def header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1").strip()

    def read_disposition(self) -> tuple[str, str | None]:
        """Return the field's name and the file's, None if there is none. Raises RequestRefused."""
        disposition = self.header(b"content-disposition")
        options = parse_options_header(disposition)[1]
        if b"name" not in options:
            message = "a part of the form has no name in its header Content-Disposition"
            raise RequestRefused(RequestErrorCode.MALFORMED, message)
        name = _decoded(options[b"name"])
        if b"filename" in options:
            return name, _decoded(options[b"filename"])
        is_encoded = "*" in disposition and re.search(r";\s*filename\*[\d*]*=", disposition, re.I)
        return name, _ENCODED_NAME if is_encoded else None


class _Collector:
    """What the parser is told to call; gathers the parts of a form that is given to it in one piece."""

    def __init__(self, max_parts: int) -> None:
        self.parts: list[Part] = []
        self.is_closed = False
        self.end = 0  # of the last part's content
        self._max_parts = max_parts
        self._header = [b"", b""]
        self._slices: list[bytes] = []

    def calls(self) -> "MultipartCallbacks":
        """Return what the parser calls, by its names."""
        return {
            "on_part_begin": self.on_part_begin,
            "on_header_field": self.on_header_field,
            "on_header_value": self.on_header_value,
            "on_header_end": self.on_header_end,
            "on_part_data": self.on_part_data,
            "on_part_end": self.on_part_end,
            "on_end": self.on_end,
        }

    def on_part_begin(self) -> None:
        if len(self.parts) == self._max_parts:
            raise RequestRefused(
                RequestErrorCode.MALFORMED, f"the form has more than {self._max_parts} parts; {HOW_TO_SEND}"
            )
        self.parts.append(Part())
        self._slices = []

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def on_header_end(self) -> None:
        name, value = self._header
        if b"\n" in value:
            raise _line_feeds_alone()
        self.parts[-1].headers[name.lower()] = value
        self._header = [b"", b""]

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._slices.append(data[start:end])
        self.end = end

    def on_part_end(self) -> None:
        self.parts[-1].content = self._slices[0] if len(self._slices) == 1 else b"".join(self._slices)

    def on_end(self) -> None:
        self.is_closed = True


def split_form(content_type: str, body: bytes, max_images: int) -> list[Part]:
    """Return the parts of a form that ends with its closing boundary. Raises RequestRefused."""
    boundary = _read_boundary(content_type)
    body = body[_find_start(body, boundary) :]
    # The parser steps through what follows each in Python, so that many would take a core for a minute.
    if body.count(b"\r\n--" + boundary) > 2 * max_images + _MAX_BOUNDARIES:
        raise too_many_images(max_images)
    collector = _Collector(2 * max_images + _MAX_BOUNDARIES)
    try:
        MultipartParser(boundary, collector.calls(), max_header_count=_MAX_HEADERS).write(body)
    except FormParserError as exc:
        message = f"cannot read the form: {shown(str(exc))}"
        raise RequestRefused(RequestErrorCode.MALFORMED, message) from exc
    if not collector.is_closed:
        message = (
            f"the form ends without its closing boundary '--{shown(_decoded(boundary))}--': "
            "the body was cut, or the client wrote none"
        )
        raise RequestRefused(RequestErrorCode.MALFORMED, message)
    if body.find(b"\n--" + boundary + b"\r\n", collector.end + len(boundary)) >= 0:
        message = "the form goes on behind its closing boundary; were two forms joined?"
        raise RequestRefused(RequestErrorCode.MALFORMED, message)
    return collector.parts


def _read_boundary(content_type: str) -> bytes:
    options = parse_options_header(content_type)[1]
    charset = _decoded(options.get(b"charset", b"utf-8"))
    if charset.lower() not in _FORM_CHARSETS:
        message = f"the form's charset {shown(charset)!r} is not accepted; leave it out or send utf-8"
        raise RequestRefused(RequestErrorCode.MALFORMED, message)
    boundary = options.get(b"boundary", b"")
    if not boundary:
        message = f"the content type {MULTIPART} states no boundary; {LET_THE_CLIENT}"
        raise RequestRefused(RequestErrorCode.MALFORMED, message)
    return boundary


def _find_start(body: bytes, boundary: bytes) -> int:
    """Return where the first boundary is: what stands before it says nothing (RFC 2046, section 5.1.1)."""
    line = b"--" + boundary
    if body.startswith(line + b"\r\n"):  # nearly every form
        return 0
    if re.search(rb"(?:\A|\n)" + re.escape(line) + rb"(?:--)?\n", body):
        raise _line_feeds_alone()
    if found := re.search(rb"(?:\A|\r\n)(?=" + re.escape(line) + rb"(?:\r\n|--|[ \t]))", body):
        if b"content-disposition:" in body[: found.end()].lower():
            message = f"a part stands before the first boundary '{shown(_decoded(line))}'; {LET_THE_CLIENT}"
            raise RequestRefused(RequestErrorCode.MALFORMED, message)
        return found.end()
    if not body:
        raise RequestRefused(RequestErrorCode.MALFORMED, "the form is empty; " + HOW_TO_SEND)
    message = f"the boundary '{shown(_decoded(boundary))}' of the content type does not occur in the body"
    if (text := describe_text(body)) and not body.lstrip().startswith(b"--"):
        message += f", which is {text}"
    message += f"; {LET_THE_CLIENT}"
    raise RequestRefused(RequestErrorCode.MALFORMED, message)


def _line_feeds_alone() -> RequestRefused:
    message = "the form's lines end in a line feed alone; they must end in a carriage return and a line feed"
    return RequestRefused(RequestErrorCode.MALFORMED, message)


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
