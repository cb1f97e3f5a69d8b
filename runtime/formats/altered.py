"""What becomes of a picture that is handled as text: told by its first bytes, so that the cause can be named."""

import base64
import codecs
from contextlib import suppress

from runtime.formats.sniff import HEAD_BYTES, sniff

_PNG_START = b"\x89PNG"  # what follows in PNG's signature is there to show this (PNG specification, section 5.2)
_LOST = b"\xef\xbf\xbd"  # U+FFFD in UTF-8, for bytes that are no text
_BASE64_START = 256  # characters that tell base64 of an image
# Looked up now: Python imports a codec when it is first asked for, and no request shall wait for that.
_ENCODERS = tuple(codecs.getencoder(name) for name in ("latin-1", "cp1252"))


def altered_by(head: bytes) -> str:
    """Say what was done to a picture on its way, '' if nothing is known; `head`: at least `HEAD_BYTES`, if there are.

    Must not be asked of bytes that `sniff` knows.
    """
    if head.startswith(_PNG_START):
        return "the line breaks of a PNG were changed or left out, as FTP in text mode, git or curl -d do"
    if head.startswith(_LOST):
        return "the bytes of a file were read as text (UTF-8), which loses them"
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head[: 2 * HEAD_BYTES])  # it may end within a letter
    except UnicodeDecodeError:
        return ""
    for encode in _ENCODERS:
        if name := sniff(encode(text, "replace")[0]):
            return f"each byte of a {name} was written as a letter of text (UTF-8)"
    return ""


def is_base64_of_image(text: str) -> bool:
    """Tell by its start."""
    start = "".join(text[:_BASE64_START].split())
    with suppress(ValueError):
        return sniff(base64.b64decode(start[: len(start) // 4 * 4], altchars="-_" if "-" in start else None)) != ""
    return False
