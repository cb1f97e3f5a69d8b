"""Encoded pictures for tests of what a body may be; small, and real in every byte."""

import io

from PIL import Image


def encoded(form: str, size: int = 12) -> bytes:
    """Return a picture in the format that Pillow calls `form`."""
    buffer = io.BytesIO()
    Image.effect_noise((size, size), 50).convert("RGB").save(buffer, form)
    return buffer.getvalue()


JPEG, PNG, WEBP, BMP, TIFF = (encoded(form) for form in ("JPEG", "PNG", "WEBP", "BMP", "TIFF"))
ACCEPTED = (JPEG, PNG, WEBP, BMP, TIFF)
