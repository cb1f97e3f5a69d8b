"""PNG: every depth, transparency and damage; what is not needed is neither unpacked nor checked."""

import struct
import time
import tracemalloc
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from runtime.formats.png_chunks import SIGNATURE, read_chunks
from runtime.model.errors import ImageError, ImageErrorCode
from runtime.model.image import ImageArray, decode_image
from tests.runtime.formats.drawn_pictures import (
    assert_read_or_refused,
    assert_refused,
    assert_shows,
    chunk,
    drawn,
    encode,
    png,
    rgb_png,
)

CORRUPT, UNSUPPORTED = ImageErrorCode.CORRUPT, ImageErrorCode.UNSUPPORTED
PICTURE = drawn()
HEIGHT, WIDTH = PICTURE.shape[:2]
GREY = PICTURE[..., 0]
DEEP_GREY = (np.arange(HEIGHT * WIDTH, dtype=np.uint32) * 5 % 65536).astype(np.uint16).reshape(HEIGHT, WIDTH)
DEEP = np.stack([DEEP_GREY, DEEP_GREY[::-1], 65535 - DEEP_GREY], axis=-1)
WHOLE = rgb_png(PICTURE)


def to_eight(values: NDArray[np.uint16]) -> ImageArray:
    eight: ImageArray = np.rint(values / 257).astype(np.uint8)
    return eight


def deep_png(values: NDArray[np.uint16], colour: int, before: bytes = b"") -> bytes:
    return png([row.astype(">u2").tobytes() for row in values], values.shape[1], 16, colour, before)


def three(grey: NDArray[np.uint8]) -> ImageArray:
    return np.repeat(grey[..., None], 3, axis=-1)


BOMB = zlib.compress(bytes(64 << 20), 9)


@pytest.mark.parametrize(
    "block",
    [
        chunk(b"zTXt", b"workflow\0\0" + BOMB),
        chunk(b"iTXt", b"prompt\0\1\0\0\0" + BOMB),
        chunk(b"tEXt", b"parameters\0" + b"x" * (4 << 20)),
        chunk(b"iCCP", b"profile\0\0" + BOMB),
        chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(1 << 20))) * 80,
    ],
    ids=["zTXt", "iTXt", "tEXt", "iCCP", "many"],
)
@pytest.mark.parametrize("place", ["before", "after"])
def test_large_text_and_profiles_are_passed_over_without_being_unpacked(block: bytes, place: str) -> None:
    data = rgb_png(PICTURE, **{place: block})
    tracemalloc.start()
    try:
        assert_shows(data, PICTURE)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "block",
    [
        chunk(b"tEXt", b"Comment\0a", checksum=12345),
        chunk(b"gAMA", b"\0\0\1\1", checksum=1),
        chunk(b"gAMA", b"\0\0"),
        chunk(b"gAMA", b"\0\0\0\0"),
        chunk(b"cHRM", b"\0" * 32),
        chunk(b"cHRM", b"\xff" * 32),
        chunk(b"cHRM", b"\0" * 3),
        chunk(b"cICP", b"\0"),
        chunk(b"cICP", b"\xc8\xc8\0\1"),
        chunk(b"pHYs", b"\0"),
        chunk(b"sRGB", b""),
        chunk(b"iCCP", b""),
        chunk(b"iCCP", b"profile"),
        chunk(b"iCCP", b"profile\0\0no zlib"),
        chunk(b"iCCP", b"profile\0\7" + zlib.compress(b"x")),
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(b"no profile")),
        chunk(b"zTXt", b"a\0\7b"),
        chunk(b"tRNS", b""),
        chunk(b"tRNS", b"\0\1\0"),
        chunk(b"tRNS", b"\0\0\0\0\0\x28", checksum=1),
        chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff"),
        chunk(b"acTL", b"\0"),
        chunk(b"fcTL", b"\0" * 26),
        chunk(b"PLTE", b"\0\0\0"),
        chunk(b"hIST", b"\0"),
    ],
    ids=lambda block: repr(block[4:14]),
)
@pytest.mark.parametrize("place", ["before", "after"])
def test_one_damaged_chunk_that_makes_no_pixels_is_passed_over(block: bytes, place: str) -> None:
    assert_shows(rgb_png(PICTURE, **{place: block}), PICTURE)


def test_chunks_between_the_pixels_and_a_missing_end_are_passed_over() -> None:
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in PICTURE))
    parts = chunk(b"IDAT", packed[:100]) + chunk(b"tIME", b"") + chunk(b"IDAT", b"") + chunk(b"IDAT", packed[100:])
    data = WHOLE[: 8 + 25] + parts
    assert_shows(data, PICTURE)
    assert_shows(data + chunk(b"IEND", b"") + b"garbage", PICTURE)
    assert_shows(data + b"\0\0\1\0tEXtcut", PICTURE)


@pytest.mark.parametrize("name", [b"IHDR", b"IDAT"])
def test_wrong_checksum_of_a_chunk_that_makes_pixels_is_refused(name: bytes) -> None:
    at = WHOLE.index(name) - 4
    end = at + 8 + int.from_bytes(WHOLE[at : at + 4])
    assert name.decode() in assert_refused(WHOLE[:end] + b"\1\2\3\4" + WHOLE[end + 4 :], CORRUPT)
    palette = png([b"\0\1"], 2, 8, 3, chunk(b"PLTE", bytes(6), checksum=1))
    assert "PLTE" in assert_refused(palette, CORRUPT)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (rgb_png(PICTURE, chunk(b"ABCD", b"x")), "ABCD"),
        (SIGNATURE + chunk(b"CgBI", b"\x50\0\x20\x06") + WHOLE[8:], "CgBI"),
    ],
)
def test_unknown_chunk_that_pixels_need_is_named(data: bytes, word: str) -> None:
    assert word in assert_refused(data, UNSUPPORTED)


def header(*values: int) -> bytes:
    return SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", *values)) + WHOLE[33:]


@pytest.mark.parametrize(
    "data",
    [
        header(WIDTH, HEIGHT, 7, 2, 0, 0, 0),
        header(WIDTH, HEIGHT, 8, 5, 0, 0, 0),
        header(WIDTH, HEIGHT, 8, 2, 1, 0, 0),
        header(WIDTH, HEIGHT, 8, 2, 0, 1, 0),
        header(WIDTH, HEIGHT, 8, 2, 0, 0, 2),
        header(WIDTH, HEIGHT, 8, 3, 0, 0, 0),
        header(0, HEIGHT, 8, 2, 0, 0, 0),
        SIGNATURE,
        WHOLE[:33],
        WHOLE[:33] + chunk(b"IEND", b""),
        SIGNATURE + WHOLE[33:],
        WHOLE[:33] + b"\0\0\0\0\1\2\3\4\0\0\0\0" + WHOLE[33:],
        SIGNATURE + (chunk(b"tEXt", b"") * 100_001),
    ],
)
def test_damaged_structure_is_refused(data: bytes) -> None:
    assert_refused(data, CORRUPT)


@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize("depth", [1, 8, 16])
def test_pixels_that_end_early_but_in_order_are_refused(depth: int, interlaced: int) -> None:
    """Pillow takes rows that are not there for black ones."""
    rows = [bytes(64 * depth // 8)] * 64
    num_rows = {0: 64, 1: 8 + 8 + 8 + 16 + 16 + 32 + 32}[interlaced]
    unpacked = num_rows + 64 * 64 * depth // 8
    whole = png(rows, 64, depth, 0, packed=zlib.compress(bytes(unpacked)), interlaced=interlaced)
    assert_shows(whole, np.zeros((64, 64, 3), np.uint8))
    for missing in (1, depth * 8, unpacked // 3, unpacked - 100):
        packed = zlib.compress(bytes(unpacked - missing))
        assert_refused(png(rows, 64, depth, 0, packed=packed, interlaced=interlaced), CORRUPT)
    few = zlib.compress((b"\0" + bytes([200] * 30)) * 4)
    assert "before the picture does" in assert_refused(png([bytes(30)] * 10, 10, 8, 2, packed=few), CORRUPT)


@pytest.mark.parametrize("colour", [171, 0, 255])
def test_picture_whose_last_row_is_of_one_colour_is_taken(colour: int) -> None:
    picture = PICTURE.copy()
    picture[-3:] = colour
    assert_shows(rgb_png(picture), picture)


@pytest.mark.parametrize(("colour", "samples"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_are_read_to_the_last_and_rounded(colour: int, samples: int) -> None:
    values = np.dstack([DEEP, np.full_like(DEEP_GREY, 65535)])
    values = values[..., [0, 3]] if samples == 2 else values[..., :samples]
    truth = to_eight(values[..., :3] if samples > 2 else values[..., [0, 0, 0]])
    assert_shows(deep_png(values, colour), truth)


def test_sixteen_bits_are_scaled_by_a_stated_range() -> None:
    values = (DEEP // 16).astype(np.uint16)
    decoded = decode_image(deep_png(values, 2), max_value=4095)
    np.testing.assert_array_equal(decoded, np.rint(values / (4095 / 255)))
    assert "4095" in assert_refused(deep_png(DEEP, 2), UNSUPPORTED, max_value=4095)
    assert_shows(WHOLE, decode_image(WHOLE, max_value=4095))  # 8 bits have their range


def test_sixteen_bits_with_alpha_lie_over_white() -> None:
    values = np.dstack([DEEP, np.where(DEEP_GREY % 2, 65535, 0).astype(np.uint16)])
    truth = to_eight(DEEP)
    truth[DEEP_GREY % 2 == 0] = 255
    assert_shows(deep_png(values, 6), truth)


def packed_rows(grey: NDArray[np.uint8], depth: int) -> list[bytes]:
    """Rows of samples below 8 bits, the first in the highest bits."""
    bits = np.unpackbits(grey[..., None], axis=-1)[..., 8 - depth :]
    return [np.packbits(row.reshape(-1)).tobytes() for row in bits]


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("junk", [0, 0xFF00])
def test_grey_value_that_is_transparent_is_white_at_every_depth(depth: int, junk: int) -> None:
    """Bits of the value above the depth play no part (PNG specification, 11.3.1.1)."""
    largest = 2**depth - 1
    values = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) // 7 % (largest + 1)).astype(np.uint8)
    key = largest // 2
    shown = (values.astype(int) * 255 // largest).astype(np.uint8)
    shown[values == key] = 255
    data = png(packed_rows(values, depth), WIDTH, depth, 0, chunk(b"tRNS", struct.pack(">H", key | junk)))
    assert_shows(data, three(shown))


def test_deep_value_that_is_transparent_is_told_from_its_neighbour() -> None:
    values = np.array([[5120, 5121, 65535, 0]], np.uint16)
    data = deep_png(values, 0, chunk(b"tRNS", struct.pack(">H", 5120)))
    np.testing.assert_array_equal(decode_image(data)[0, :, 0], [255, 20, 255, 0])
    colours = np.stack([values, values, values], axis=-1)
    data = deep_png(colours, 2, chunk(b"tRNS", struct.pack(">3H", 5120, 5120, 5120)))
    np.testing.assert_array_equal(decode_image(data)[0, :, 0], [255, 20, 255, 0])
    data = deep_png(colours, 2, chunk(b"tRNS", struct.pack(">3H", 5120, 5120, 5121)))
    np.testing.assert_array_equal(decode_image(data)[0, :, 0], [20, 20, 255, 0])


def test_colour_that_is_transparent_is_white() -> None:
    data = rgb_png(PICTURE, chunk(b"tRNS", struct.pack(">3H", *PICTURE[10, 100].tolist())))
    truth = PICTURE.copy()
    truth[(PICTURE[10, 100] == PICTURE).all(axis=-1)] = 255
    assert_shows(data, truth)


def test_transparency_of_a_palette_may_be_shorter_or_longer_than_it() -> None:
    palette = chunk(b"PLTE", bytes([10, 20, 30, 40, 50, 60]))
    rows = [b"\0\1"]
    for alphas, first in ((b"\0", [255, 255, 255]), (b"\0" + b"\xff" * 300, [255, 255, 255]), (b"", [10, 20, 30])):
        before = palette + (chunk(b"tRNS", alphas) if alphas else b"")
        np.testing.assert_array_equal(decode_image(png(rows, 2, 8, 3, before)), [[first, [40, 50, 60]]])


def test_default_picture_of_an_animation_is_taken() -> None:
    other = np.zeros_like(PICTURE)
    data = encode(PICTURE, "PNG", save_all=True, append_images=[Image.fromarray(other)])
    assert b"fdAT" in data
    assert_shows(data, PICTURE)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_kind_is_read_as_pillow_reads_it(mode: str) -> None:
    truth = np.asarray(Image.fromarray(PICTURE).convert(mode).convert("RGB"))
    assert_shows(encode(PICTURE, "PNG", mode), truth)


def test_walk_through_many_chunks_ends_soon() -> None:
    start = time.thread_time()
    with suppress(ImageError):
        read_chunks(WHOLE[:33] + chunk(b"tEXt", b"") * (1 << 19))
    assert time.thread_time() - start < 2


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_is_read_or_refused(data: st.DataObject) -> None:
    changed = bytearray(rgb_png(drawn(12, 16), chunk(b"gAMA", struct.pack(">I", 100_000))))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(8, len(changed) - 1))
        if data.draw(st.booleans()):
            changed[at] = data.draw(st.integers(0, 255))
        else:
            del changed[at : at + data.draw(st.integers(1, 20))]
        if len(changed) < 12:
            break
    assert_read_or_refused(bytes(changed), max_pixels=10_000)
