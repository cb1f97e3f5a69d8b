"""WebP: the first picture, whatever is wrong with what lies beside it."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from runtime.model.errors import ImageErrorCode
from runtime.model.image import decode_image
from tests.runtime.formats.drawn_pictures import (
    assert_read_or_refused,
    assert_refused,
    assert_shows,
    drawn,
    encode,
    matrix_profile,
)

CORRUPT = ImageErrorCode.CORRUPT
PICTURE = drawn()
WIDE = matrix_profile(((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407)), 2.2)
LOSSLESS = encode(PICTURE, "WEBP", lossless=True)
EXTENDED = encode(
    PICTURE, "WEBP", lossless=True, exif=b"Exif\0\0" + b"II*\0" + bytes(20), xmp=b"<x/>", icc_profile=WIDE
)


def chunk(name: bytes, body: bytes, length: int | None = None) -> bytes:
    stated = len(body) if length is None else length
    return name + struct.pack("<I", stated) + body + b"\0" * (len(body) % 2)


def riff(body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def test_lossless_and_lossy_with_and_without_alpha() -> None:
    assert_shows(LOSSLESS, PICTURE)
    assert_shows(encode(PICTURE, "WEBP", quality=95), PICTURE, mean=3)
    pixels = np.dstack([PICTURE, np.full(PICTURE.shape[:2], 255, np.uint8)])
    pixels[:20, :, 3] = 0
    truth = PICTURE.copy()
    truth[:20] = 255
    assert_shows(encode(pixels, "WEBP", lossless=True, exact=True), truth)
    assert_shows(encode(pixels, "WEBP", quality=95), truth, mean=4)


def test_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.fromarray(np.roll(PICTURE, shift, axis=1)) for shift in (20, 40)]
    data = encode(PICTURE, "WEBP", save_all=True, append_images=frames, lossless=True)
    assert b"ANMF" in data
    assert_shows(data, PICTURE)
    assert_shows(data[: len(data) - 100], PICTURE)  # a later frame that is cut plays no part


@pytest.mark.parametrize("name", [b"EXIF", b"XMP ", b"junk"])
@pytest.mark.parametrize("length", [None, 0xFFFFFFFF, 1 << 20])
def test_metadata_behind_the_pixels_may_be_damaged(name: bytes, length: int | None) -> None:
    at = EXTENDED.index(b"VP8L")
    size = 8 + int.from_bytes(EXTENDED[at + 4 : at + 8], "little")
    picture = EXTENDED[at : at + size + size % 2]
    canvas = EXTENDED[12:30]
    data = riff(canvas + chunk(b"ICCP", b"no profile") + picture + chunk(name, b"\xff" * 99, length))
    assert_shows(data, PICTURE)


def test_profile_is_used_and_large_metadata_are_passed_over() -> None:
    same = encode(PICTURE, "PNG", icc_profile=WIDE)
    assert_shows(EXTENDED, decode_image(same))
    assert_shows(encode(PICTURE, "WEBP", lossless=True, exif=b"II*\0" + bytes(4 << 20)), PICTURE)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 90}])
def test_cut_picture_is_refused(options: dict[str, Any], share: float) -> None:
    data = encode(PICTURE, "WEBP", **options)
    cut = data[: max(12, int(len(data) * share))]
    assert_refused(cut, CORRUPT)
    assert_refused(cut[:4] + struct.pack("<I", len(cut) - 8) + cut[8:], CORRUPT)


def test_size_is_checked_before_pixels() -> None:
    canvas = chunk(b"VP8X", b"\0\0\0\0" + (16382).to_bytes(3, "little") + (16382).to_bytes(3, "little"))
    assert_refused(riff(canvas + LOSSLESS[12:]), ImageErrorCode.TOO_MANY_PIXELS)
    assert_refused(LOSSLESS, ImageErrorCode.TOO_MANY_PIXELS, max_pixels=PICTURE.shape[0] * PICTURE.shape[1] - 1)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_is_read_or_refused(data: st.DataObject) -> None:
    kinds: list[dict[str, Any]] = [
        {"lossless": True},
        {"quality": 60},
        {"save_all": True, "append_images": [Image.new("RGB", (16, 12))]},
    ]
    changed = bytearray(encode(drawn(12, 16), "WEBP", **data.draw(st.sampled_from(kinds))))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(12, len(changed) - 1))
        if data.draw(st.booleans()):
            changed[at] = data.draw(st.integers(0, 255))
        else:
            del changed[at : at + data.draw(st.integers(1, 20))]
        if len(changed) < 14:
            break
    assert_read_or_refused(bytes(changed), max_pixels=10_000)
