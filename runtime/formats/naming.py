"""What to say of bytes that are no picture of a format that is read: what they are, and what to do."""

from runtime.formats.altered import altered_by, is_base64_of_image
from runtime.formats.sniff import HEAD_BYTES, sniff
from runtime.model.errors import ImageError, ImageErrorCode

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
    (b"data:image", "a data: URI"),
    (b"version https://git-lfs", _POINTER),
)
_DRAWINGS = ("SVG", "PDF", "PostScript", "Windows metafile")
_LOOKED_AT = 1024
_TAR_AT = 257
_BLANKS = b"\r\n\t \xef\xbb\xbf"


def unsupported(name: str, data: bytes) -> ImageError:
    """Return the error of bytes that `runtime.formats.sniff` calls `name`, '' if it does not know them."""
    alteration = "" if name else altered_by(data[:_LOOKED_AT])
    name = name or ("" if alteration else _name(data))
    start = f"not an image in a supported format ({', '.join(FORMATS)})"
    if alteration:
        what = f"{alteration}; read, send and keep it as bytes"
    elif not name:
        what = "the file holds nothing but zero bytes" if not any(data[:_LOOKED_AT]) else "its first bytes are unknown"
    elif name in _DRAWINGS or name in ("GIF", "ICO"):
        what = f"{name} is not accepted; convert it to PNG"
    elif name == _POINTER:
        what = f"this is {name}; fetch the picture itself (git lfs pull)"
    elif name in ("base64", "a data: URI"):
        what = f"this is {name} of a picture, as text; decode it first"
    elif name.endswith("behind blanks"):
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
    if data[_TAR_AT : _TAR_AT + 5] == b"ustar":
        return "tar archive"
    if data[-18:] == b"TRUEVISION-XFILE.\0":
        return "TGA"
    text = _text(head)
    if not text and (inside := sniff(data[:_LOOKED_AT].lstrip(_BLANKS)[:HEAD_BYTES])):
        return f"a picture ({inside}) behind blanks"
    return text


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
    if not text.strip() or not all(letter.isprintable() or letter.isspace() for letter in text):
        return ""
    return "base64" if is_base64_of_image(text) else "text"
