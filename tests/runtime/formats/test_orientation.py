"""Which way up: the EXIF block alone says so, in one way for all formats."""

import struct
from typing import Any

import numpy as np
import pytest

from runtime.formats.orientation import orientation_of
from runtime.model.image import decode_image
from tests.runtime.formats.drawn_pictures import assert_shows, chunk, drawn, encode, jpeg, rgb_png, segment

PICTURE = drawn(40, 64)
OPTIONS: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)
XMP_ELEMENT = XMP.replace(b' tiff:Orientation="6"/>', b"><tiff:Orientation>6</tiff:Orientation></rdf:Description>")


def exif(value: int, order: str = "<", kind: int = 3, before: int = 0, tail: bytes = b"") -> bytes:
    """A TIFF header and a directory of other entries and the orientation."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}LH", 8, before + 1)
    other = struct.pack(f"{order}HHLL", 0x0100, 4, 1, 5) * before
    stored = struct.pack(f"{order}{ {1: 'B', 3: 'H', 4: 'L'}.get(kind, 'L') }", value).ljust(4, b"\0")
    return head + other + struct.pack(f"{order}HHL", 0x0112, kind, 1) + stored + bytes(4) + tail


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_is_found_in_both_byte_orders_and_with_a_prefix(value: int, order: str) -> None:
    assert orientation_of(exif(value, order)) == value
    assert orientation_of(b"Exif\0\0" + exif(value, order, before=30)) == value
    assert orientation_of(exif(value, order, kind=4)) == value


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"Exif\0\0",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        exif(0),
        exif(9),
        exif(6, kind=7),
        exif(6)[:-8],
        exif(6)[:12],
        b"MM*\0" + exif(6)[4:],
        exif(6, before=3)[:8] + b"\xff\xff" + bytes(12 * 3),
    ],
)
def test_damaged_block_turns_nothing(block: bytes) -> None:
    assert orientation_of(block) == 1
    data = jpeg(PICTURE)
    assert_shows(data[:2] + segment(0xE1, b"Exif\0\0" + block) + data[2:], decode_image(data))
    assert_shows(rgb_png(PICTURE, chunk(b"eXIf", block)), PICTURE)


def test_damage_elsewhere_in_the_block_does_not_hide_the_orientation() -> None:
    """A broken thumbnail or maker note is common."""
    data = jpeg(PICTURE)
    block = segment(0xE1, b"Exif\0\0" + exif(3, tail=b"\xff" * 50))
    assert_shows(data[:2] + block + data[2:], decode_image(data)[::-1, ::-1])


@pytest.mark.parametrize("xmp", [XMP, XMP_ELEMENT])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_xmp_turns_nothing_as_in_browsers(kind: str, xmp: bytes) -> None:
    options = OPTIONS.get(kind, {})
    plain = encode(PICTURE, kind, **options)
    if kind == "PNG":
        stated = rgb_png(PICTURE, chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))
    else:
        block: dict[str, Any] = {"tiffinfo": {700: xmp}} if kind == "TIFF" else {"xmp": xmp}
        stated = encode(PICTURE, kind, **options, **block)
    assert xmp in stated
    assert_shows(stated, decode_image(plain))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("value", [3, 6, 8])
def test_exif_turns_every_format_that_has_it(kind: str, value: int) -> None:
    options = OPTIONS.get(kind, {})
    plain = decode_image(encode(PICTURE, kind, **options))
    turned = decode_image(encode(PICTURE, kind, exif=b"Exif\0\0" + exif(value), **options))
    np.testing.assert_array_equal(turned, np.rot90(plain, {3: 2, 6: 3, 8: 1}[value]))


def test_exif_behind_the_pixels_of_a_png_counts_and_text_does_not() -> None:
    assert_shows(rgb_png(PICTURE, after=chunk(b"eXIf", exif(3))), PICTURE[::-1, ::-1])
    raw = b"Raw profile type exif\0\nexif\n 26\n" + exif(3).hex().encode()
    assert_shows(rgb_png(PICTURE, chunk(b"tEXt", raw)), PICTURE)
