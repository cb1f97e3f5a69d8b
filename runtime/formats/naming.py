"""What to say of bytes that are no picture of a format that is read: what they are, and what to do."""

from runtime.errors import ImageError, ImageErrorCode
from runtime.formats.altered import altered_by, is_base64_of_image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF")
# How files begin that people send by mistake, in lower case, behind blanks.
_TEXTS = (
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<svg", "SVG"),
    (b"{", "JSON"),
    (b"[", "JSON"),
    (b"data:image", "a data: URI"),
)
_DRAWINGS = ("SVG", "PDF")
_LOOKED_AT = 1024


def unsupported(name: str, data: bytes) -> ImageError:
    """Return the error of bytes that `runtime.formats.sniff` calls `name`, '' if it does not know them."""
    alteration = "" if name else altered_by(data[:_LOOKED_AT])
    name = name or _text(data[:_LOOKED_AT])
    start = f"not an image in a supported format ({', '.join(FORMATS)})"
    if alteration:
        what = f"{alteration}; read, send and keep it as bytes"
    elif not name:
        what = "the file holds nothing but zero bytes" if not any(data[:_LOOKED_AT]) else "its first bytes are unknown"
    elif name in _DRAWINGS or name in ("GIF", "ICO"):
        what = f"{name} is not accepted; convert it to PNG"
    elif name in ("a web page", "JSON", "text"):
        what = f"this is {name}, not a picture"
    elif name in ("base64", "a data: URI"):
        what = f"this is {name} of a picture, as text; decode it first"
    elif name.endswith("video"):
        what = f"{name} is not accepted; send single pictures of it as JPEG or PNG"
    elif name.endswith("archive"):
        what = f"this is a {name}; unpack it and send the pictures in it"
    else:
        what = f"{name} is not accepted; convert it to JPEG, or to PNG or TIFF to keep its depth"
    return ImageError(ImageErrorCode.UNSUPPORTED, f"{start}: {what}")


def _text(head: bytes) -> str:
    """Say what kind of text bytes are, '' if they are none."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for beginning, name in _TEXTS:
        if start.startswith(beginning):
            return name
    if start.startswith(b"<?xml"):
        return "SVG" if b"<svg" in start else "text"
    try:
        text = head.decode(errors="strict") if len(head) < _LOOKED_AT else head[:-3].decode(errors="strict")
    except UnicodeDecodeError:
        return ""
    if not text.strip() or not all(letter.isprintable() or letter.isspace() for letter in text):
        return ""
    return "base64" if is_base64_of_image(text) else "text"
