"""What is said of bytes that are no picture of a format that is read: what they are and what to do."""

import base64
import io
import json
import struct
import sys
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from runtime.formats.altered import altered_by
from runtime.formats.primary_colours import primary_colours
from runtime.formats.sniff import sniff
from runtime.model.errors import ImageErrorCode
from runtime.model.image import decode_image
from tests.runtime.formats.drawn_pictures import assert_refused, assert_shows, drawn, encode, p3_to_srgb

UNSUPPORTED = ImageErrorCode.UNSUPPORTED
PICTURE = drawn()
JPEG, PNG = encode(PICTURE, "JPEG"), encode(PICTURE, "PNG")
FTYP = b"\0\0\0\x18ftyp"
HEIC = FTYP + b"heic\0\0\0\0mif1heic" + bytes(40)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (encode(PICTURE, "GIF", "P"), ("GIF", "convert it to PNG")),
        (b"\xff\x0a" + bytes(50), ("JPEG XL", "convert")),
        (encode(PICTURE, "JPEG2000"), ("JPEG 2000", "convert")),
        (b"\xff\xd8\xff\xf7" + bytes(50), ("JPEG-LS", "convert")),
        (HEIC, ("HEIC", "JPEG or PNG", "pillow-heif")),
        (FTYP + b"isom\0\0\0\0iso2mp41", ("MP4 video", "single pictures")),
        (b"8BPS\0\1", ("Photoshop", "convert")),
        (b"FUJIFILMCCD-RAW", ("camera raw", "convert")),
        (b"%PDF-1.7", ("PDF", "PNG")),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', ("SVG", "PNG")),
        (b'<?xml version="1.0"?>\n<svg/>', ("SVG", "PNG")),
        (b"  <!DOCTYPE html><html>", ("a web page", "not a picture")),
        (b"\xef\xbb\xbf<html><head>", ("a web page",)),
        (b'{"error": "not found"}', ("JSON", "not a picture")),
        (b"path,label\n", ("text", "not a picture")),
        ("für Größe und Maß\n".encode() * 200, ("text",)),
        (b"PK\x03\x04" + bytes(50), ("ZIP archive", "unpack")),
        (bytes(1000), ("zero bytes",)),
        (b"\xfe\xed\xfa\xce\x01\x80\x90", ("first bytes are unknown",)),
        (encode(PICTURE, "ICO"), ("ICO", "convert")),
        (encode(PICTURE, "PPM"), ("Netpbm", "convert")),
        (b"DDS " + bytes(50), ("DDS", "convert")),
        (b"\xff\xd8\xff\xe8\0\4ab\xff\xf7\0\x0b" + bytes(50), ("JPEG-LS", "convert")),
        (b"PF\n10 10\n-1.0\n", ("Netpbm", "convert")),
        (encode(PICTURE, "TGA"), ("TGA", "convert")),
        (encode(PICTURE, "PCX"), ("PCX", "convert")),
        (encode(PICTURE, "EPS"), ("PostScript", "PNG")),
        (b"II\x1a\0\0\0HEAPCCDR", ("camera raw", "convert")),
        (b"\0\0\0\x08wide\0\0\1\0mdat" + bytes(50), ("QuickTime video", "single pictures")),
        (b"Rar!\x1a\x07\x01\0", ("RAR archive", "unpack")),
        (b"a.jpg".ljust(257, b"\0") + b"ustar\0", ("tar archive", "unpack")),
        (b"<!-- drawn -->\n<svg></svg>", ("SVG", "PNG")),
        (b"BMW is a maker of cars, and this a text.\n", ("text", "not a picture")),
        (b"version https://git-lfs.github.com/spec/v1\noid", ("Git LFS pointer", "git lfs pull")),
        (b"\r\n" + encode(PICTURE, "JPEG"), ("JPEG", "behind blanks")),
    ],
    ids=lambda value: repr(value[:12]) if isinstance(value, bytes) else "",
)
def test_bytes_are_named_and_the_formats_that_are_read_are_listed(data: bytes, words: tuple[str, ...]) -> None:
    message = assert_refused(data, UNSUPPORTED)
    for word in words:
        assert word in message
    assert message.startswith("not an image in a supported format")


ALTERED = {
    "text mode to Unix": (PNG.replace(b"\r\n", b"\n"), "line breaks of a PNG were changed or left out"),
    "text mode to Windows": (PNG.replace(b"\n", b"\r\n"), "line breaks of a PNG were changed or left out"),
    "curl -d": (PNG.translate(None, b"\0\r\n"), "line breaks of a PNG were changed or left out"),
    "JPEG read as text": (JPEG.decode(errors="replace").encode(), "read as text (UTF-8), which loses them"),
    "PNG read as text": (PNG.decode(errors="replace").encode(), "read as text (UTF-8), which loses them"),
    "JPEG as a binary string": (JPEG.decode("latin-1").encode(), "each byte of a JPEG was written as a letter"),
    "PNG as a binary string": (PNG.decode("latin-1").encode(), "each byte of a PNG was written as a letter"),
    "PNG as text of Windows": (PNG.decode("cp1252", "replace").encode(), "each byte of a PNG was written as a letter"),
    "base64": (base64.b64encode(PNG), "this is base64 of a picture, as text; decode it first"),
    "lines of base64": (base64.encodebytes(JPEG), "this is base64 of a picture, as text; decode it first"),
    "a data: URI": (b"data:image/png;base64," + base64.b64encode(PNG), "this is a data: URI of a picture, as text"),
}


@pytest.mark.parametrize("name", ALTERED)
def test_picture_that_was_handled_as_text_is_told_from_bytes_of_unknown_kind(name: str) -> None:
    data, words = ALTERED[name]
    assert words in assert_refused(data, UNSUPPORTED)


@given(st.binary(max_size=400))
def test_other_bytes_are_not_said_to_be_altered(data: bytes) -> None:
    if not sniff(data) and b"\x89PNG" not in data[:4] and b"\xef\xbf\xbd" not in data[:3]:
        assert altered_by(data) == ""


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
def test_avif_is_read_by_pillow() -> None:
    data = encode(PICTURE, "AVIF", quality=95, subsampling="4:4:4")
    assert_shows(data, PICTURE, mean=3)
    frames = encode(PICTURE, "AVIF", quality=95, save_all=True, append_images=[Image.new("RGB", (128, 96))])
    assert_shows(frames, PICTURE, mean=4)
    for share in (0.1, 0.5, 0.95):
        assert_refused(data[: int(len(data) * share)], ImageErrorCode.CORRUPT)
    assert_refused(data, ImageErrorCode.TOO_MANY_PIXELS, max_pixels=96 * 128 - 1)
    pixels = np.dstack([PICTURE, np.zeros(PICTURE.shape[:2], np.uint8)])
    assert decode_image(encode(pixels, "AVIF")).min() >= 250


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
def test_colours_that_an_avif_states_are_used_and_high_dynamic_range_is_refused() -> None:
    data = encode(np.tile(np.array([200, 100, 50], np.uint8), (16, 16, 1)), "AVIF", quality=100, subsampling="4:4:4")
    at = data.index(b"colrnclx") + 8
    assert struct.unpack_from(">HH", data, at) == (1, 13)
    wide = decode_image(data[:at] + struct.pack(">HH", 12, 13) + data[at + 4 :])
    np.testing.assert_allclose(wide[8, 8], p3_to_srgb([200, 100, 50]), atol=4)
    assert "PQ" in assert_refused(data[:at] + struct.pack(">HH", 9, 16) + data[at + 4 :], UNSUPPORTED)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
def test_colours_of_other_pictures_in_the_file_do_not_count() -> None:
    """A gain map's brighter rendering states PQ; viewers of standard range show the primary picture."""
    data = encode(PICTURE, "AVIF", quality=95)
    ipco = data.index(b"ipco")
    other = b"\0\0\0\x13colrnclx\0\x09\0\x10\0\x09\x80"
    grown = bytearray(data)
    end = ipco - 4 + int.from_bytes(data[ipco - 4 : ipco])
    grown[end:end] = other
    for name in (b"ipco", b"iprp", b"meta"):
        at = data.index(name) - 4
        grown[at : at + 4] = (int.from_bytes(data[at : at + 4]) + len(other)).to_bytes(4)
    assert primary_colours(bytes(grown)) == (1, 13)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_boxes_state_nothing(data: st.DataObject) -> None:
    changed = bytearray(encode(drawn(16, 16), "AVIF"))
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, 300))] = data.draw(st.integers(0, 255))
    stated = primary_colours(bytes(changed))
    assert stated is None or len(stated) == 2


def test_avif_without_a_decoder_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda name: False)
    assert "AVIF is not accepted here" in assert_refused(FTYP + b"avif\0\0\0\0mif1avif" + bytes(40), UNSUPPORTED)


def test_heic_is_read_where_its_package_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is never installed here; in its place stands what it does, by the calls that are made of it."""

    class File:
        def __init__(self) -> None:
            self.size = (128, 96)
            self.info = {"icc_profile": None}

        def to_pillow(self) -> Image.Image:
            return Image.fromarray(PICTURE)

    package = types.ModuleType("pillow_heif")

    def open_heif(file: io.BytesIO, *, convert_hdr_to_8bit: bool) -> File:
        assert file.getvalue() == HEIC
        assert convert_hdr_to_8bit
        return File()

    package.open_heif = open_heif  # type: ignore[attr-defined]
    package.__spec__ = types.SimpleNamespace(name="pillow_heif")  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "pillow_heif", package)
    assert_shows(HEIC, PICTURE)
    assert_refused(HEIC, ImageErrorCode.TOO_MANY_PIXELS, max_pixels=100)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}])
def test_bound_that_is_set_holds_and_pillows_own_plays_no_part(
    kind: str, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(PICTURE, kind, **options if kind == "TIFF" else {})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert decode_image(data, max_pixels=96 * 128).shape == PICTURE.shape
    assert "12288" not in assert_refused(data, ImageErrorCode.TOO_MANY_PIXELS, max_pixels=96 * 128 - 1)


def test_message_is_fit_for_json() -> None:
    message = assert_refused(bytes(range(256)), UNSUPPORTED)
    assert json.loads(json.dumps(message)) == message
