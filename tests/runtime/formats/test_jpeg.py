"""JPEG: what belongs to the picture and what does not, and pictures that are not all there."""

import io
import struct
import time
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageChops

from runtime.formats.jpeg_segments import MAX_SEGMENTS, read_segments
from runtime.model.errors import ImageError, ImageErrorCode
from runtime.model.image import MAX_PIXELS, MAX_REDUCED_PIXELS, ImageArray, decode_image, decode_with_size
from tests.runtime.formats.drawn_pictures import (
    assert_read_or_refused,
    assert_refused,
    assert_shows,
    drawn,
    encode,
    jpeg,
    segment,
)

CORRUPT, UNSUPPORTED = ImageErrorCode.CORRUPT, ImageErrorCode.UNSUPPORTED
PICTURE = drawn(240, 320)
WHOLE = jpeg(PICTURE)
SOI, REST = WHOLE[:2], WHOLE[2:]
END = b"\xff\xd9"
NOISE = np.random.default_rng(0).integers(0, 256, 1 << 20, dtype=np.uint8).tobytes()
SCANS = b"\xff\xda" * 200
PROGRESSIVE = jpeg(PICTURE, progressive=True)


def with_blocks(*blocks: bytes) -> bytes:
    return SOI + b"".join(blocks) + REST


@pytest.mark.parametrize(
    "data",
    [
        WHOLE + NOISE,
        WHOLE + SCANS,
        WHOLE + WHOLE * 150,
        WHOLE + b"\0" * 5000,
        with_blocks(*[segment(0xEB, SCANS)] * 50),
        with_blocks(segment(0xE2, b"MPF\0" + SCANS), segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + SCANS)),
        with_blocks(segment(0xE1, b"Exif\0\0II*\0" + WHOLE[:20000])),
        with_blocks(segment(0xFE, SCANS)),
    ],
    ids=["video", "scans behind", "motion JPEG", "zeros", "C2PA", "multi-picture", "thumbnail", "comment"],
)
def test_what_lies_behind_the_end_or_in_metadata_is_no_scan(data: bytes) -> None:
    assert data.count(b"\xff\xda") > 100 or len(data) > len(WHOLE)
    assert_shows(data, decode_image(WHOLE))


@pytest.mark.parametrize(
    "block",
    [
        segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x03\xed"),
        segment(0xEE, b"Adobe"),
        segment(0xE0, b"JFIF\0"),
        segment(0xE0, b"JFIF"),
        segment(0xE2, b"ICC_PROFILE\0"),
        segment(0xE2, b"ICC_PROFILE\0\x01\x02half of a profile"),
        segment(0xE2, b"ICC_PROFILE\0\x01\x01no profile at all"),
        segment(0xE2, b"MPF\0II*\0\xff\xff\xff\xff"),
        segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"),
        segment(0xE1, b"Exif\0\0"),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0\xff<broken"),
        segment(0xFE, b"", length=0),
        segment(0xE5, b"", length=1),
        b"\xff\xff\xff\xff" + segment(0xE3, b"behind fill bytes"),
    ],
)
@pytest.mark.parametrize("place", ["first", "behind the tables", "behind the pixels"])
def test_one_damaged_metadata_block_is_passed_over(block: bytes, place: str) -> None:
    at = {"first": 2, "behind the tables": WHOLE.index(b"\xff\xda"), "behind the pixels": len(WHOLE) - 2}[place]
    assert_shows(WHOLE[:at] + block + WHOLE[at:], decode_image(WHOLE))


def test_blocks_between_scans_are_passed_over() -> None:
    starts = [at for at in range(len(PROGRESSIVE)) if PROGRESSIVE[at : at + 2] == b"\xff\xda"][1:]
    between = PROGRESSIVE
    for at in reversed(starts):
        between = between[:at] + segment(0xFE, b"Adobe" * 9) + segment(0xEE, b"Adobe") + between[at:]
    assert len(starts) > 5
    assert_shows(between, decode_image(PROGRESSIVE))


@pytest.mark.parametrize(
    "end", [b"", b"\xff", b"\xff\xff\xff", b"\0" * 4096, b"\xff\xd8\xff\xe0\0\x10JFIF", b"\xff\xfe\0"]
)
@pytest.mark.parametrize(
    "data", [WHOLE, PROGRESSIVE, jpeg(PICTURE, restart_marker_rows=1)], ids=["", "progressive", "rst"]
)
def test_picture_that_lacks_only_its_end_marker_is_whole(data: bytes, end: bytes) -> None:
    assert_shows(data[:-2] + end, decode_image(data))


@pytest.mark.parametrize("end", [b"", END, b"\0" * 4096, b"\xff" * 4096], ids=["", "end", "zeros", "erased"])
@pytest.mark.parametrize("share", [0.4, 0.7, 0.95, 0.99])
def test_picture_whose_coded_data_end_early_is_refused_with_an_end_marker_or_without(share: float, end: bytes) -> None:
    start = WHOLE.index(b"\xff\xda")
    cut = WHOLE[: start + int(share * (len(WHOLE) - start))].rstrip(b"\xff")
    assert "end before the picture" in assert_refused(cut + end, CORRUPT)


@pytest.mark.parametrize("end", [b"", END])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("at_least", [None, (28, 38)])
def test_cut_picture_is_refused_in_every_mode_and_scale(
    mode: str, at_least: tuple[int, int] | None, end: bytes
) -> None:
    data = encode(PICTURE, "JPEG", mode, quality=90)
    start = data.index(b"\xff\xda")
    cut = data[: start + (len(data) - start) * 2 // 3].rstrip(b"\xff")
    assert_refused(cut + end, CORRUPT, at_least=at_least)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 0.97])
def test_progressive_picture_that_is_cut_is_refused(share: float) -> None:
    assert_refused(PROGRESSIVE[: int(len(PROGRESSIVE) * share)], CORRUPT)
    assert_refused(PROGRESSIVE[: int(len(PROGRESSIVE) * share)], CORRUPT, at_least=(28, 38))


def test_progressive_picture_cut_within_a_scan_is_refused_and_one_that_ends_with_a_scan_is_taken() -> None:
    last = PROGRESSIVE.rindex(b"\xff\xda")
    before = PROGRESSIVE.rindex(b"\xff\xda", 0, last)
    assert_refused(PROGRESSIVE[: (before + last) // 2] + END, CORRUPT)
    without_last = PROGRESSIVE[: PROGRESSIVE.rindex(b"\xff\xc4", 0, last)] + END
    assert_shows(without_last, PICTURE, mean=4)
    assert_refused(without_last[:-2], CORRUPT)  # nothing says that more was not meant to follow


def test_grey_picture_that_ends_as_missing_data_do_is_taken() -> None:
    grey = np.full((64, 64, 3), 128, np.uint8)
    assert_shows(jpeg(grey), grey)
    assert_shows(jpeg(grey)[:-2], grey)


def frame_with(byte: int, value: int, data: bytes = WHOLE) -> bytes:
    changed = bytearray(data)
    changed[data.index(b"\xff\xc0") + byte] = value
    return bytes(changed)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (frame_with(4, 12), "12-bit JPEG"),
        (frame_with(1, 0xC3), "lossless JPEG"),
        (frame_with(1, 0xC5), "hierarchical JPEG"),
        (frame_with(1, 0xC9), "JPEG with arithmetic coding"),
        (frame_with(1, 0xCA), "JPEG with arithmetic coding"),
        (SOI + segment(0xC0, b"\x08\0\x08\0\x08\x02" + b"\x01\x11\0\x02\x11\0") + REST, "JPEG of 2 components"),
    ],
)
def test_kind_of_jpeg_that_is_not_read_is_named(data: bytes, name: str) -> None:
    assert name in assert_refused(data, UNSUPPORTED)


def test_height_stated_behind_the_first_scan_is_found() -> None:
    at = WHOLE.index(b"\xff\xc0") + 5
    data = WHOLE[:at] + b"\0\0" + WHOLE[at + 2 : -2] + segment(0xDC, struct.pack(">H", 240)) + END
    assert_shows(data, decode_image(WHOLE))
    assert_refused(WHOLE[:at] + b"\0\0" + WHOLE[at + 2 :], CORRUPT)


@pytest.mark.parametrize(
    "data",
    [
        SOI + END,
        SOI + segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
        WHOLE[: WHOLE.index(b"\xff\xda")] + END,
        WHOLE[: WHOLE.index(b"\xff\xc0")] + WHOLE[WHOLE.index(b"\xff\xda") :],
        SOI + segment(0xFE, b"") * (MAX_SEGMENTS + 1) + REST,
        SOI + b"\xff\xc0\0\x02" + REST,
        SOI + SOI + REST,
        SOI + b"\xff\x02" + REST,
    ],
)
def test_damaged_structure_is_refused(data: bytes) -> None:
    assert_refused(data, CORRUPT)


def test_component_without_any_scan_is_refused() -> None:
    """Three components, one scan each; without the last the picture would come out in wrong colours."""
    luma = encode(PICTURE[..., 0], "JPEG", quality=95)
    frame, scan = luma.index(b"\xff\xc0"), luma.index(b"\xff\xda")
    three = luma[:frame] + segment(0xC0, luma[frame + 4 : frame + 9] + b"\x03" + b"\1\x11\0\2\x11\0\3\x11\0")
    head = three + luma[frame + 13 : scan]
    scans = [luma[scan : scan + 5] + bytes([number]) + luma[scan + 6 : -2] for number in (1, 2, 3)]
    assert decode_image(head + b"".join(scans) + END).shape == PICTURE.shape
    assert "component" in assert_refused(head + b"".join(scans[:2]) + END, CORRUPT)


def ycck(pixels: ImageArray) -> bytes:
    """As Photoshop writes it: inverted, the three colours as luma and chroma, and the marker's transform set to 2."""
    *colours, key = Image.fromarray(pixels).convert("CMYK").split()
    luma_and_chroma = Image.merge("RGB", colours).convert("YCbCr").split()
    planes = Image.merge("CMYK", [*(ImageChops.invert(plane) for plane in luma_and_chroma), key])
    file = io.BytesIO()
    planes.save(file, "JPEG", quality=98, subsampling=0)
    data = bytearray(file.getvalue())
    data[data.index(b"\xff\xee\0\x0eAdobe") + 15] = 2
    return bytes(data)


def test_cmyk_and_ycck_are_read_as_people_see_them() -> None:
    data = encode(PICTURE, "JPEG", "CMYK", quality=98, subsampling=0)
    assert_shows(data, PICTURE, mean=2)
    assert_shows(ycck(PICTURE), PICTURE, mean=2)
    at = data.index(b"\xff\xee")
    assert_shows(data[:at] + data[at + 16 :], decode_image(data))  # inverted without a marker too, as in browsers


def test_rgb_without_a_marker_is_told_by_its_component_ids() -> None:
    data = encode(PICTURE, "JPEG", quality=95, keep_rgb=True)
    assert_shows(data, PICTURE, mean=1)
    at = data.find(b"\xff\xee")
    if at > 0:
        assert_shows(data[:at] + data[at + 16 :], PICTURE, mean=1)


def large(height: int, width: int) -> bytes:
    return encode(np.tile(np.repeat(np.array([90, 200], np.uint8), width // 2), (height, 1)), "JPEG")


def test_more_pixels_than_are_decoded_are_taken_at_reduced_scale_unless_a_bound_is_stated() -> None:
    height, width = 9_600, 12_000
    data = large(height, width)
    assert height * width > MAX_PIXELS
    reduced, size = decode_with_size(data, (448, 448))
    assert (reduced.shape, size) == ((1200, 1500, 3), (height, width))
    assert reduced[600, 10, 0] == 90
    assert reduced[600, -10, 0] == 200
    assert_refused(data, ImageErrorCode.TOO_MANY_PIXELS)
    assert_refused(data, ImageErrorCode.TOO_MANY_PIXELS, max_pixels=height * width - 1, at_least=(448, 448))
    assert decode_image(data, height * width, (448, 448)).shape == (1200, 1500, 3)


def test_progressive_picture_counts_whole_and_there_is_an_end_to_what_is_reduced() -> None:
    small = jpeg(PICTURE, progressive=True)
    at = small.index(b"\xff\xc2") + 5
    huge = small[:at] + struct.pack(">HH", 9_600, 12_000) + small[at + 4 :]
    assert_refused(huge, ImageErrorCode.TOO_MANY_PIXELS, at_least=(448, 448))
    at = WHOLE.index(b"\xff\xc0") + 5
    beyond = WHOLE[:at] + struct.pack(">HH", 20_000, 20_000) + WHOLE[at + 4 :]
    assert MAX_REDUCED_PIXELS < 20_000 * 20_000
    assert "20000 x 20000" in assert_refused(beyond, ImageErrorCode.TOO_MANY_PIXELS, at_least=(448, 448))


@pytest.mark.parametrize(
    "data",
    [
        SOI + b"\xff" * (8 << 20),
        SOI + b"\xff\0" * (4 << 20),
        SOI + b"\xff\xfe\0\x02" * (2 << 20),
        WHOLE[:-2] + b"\xff\0" * (4 << 20),
        WHOLE[:-2] + b"\xff" * (8 << 20),
        WHOLE[:-2] + b"\xff\xfe\0\x02" * (2 << 20),
    ],
    ids=["fill", "stuffed", "comments", "stuffed data", "filled data", "comments behind"],
)
def test_walk_through_hostile_bytes_is_linear(data: bytes) -> None:
    """8 MB: about 0.1 s at worst; a walk by single bytes would take seconds, a quadratic one for ever."""
    start = time.thread_time()
    with suppress(ImageError):
        read_segments(data)
    assert time.thread_time() - start < 2


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_is_read_or_refused(data: st.DataObject) -> None:
    small = jpeg(drawn(24, 32), progressive=data.draw(st.booleans()))
    changed = bytearray(small)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(2, len(changed) - 1))
        match data.draw(st.integers(0, 2)):
            case 0:
                changed[at] = data.draw(st.integers(0, 255))
            case 1:
                del changed[at : at + data.draw(st.integers(1, 40))]
            case _:
                changed[at:at] = data.draw(st.sampled_from([b"\xff\xd8", b"\xff\xda", b"\xff\xd9", b"\xff", b"\0\0"]))
        if len(changed) < 8:
            break
    assert_read_or_refused(bytes(changed), max_pixels=10_000)


def test_bytes_are_looked_at_about_once_however_many_markers_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = 0
    flatnonzero = np.flatnonzero

    def counted(values: NDArray[np.bool_]) -> NDArray[np.intp]:
        nonlocal looked_at
        looked_at += values.size
        return flatnonzero(values)

    monkeypatch.setattr(np, "flatnonzero", counted)
    data = b"\xff\xd8" + b"x\xff\xfe\0\2" * 9_000 + bytes(100_000)
    with pytest.raises(ImageError):
        read_segments(data)
    assert looked_at < 30 * len(data)
