"""TIFFs that are damaged, misleading or made to cost time: an image or an ImageError, soon, and never wrong pixels."""

import io
import struct
import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from runtime.formats.stored import ReadOptions
from runtime.formats.tiff import read_tiff
from runtime.model.errors import ImageError, ImageErrorCode
from runtime.model.image import decode_image
from tests.runtime.formats.tiff_file import DEFLATE, LZW, Tag, directory, first_byte, tiff, write

RGB = np.random.default_rng(3).integers(0, 256, (24, 32, 3), dtype=np.uint8)
SMALL = np.full((6, 8, 3), 255, np.uint8)


def assert_corrupt(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode_image(data)
    assert caught.value.code is ImageErrorCode.CORRUPT
    return str(caught.value)


def tags_of(picture: NDArray[np.uint8], at: int, **more: Tag) -> dict[int, Tag]:
    """Tags of an RGB picture without compression at an offset; `more` by name of tag, t254=..."""
    tags: dict[int, Tag] = {
        256: (4, [picture.shape[1]]),
        257: (4, [picture.shape[0]]),
        258: (3, [8, 8, 8]),
        262: (3, [2]),
        273: (4, [at]),
        277: (3, [3]),
        279: (4, [picture.size]),
    }
    return {**tags, **{int(name[1:]): tag for name, tag in more.items()}}


def with_preview(full: dict[str, Tag], first: dict[str, Tag], in_sub: bool = True) -> bytes:
    """A small preview in the first directory; the picture in a directory below it or behind it."""
    blob = SMALL.tobytes() + RGB.tobytes()
    at = first_byte() + SMALL.size
    picture = tags_of(RGB, at, **full)
    if not in_sub:
        return tiff([tags_of(SMALL, first_byte(), **first), picture], blob)
    behind = first_byte() + len(blob)
    picture_bytes = directory(picture, behind)
    start = behind + len(picture_bytes)
    preview = directory(tags_of(SMALL, first_byte(), t330=(4, [behind]), **first), start)
    return b"II*\0" + struct.pack("<L", start) + blob + picture_bytes + preview


@pytest.mark.parametrize("in_sub", [True, False])
@pytest.mark.parametrize("mark", [{"t254": (4, [1])}, {"t255": (3, [2])}, {"t254": (4, [4])}])
def test_picture_behind_a_preview_or_a_mask_is_the_one_that_is_read(mark: dict[str, Tag], in_sub: bool) -> None:
    np.testing.assert_array_equal(decode_image(with_preview({}, mark, in_sub)), RGB)


def test_first_of_several_pictures_counts_where_it_is_whole_and_others_are_smaller() -> None:
    """A pyramid: reduced copies behind the picture."""
    blob = RGB.tobytes() + SMALL.tobytes()
    first, second = tags_of(RGB, first_byte()), tags_of(SMALL, first_byte() + RGB.size, t254=(4, [1]))
    np.testing.assert_array_equal(decode_image(tiff([first, second], blob)), RGB)


def test_picture_marked_as_reduced_is_read_where_it_is_the_only_one() -> None:
    data = tiff([tags_of(RGB, first_byte(), t254=(4, [1]))], RGB.tobytes())
    np.testing.assert_array_equal(decode_image(data), RGB)


def test_preview_is_not_taken_where_the_picture_that_it_is_of_cannot_be_read() -> None:
    data = with_preview({}, {"t254": (4, [1])})
    place = data.index(struct.pack("<HHL", 330, 4, 1)) + 8
    assert "it holds a preview" in assert_corrupt(data[:place] + struct.pack("<L", 2**31) + data[place + 4 :])


@pytest.mark.parametrize("in_sub", [True, False])
@pytest.mark.parametrize(
    ("full", "first"),
    [
        ({"t262": (3, [32803])}, {"t254": (4, [1])}),  # a sensor's mosaic, as in NEF, ARW and DNG
        ({"t262": (3, [32803])}, {}),  # with a preview that is not marked
        ({"t262": (3, [34892])}, {"t254": (4, [1])}),  # linear raw
        ({"t259": (3, [34713])}, {"t254": (4, [1])}),  # Nikon's compression
        ({"t259": (3, [32767])}, {"t254": (4, [1])}),  # Sony's
        ({"t259": (3, [65535])}, {}),  # Pentax's
        ({}, {"t50706": (1, [1, 4, 0, 0])}),  # DNGVersion
    ],
)
def test_camera_raw_is_refused_by_name_and_its_preview_never_taken(
    full: dict[str, Tag], first: dict[str, Tag], in_sub: bool
) -> None:
    with pytest.raises(ImageError, match="camera raw is not accepted; export the picture as TIFF, PNG") as caught:
        decode_image(with_preview(full, first, in_sub))
    assert caught.value.code is ImageErrorCode.UNSUPPORTED


def test_canons_raw_is_told_by_its_head() -> None:
    first = tags_of(RGB, 16)
    data = b"II*\0" + struct.pack("<L", 16 + RGB.size) + b"CR\x02\0" + bytes(4) + RGB.tobytes()
    with pytest.raises(ImageError, match="camera raw is not accepted"):
        decode_image(data + directory(first, len(data)))


@pytest.mark.parametrize(
    "bad",
    [
        {"t34665": (4, [2**31])},  # EXIF directory outside of the file
        {"t700": (1, b"<x:xmpmeta" * 3)},
        {"t34675": (7, b"no profile at all")},
        {"t33723": (4, [2**31, 5])},
        {"t37724": (7, b"Adobe Photoshop Document Data Block")},
        {"t65000": (99, b"a type that nobody knows")},
        {"t282": (5, struct.pack("<LL", 1, 0))},  # resolution divided by zero
        {"t274": (3, [77])},  # an orientation that there is none of
        {"t330": (4, [2**31])},  # a directory below that lies nowhere
    ],
)
def test_damaged_metadata_is_passed_over_where_the_pixels_are_whole(bad: dict[str, Tag]) -> None:
    data = tiff([tags_of(RGB, first_byte(), **bad)], RGB.tobytes())
    np.testing.assert_array_equal(decode_image(data), RGB)


def test_metadata_whose_place_lies_outside_is_passed_over() -> None:
    data = tiff([tags_of(RGB, first_byte(), t34675=(7, b"a profile of some length"))], RGB.tobytes())
    place = data.index(struct.pack("<HHL", 34675, 7, 24)) + 8
    np.testing.assert_array_equal(decode_image(data[:place] + b"\xf0\xff\xff\x7f" + data[place + 4 :]), RGB)


@pytest.mark.parametrize("tag", [258, 262, 273, 277, 279])
def test_damaged_tag_that_the_pixels_need_is_an_error_and_not_a_guess(tag: int) -> None:
    data = tiff([tags_of(RGB, first_byte())], RGB.tobytes())
    at = data.index(struct.pack("<H", tag), first_byte() + RGB.size)
    assert f"the tag {tag} is damaged" in assert_corrupt(data[: at + 2] + struct.pack("<H", 99) + data[at + 4 :])


def test_directories_in_a_circle_end() -> None:
    data = bytearray(tiff([tags_of(RGB, first_byte(), t254=(4, [1]))], RGB.tobytes()))
    start = first_byte() + RGB.size
    next_at = start + 2 + 12 * 8
    data[next_at : next_at + 4] = struct.pack("<L", start)
    assert "it holds a preview" in assert_corrupt(bytes(data))
    data[start + 2 : start + 4] = struct.pack("<H", 253)  # a tag that nobody knows instead of the mark of a preview
    np.testing.assert_array_equal(decode_image(bytes(data)), RGB)


def test_many_directories_cost_no_more_than_a_few() -> None:
    entry = struct.pack("<HHHLLL", 1, 254, 4, 1, 1, 0)
    count = 50_000
    chain = b"".join(entry[:14] + struct.pack("<L", 8 + 18 * (i + 1)) for i in range(count))
    started = time.perf_counter()
    assert_corrupt(b"II*\0" + struct.pack("<L", 8) + chain)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"t256": (4, [0])}, "no width or height"),
        ({"t273": (4, [2**31])}, "outside of the file"),
        ({"t273": (4, [0])}, "outside of the file"),
        ({"t279": (4, [5])}, "too few bytes"),
        ({"t257": (4, [600])}, "too few bytes"),
        ({"t277": (3, [1])}, "bands where its colours need 3"),
        ({"t278": (4, [1])}, "it lacks some of 24 strips"),
        ({"t322": (4, [0]), "t323": (4, [0]), "t324": (4, [8]), "t325": (4, [9])}, "have no size"),
        ({"t259": (3, [5])}, "cannot be unpacked"),
        ({"t259": (3, [8])}, "cannot be unpacked"),
        ({"t259": (3, [32773]), "t257": (4, [600])}, "cannot be unpacked"),
        ({"t259": (3, [7])}, "no JPEG"),
        ({"t259": (3, [50001])}, "cannot be decoded"),
        ({"t259": (3, [8]), "t279": (4, [0])}, "is empty"),
        ({"t341": (12, [-5.0] * 3), "t339": (3, [2, 2, 2])}, "states a range"),
        ({"t262": (3, [3]), "t277": (3, [1]), "t258": (3, [8])}, "palette is missing"),
    ],
)
def test_tags_that_lie_are_found_out(changes: dict[str, Tag], reason: str) -> None:
    assert reason in assert_corrupt(tiff([tags_of(RGB, first_byte(), **changes)], RGB.tobytes()))


def test_strips_that_are_all_the_same_bytes_are_not_unpacked_over_and_over() -> None:
    rows = 4000
    data = write(np.zeros((rows, 4000, 1), np.uint8), 1, 8, compression=DEFLATE)
    size = int(np.frombuffer(data[4:8], "<u4")[0]) - 8
    tags = {256: (4, [4000]), 257: (4, [rows]), 258: (3, [8]), 259: (3, [8]), 262: (3, [1]), 278: (4, [1])}
    tags |= {273: (4, [8] * rows), 279: (4, [size] * rows)}
    started = time.perf_counter()
    assert "longer than the file" in assert_corrupt(tiff([tags], data[8 : 8 + size]))
    assert time.perf_counter() - started < 1


def test_memory_is_bounded_by_the_limit_of_pixels_whatever_bands_and_tiles_claim() -> None:
    """Refused on the header: nothing of the stated size is ever made."""
    claims: list[dict[str, Any]] = [
        {"t256": (4, [2**31]), "t257": (4, [2**31])},
        {"t256": (4, [9000]), "t257": (4, [9000]), "t277": (3, [250]), "t258": (3, [8])},
        {"t322": (4, [2**20]), "t323": (4, [2**20]), "t324": (4, [8]), "t325": (4, [100])},
    ]
    tracemalloc.start()
    for claim in claims:
        with pytest.raises(ImageError) as caught:
            decode_image(tiff([tags_of(RGB, first_byte(), **claim)], RGB.tobytes()))
        assert caught.value.code is ImageErrorCode.TOO_MANY_PIXELS
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("compression", [1, LZW, DEFLATE])
def test_truncated_files_are_refused_wherever_the_directory_lies(share: float, compression: int) -> None:
    data = write(RGB, 2, 8, compression=compression, rows=5)
    assert_corrupt(data[: int(len(data) * share)])
    start = int.from_bytes(data[4:8], "little")
    moved = struct.pack("<L", 8) + directory({1: (3, [1])}, 8)  # what follows is data, and the directory is cut off
    assert_corrupt((data[:4] + moved + data[8:start])[: int(start * share)])


STRUCTURES = [
    write(RGB, 2, 8, compression=LZW, rows=7, tags={317: (3, [2])}),
    write(RGB.astype(np.uint16), 2, 16, compression=DEFLATE, tile=(16, 16), predictor=2, order=">"),
    write(RGB[..., :1], 1, 4, rows=5),
    write(RGB[..., :1].astype(np.float32) / 255, 0, 32, compression=DEFLATE, predictor=3, big=True),
    write(RGB[..., :1] % 4, 3, 2, tags={320: (3, list(range(12)))}),
    write(np.dstack([RGB, RGB[..., 0]]), 5, 8, planar=True, rows=9, compression=32773),
    write(np.dstack([RGB, RGB[..., 0]]), 2, 8, tags={338: (3, [1])}),
]
_JPEG = io.BytesIO()
Image.fromarray(RGB).save(_JPEG, "TIFF", compression="jpeg")
STRUCTURES.append(_JPEG.getvalue())


@given(st.sampled_from(STRUCTURES), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8), st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_changed_bytes_give_an_image_or_an_image_error(
    data: bytes, changes: list[tuple[float, int]], more: st.DataObject
) -> None:
    changed = bytearray(data)
    for place, value in changes:
        changed[int(place * (len(data) - 1))] = value
    # Directories are where a change says the most; they lie behind the pixels here.
    for _ in range(3):
        at = more.draw(st.integers(max(8, len(data) - 220), len(data) - 1))
        changed[at] = more.draw(st.integers(0, 255))
    try:
        image = read_tiff(bytes(changed), ReadOptions(10_000, 10_000)).image  # no other error is caught here
    except ImageError:
        return
    assert image.width * image.height <= 10_000
