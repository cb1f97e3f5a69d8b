"""What to say of bytes that are no picture of a format that is read: what they are, and what to do."""

import base64
import binascii

from runtime.errors import ImageError, ImageErrorCode
from runtime.formats.sniff import HEAD_BYTES, sniff

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF")
_POINTER = "a Git LFS pointer"
# How files begin that people send by mistake, in lower case, behind blanks.
_TEXTS = (
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<head", "a web page"),
    (b"<body", "a web page"),
    (b"<svg", "SVG"),
    (b"{", "JSON"),
    (b"[", "JSON"),
    (b"version https://git-lfs", _POINTER),
)
_DRAWINGS = ("SVG", "PDF", "PostScript", "Windows metafile")
_LOOKED_AT = 1024
_TAR_AT = 257
# What text programs make of bytes that are no letters, and of the line ends in a PNG's signature.
_REPLACED = b"\xef\xbf\xbd"
_PNG = b"PNG\r\n\x1a\n"
_BLANKS = b"\r\n\t \xef\xbb\xbf"


def unsupported(name: str, data: bytes) -> ImageError:
    """Return the error of bytes that `runtime.formats.sniff` calls `name`, '' if it does not know them."""
    name = name or _name(data)
    start = f"not an image in a supported format ({', '.join(FORMATS)})"
    if not name:
        what = "the file holds nothing but zero bytes" if not any(data[:_LOOKED_AT]) else "its first bytes are unknown"
    elif name in _DRAWINGS or name in ("GIF", "ICO"):
        what = f"{name} is not accepted; convert it to PNG"
    elif name == _POINTER:
        what = f"this is {name}; fetch the picture itself (git lfs pull)"
    elif name.startswith(("a picture", "text in base64")):
        what = f"this is {name}; send its bytes as they are"
    elif name in ("a web page", "JSON", "text"):
        what = f"this is {name}, not a picture"
    elif name.endswith("video"):
        what = f"{name} is not accepted; send single pictures of it as JPEG or PNG"
    elif name.endswith("archive"):
        what = f"this is a {name}; unpack it and send the pictures in it"
    else:
        what = f"{name} is not accepted; convert it to JPEG, or to PNG or TIFF to keep its depth"
    return ImageError(ImageErrorCode.UNSUPPORTED, f"{start}: {what}")


def _name(data: bytes) -> str:
    """Say what bytes are that begin as no format does, '' if nothing is known of them."""
    head = data[:_LOOKED_AT]
    is_replaced = head.startswith(_REPLACED) and any(word in head for word in (b"PNG", b"JFIF", b"Exif", _REPLACED * 2))
    if is_replaced or (head[1:4] == b"PNG" and head[1:8] != _PNG):
        return "a picture that was changed on its way, as text is"
    if data[_TAR_AT : _TAR_AT + 5] == b"ustar":
        return "tar archive"
    if data[-18:] == b"TRUEVISION-XFILE.\0":
        return "TGA"
    text = _text(head)
    if text == "text" and (inside := _in_base64(head)):
        return f"text in base64 of a picture ({inside})"
    if not text and (inside := sniff(data[:_LOOKED_AT].lstrip(_BLANKS)[:HEAD_BYTES])):
        return f"a picture ({inside}) behind blanks"
    return text


def _in_base64(head: bytes) -> str:
    """Return the format whose first bytes text holds in base64, as a data URL or not; '' if it holds none."""
    text = b"".join(head.partition(b";base64,")[2].split() if head.startswith(b"data:") else head.split())
    try:
        return sniff(base64.b64decode(text[: min(len(text), HEAD_BYTES) // 4 * 4], validate=True))
    except binascii.Error:
        return ""


def _text(head: bytes) -> str:
    """Say what kind of text bytes are, '' if they are none."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for beginning, name in _TEXTS:
        if start.startswith(beginning):
            return name
    if start.startswith((b"<?xml", b"<!--", b"<!doctype svg")):
        return next((name for word, name in ((b"svg", "SVG"), (b"<html", "a web page")) if word in start), "text")
    try:
        text = head.decode(errors="strict") if len(head) < _LOOKED_AT else head[:-3].decode(errors="strict")
    except UnicodeDecodeError:
        return ""
    return "text" if text.strip() and all(letter.isprintable() or letter.isspace() for letter in text) else ""
