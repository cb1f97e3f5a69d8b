"""BMP: every header, order of masks and meaning of alpha."""

import struct
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

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

CORRUPT, UNSUPPORTED = ImageErrorCode.CORRUPT, ImageErrorCode.UNSUPPORTED
PICTURE = drawn(45, 67)
HEIGHT, WIDTH = PICTURE.shape[:2]
Masks = tuple[int, int, int, int]
BGRA: Masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
RGBA: Masks = (0xFF, 0xFF00, 0xFF0000, 0xFF000000)


def bmp(
    rows: Sequence[bytes],
    bits: int,
    *,
    size: int = 40,
    masks: Masks | None = None,
    compression: int | None = None,
    is_top_down: bool = False,
    palette: bytes = b"",
    tail: bytes = b"",
) -> bytes:
    """A BMP of rows from the top. masks: behind a header of 40 bytes, else inside it."""
    body = b"".join(row + b"\0" * (-len(row) % 4) for row in (rows if is_top_down else rows[::-1]))
    height = -len(rows) if is_top_down else len(rows)
    width = len(rows[0]) * 8 // bits
    if size == 12:
        info = struct.pack("<IHHHH", size, width, height, 1, bits)
    else:
        kind = compression if compression is not None else 0 if masks is None else 3
        colours = len(palette) // 4
        info = struct.pack("<IiiHHIIiiII", size, width, height, 1, bits, kind, len(body), 2835, 2835, colours, 0)
        info += struct.pack("<4I", *masks)[: 12 if size in (40, 52) else 16] if masks else b""
        info = info.ljust(size, b"\0")
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + info + palette + body + tail


def packed(pixels: NDArray[np.uint8], masks: Masks, bits: int) -> list[bytes]:
    """Rows of pixels whose samples lie under masks, brought to the masks' number of bits."""
    values = np.zeros(pixels.shape[:2], np.uint32)
    for band, mask in enumerate(masks[: pixels.shape[2]]):
        if mask:
            low = (mask & -mask).bit_length() - 1
            largest = mask >> low
            values |= np.rint(pixels[..., band] * (largest / 255)).astype(np.uint32) << low
    return [row.tobytes() for row in values.astype("<u2" if bits == 16 else "<u4")]


def with_alpha(alpha: int) -> NDArray[np.uint8]:
    return np.dstack([PICTURE, np.full((HEIGHT, WIDTH), alpha, np.uint8)])


@pytest.mark.parametrize(
    "masks", [BGRA, RGBA, (0xFF00, 0xFF0000, 0xFF000000, 0xFF), (0xFF000000, 0xFF0000, 0xFF00, 0xFF)]
)
@pytest.mark.parametrize("size", [56, 108, 124])
@pytest.mark.parametrize("alpha", [0, 255])
@pytest.mark.parametrize("is_top_down", [False, True])
def test_alpha_that_is_zero_everywhere_is_none(masks: Masks, size: int, alpha: int, is_top_down: bool) -> None:
    rows = packed(with_alpha(alpha), masks, 32)
    assert_shows(bmp(rows, 32, size=size, masks=masks, is_top_down=is_top_down), PICTURE)


def test_alpha_that_is_used_lies_over_white() -> None:
    pixels = with_alpha(255)
    pixels[:10, :, 3] = 0
    truth = PICTURE.copy()
    truth[:10] = 255
    assert_shows(bmp(packed(pixels, BGRA, 32), 32, size=108, masks=BGRA), truth)
    assert_shows(bmp(packed(pixels, BGRA, 32), 32), PICTURE)  # without a mask the fourth byte is nothing


@pytest.mark.parametrize("size", [40, 52, 56, 108, 124])
@pytest.mark.parametrize(
    ("bits", "masks", "levels"),
    [
        (32, (0xFF, 0xFF00, 0xFF0000, 0), 256),
        (32, (0xFF0000, 0xFF00, 0xFF, 0), 256),
        (32, (0x3FF00000, 0xFFC00, 0x3FF, 0), 1024),
        (16, (0xF800, 0x7E0, 0x1F, 0), 32),
        (16, (0x1F, 0x7E0, 0xF800, 0), 32),
        (16, (0x7C00, 0x3E0, 0x1F, 0), 32),
        (16, (0xF00, 0xF0, 0xF, 0), 16),
    ],
)
def test_masks_of_every_order_and_width_are_read(bits: int, masks: Masks, levels: int, size: int) -> None:
    decoded = decode_image(bmp(packed(PICTURE, masks, bits), bits, size=size, masks=masks)).astype(int)
    assert np.abs(decoded - PICTURE).max() <= (0 if levels >= 256 else 128 / (levels - 1) + 1)


def test_sixteen_bits_without_masks_are_five_each() -> None:
    decoded = decode_image(bmp(packed(PICTURE, (0x7C00, 0x3E0, 0x1F, 0), 16), 16)).astype(int)
    assert np.abs(decoded - PICTURE).max() <= 5


@pytest.mark.parametrize("size", [12, 40, 64, 108, 124])
def test_every_header_is_read(size: int) -> None:
    rows = [row[:, ::-1].tobytes() for row in PICTURE]
    assert_shows(bmp(rows, 24, size=size), PICTURE)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_what_pillow_writes_is_read(mode: str) -> None:
    truth = decode_image(encode(PICTURE, "PNG", mode))
    assert_shows(encode(PICTURE, "BMP", mode), truth)


def test_runs_of_a_palette_are_read() -> None:
    palette = bytes([1, 2, 3, 0, 40, 50, 60, 0])
    runs = bytes([4, 0, 0, 0, 2, 1, 2, 0, 0, 1])
    data = bytearray(bmp([b"\0" * 4] * 2, 8, palette=palette, compression=1))
    start = struct.unpack_from("<I", data, 10)[0]
    decoded = decode_image(bytes(data[:start]) + runs)
    np.testing.assert_array_equal(decoded[1], [[3, 2, 1]] * 4)
    np.testing.assert_array_equal(decoded[0], [[60, 50, 40]] * 2 + [[3, 2, 1]] * 2)


def test_embedded_profile_is_applied() -> None:
    profile = matrix_profile(
        ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407)), 2.2
    )
    data = bytearray(bmp([row[:, ::-1].tobytes() for row in PICTURE], 24, size=124, tail=profile))
    data[70:74] = b"DEBM"
    struct.pack_into("<II", data, 126, len(data) - len(profile) - 14, len(profile))
    assert np.abs(decode_image(bytes(data)).astype(int) - PICTURE).max() > 10
    with_same = encode(PICTURE, "PNG", icc_profile=profile)
    np.testing.assert_array_equal(decode_image(bytes(data)), decode_image(with_same))


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (bmp([b"\0" * 4], 8, compression=4), "JPEG"),
        (bmp([b"\0" * 4], 8, compression=5), "PNG"),
        (bmp([b"\0" * 12], 24, compression=4, size=64), "OS/2"),
        (bmp([b"\0" * 8], 64), "64 bits"),
        (b"BM" + struct.pack("<IHHII", 100, 0, 0, 30, 16) + bytes(100), "16 bytes"),
    ],
)
def test_kind_that_is_not_read_is_named(data: bytes, word: str) -> None:
    assert word in assert_refused(data, UNSUPPORTED)


@pytest.mark.parametrize(
    "data",
    [
        b"BM",
        bmp([b"\0" * 12] * 4, 24)[:-1],
        bmp([b"\0" * 12] * 4, 24)[:40],
        bmp([b"\0" * 4] * 4, 8, palette=bytes(1024))[:-1],
        bmp([b"\0" * 16] * 4, 32, masks=(0xFF00FF, 0, 0, 0)),
        bmp([b"\0" * 8] * 4, 16, masks=(0x1F0000, 0x3E0, 0x1F, 0)),
    ],
)
def test_damage_is_refused(data: bytes) -> None:
    assert_refused(data, CORRUPT)


def test_size_is_checked_before_pixels() -> None:
    data = bytearray(bmp([b"\0" * 12] * 4, 24))
    struct.pack_into("<ii", data, 18, 60_000, 60_000)
    assert_refused(bytes(data), ImageErrorCode.TOO_MANY_PIXELS)
    struct.pack_into("<ii", data, 18, 20_000, -(2**31))
    assert_refused(bytes(data), ImageErrorCode.TOO_MANY_PIXELS)


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 137), st.integers(0, 255), st.integers(2, 137), st.integers(0, 255), st.booleans())
def test_any_damage_is_read_or_refused(at: int, value: int, other_at: int, other: int, is_palette: bool) -> None:
    small = PICTURE[:8, :8]
    data = bytearray(
        encode(small, "BMP", "P") if is_palette else bmp(packed(small, RGBA, 32), 32, size=124, masks=RGBA)
    )
    data[at], data[other_at] = value, other
    assert_read_or_refused(bytes(data), max_pixels=10_000)


def narrow(bits: int, masks: Masks | None = None) -> bytes:
    """A BMP of one colour whose rows of 3 pixels end in bytes that fill them up, but for 32 bits."""
    if bits > 16:
        return bmp([bytes([90, 60, 30, 0][: bits // 8] * 3)] * 2, bits, masks=masks)
    if bits == 16:
        return bmp([struct.pack("<H", 0x0C23) * 3] * 2, bits, masks=masks)
    return bmp([b"\1\1\1"] * 2, 8, palette=bytes(4) + bytes([90, 60, 30, 0]))


@pytest.mark.parametrize("bits", [8, 16, 24])
def test_last_row_may_lack_the_bytes_that_only_fill_it_up(bits: int) -> None:
    data = narrow(bits)
    filling = -(3 * bits // 8) % 4
    whole = decode_image(data)
    for missing in range(1, filling + 1):
        np.testing.assert_array_equal(decode_image(data[:-missing]), whole)
    assert_refused(data[: -filling - 1], ImageErrorCode.CORRUPT)


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
@pytest.mark.parametrize("masked", [False, True])
def test_pixels_without_a_stated_place_follow_the_header_and_none_lie_in_it(bits: int, masked: bool) -> None:
    masks = {16: (0x7C00, 0x3E0, 0x1F, 0), 32: BGRA}.get(bits) if masked else None
    data = narrow(bits, masks)
    np.testing.assert_array_equal(decode_image(data[:10] + bytes(4) + data[14:]), decode_image(data))
    inside = data[:10] + struct.pack("<I", 30) + data[14:]
    assert "begin at byte 30, inside its header" in assert_refused(inside, ImageErrorCode.CORRUPT)
