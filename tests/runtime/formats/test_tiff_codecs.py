"""TIFF strips and tiles that are pictures themselves (JPEG, WebP, fax), and YCbCr outside of JPEG."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from runtime.model.errors import ImageError, ImageErrorCode
from runtime.model.image import ImageArray, decode_image
from tests.runtime.formats.tiff_file import Tag, first_byte, tiff, write

HEIGHT, WIDTH = 80, 112


def smooth() -> ImageArray:
    """Colours that JPEG keeps within a few levels, different in every corner."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    blue = np.where((y < HEIGHT // 2) & (x > WIDTH // 2), 200, 60)
    return np.stack([x * 255 // WIDTH, y * 255 // HEIGHT, blue], axis=2).astype(np.uint8)


def saved(image: Image.Image, kind: str = "TIFF", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def in_chunks(parts: list[bytes], photometric: int, compression: int, count: int, tags: dict[int, Tag]) -> bytes:
    offsets = np.cumsum([first_byte(), *map(len, parts)]).tolist()[:-1]
    sizes = [len(part) for part in parts]
    places: dict[int, Tag] = {273: (4, offsets), 279: (4, sizes)}
    if 322 in tags:
        places = {324: (4, offsets), 325: (4, sizes)}
    common: dict[int, Tag] = {
        256: (4, [WIDTH]),
        257: (4, [HEIGHT]),
        258: (3, [8] * count),
        259: (3, [compression]),
        262: (3, [photometric]),
        277: (3, [count]),
    }
    return tiff([{**common, **places, **tags}], b"".join(parts))


def tiles(picture: NDArray[np.uint8], size: int = 64) -> list[NDArray[np.uint8]]:
    padded = np.pad(picture, ((0, -HEIGHT % size), (0, -WIDTH % size), (0, 0)), mode="edge")
    return [padded[y : y + size, x : x + size] for y in range(0, HEIGHT, size) for x in range(0, WIDTH, size)]


TILED: dict[int, Tag] = {322: (4, [64]), 323: (4, [64])}


def difference(data: bytes, expected: ImageArray) -> int:
    decoded = decode_image(data)
    assert decoded.shape == expected.shape
    return int(np.percentile(np.abs(decoded.astype(int) - expected), 99))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "YCbCr"])
def test_jpeg_strips_of_libtiff_come_out_in_their_colours(mode: str) -> None:
    image = Image.fromarray(smooth()).convert(mode)
    data = saved(image, compression="jpeg", quality=95)
    assert difference(data, np.asarray(image.convert("RGB"))) <= 6


def test_jpeg_strips_are_what_libtiff_makes_of_them() -> None:
    data = saved(Image.fromarray(smooth()).convert("YCbCr"), compression="jpeg", quality=80)
    by_libtiff = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert difference(data, by_libtiff) <= 2


@pytest.mark.parametrize("subsampling", [0, 2])
def test_jpeg_tiles_without_a_marker_are_ycbcr_where_the_tiff_says_so(subsampling: int) -> None:
    whole = [saved(Image.fromarray(tile), "JPEG", quality=95, subsampling=subsampling) for tile in tiles(smooth())]
    decoded = [np.asarray(Image.open(io.BytesIO(part))) for part in whole]
    rows = [np.concatenate(decoded[i : i + 2], axis=1) for i in (0, 2)]
    data = in_chunks([_without_app(part) for part in whole], 6, 7, 3, TILED)
    np.testing.assert_array_equal(decode_image(data), np.concatenate(rows)[:HEIGHT, :WIDTH])


def test_jpeg_tiles_without_a_marker_are_rgb_where_the_tiff_says_so() -> None:
    """As scanners of slides write them; a JPEG alone would be taken for YCbCr."""
    parts = [saved(Image.fromarray(tile), "JPEG", quality=95, keep_rgb=True) for tile in tiles(smooth())]
    for part in parts:
        assert part[part.index(b"\xff\xc0") + 10 :][:7:3] == b"RGB"
    numbered = [_numbered(_without_app(part)) for part in parts]
    assert difference(in_chunks(numbered, 2, 7, 3, TILED), smooth()) <= 6


def _numbered(jpeg: bytes) -> bytes:
    """Name the components 1, 2 and 3, which libjpeg takes for YCbCr, instead of R, G and B."""
    for marker, first, step in ((b"\xff\xc0", 10, 3), (b"\xff\xda", 5, 2)):
        at = jpeg.index(marker) + first
        for index in range(3):
            place = at + index * step
            jpeg = jpeg[:place] + bytes([index + 1]) + jpeg[place + 1 :]
    return jpeg


def test_jpeg_tables_shared_by_all_tiles_are_found() -> None:
    whole = [saved(Image.fromarray(tile), "JPEG", quality=95, subsampling=0) for tile in tiles(smooth())]
    shared = saved(Image.fromarray(tiles(smooth())[0]), "JPEG", quality=95, subsampling=0, streamtype=1)
    parts = [saved(Image.fromarray(t), "JPEG", quality=95, subsampling=0, streamtype=2) for t in tiles(smooth())]
    tags: dict[int, Tag] = {**TILED, 347: (7, shared)}
    np.testing.assert_array_equal(
        decode_image(in_chunks(parts, 6, 7, 3, tags)), decode_image(in_chunks(whole, 6, 7, 3, TILED))
    )


def _without_app(jpeg: bytes) -> bytes:
    """Cut the JFIF or Adobe segment at the front."""
    assert jpeg[2] == 0xFF
    if not 0xE0 <= jpeg[3] <= 0xEF:
        return jpeg
    return jpeg[:2] + jpeg[4 + int.from_bytes(jpeg[4:6], "big") :]


def test_jpeg_that_contradicts_its_tiff_is_refused() -> None:
    parts = [saved(Image.fromarray(tile), "JPEG", quality=95) for tile in tiles(smooth())]
    with pytest.raises(ImageError, match="RGB whose JPEG strips say that they are YCbCr is not accepted") as caught:
        decode_image(in_chunks(parts, 2, 7, 3, TILED))
    assert caught.value.code is ImageErrorCode.UNSUPPORTED


@pytest.mark.parametrize(("marker", "precision"), [(0xC1, 12), (0xC3, 8), (0xC9, 8)])
def test_12_bit_lossless_and_arithmetic_jpeg_are_refused_by_name(marker: int, precision: int) -> None:
    part = saved(Image.fromarray(smooth()), "JPEG")
    at = part.index(b"\xff\xc0")
    part = part[:at] + bytes([0xFF, marker]) + part[at + 2 : at + 4] + bytes([precision]) + part[at + 5 :]
    with pytest.raises(ImageError, match="lossless, arithmetic or 12-bit JPEG compression is not accepted"):
        decode_image(in_chunks([part], 6, 7, 3, {}))


@pytest.mark.parametrize("size", [(40, 112), (80, 100), (160, 112)])
def test_jpeg_of_another_size_than_its_strip_is_refused(size: tuple[int, int]) -> None:
    part = saved(Image.new("RGB", size[::-1]), "JPEG")
    with pytest.raises(ImageError, match="than stated") as caught:
        decode_image(in_chunks([part], 6, 7, 3, {}))
    assert caught.value.code is ImageErrorCode.CORRUPT


def test_jpeg_strip_of_endless_scans_is_refused_before_it_is_decoded() -> None:
    part = saved(Image.fromarray(smooth()), "JPEG", progressive=True)
    last = part.rindex(b"\xff\xda")
    with pytest.raises(ImageError, match="at most 100 scans"):
        decode_image(in_chunks([part[:-2] + part[last:-2] * 100 + b"\xff\xd9"], 6, 7, 3, {}))


@pytest.mark.parametrize("count", [3, 4])
def test_webp_tiles_are_read(count: int) -> None:
    picture = smooth() if count == 3 else np.dstack([smooth(), np.full((HEIGHT, WIDTH), 255, np.uint8)])
    parts = [saved(Image.fromarray(tile), "WEBP", lossless=True) for tile in tiles(picture)]
    tags = {**TILED, 338: (3, [2])} if count == 4 else TILED
    np.testing.assert_array_equal(decode_image(in_chunks(parts, 2, 50001, count, tags)), smooth())


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("order", [1, 2])
def test_fax_compressions_come_out_as_drawn(compression: str, photometric: int, order: int) -> None:
    bits = (np.add.outer(np.arange(HEIGHT) // 7, np.arange(WIDTH) // 5) % 3 == 0).astype(np.uint8)
    image = Image.fromarray(bits * 255).convert("1")
    data = saved(image, compression=compression, tiffinfo={262: photometric, 266: order, 278: 30})
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(expected[..., 0], bits * 255)
    np.testing.assert_array_equal(decode_image(data), expected)


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2), (4, 4)])
@pytest.mark.parametrize("rows", [16, HEIGHT])
@pytest.mark.parametrize("compression", [1, 5])
def test_ycbcr_outside_of_jpeg_is_read_with_its_chroma(
    subsampling: tuple[int, int], rows: int, compression: int
) -> None:
    across, down = subsampling
    ycbcr = np.asarray(Image.fromarray(smooth()).convert("YCbCr"))
    chroma = ycbcr[::down, ::across, 1:]
    units = np.concatenate(
        [
            ycbcr[..., 0]
            .reshape(HEIGHT // down, down, WIDTH // across, across)
            .transpose(0, 2, 1, 3)
            .reshape(HEIGHT // down, WIDTH // across, -1),
            chroma,
        ],
        axis=2,
    )
    seen = np.dstack([ycbcr[..., :1], chroma.repeat(down, axis=0).repeat(across, axis=1)])
    expected = np.asarray(
        Image.frombytes("YCbCr", (WIDTH, HEIGHT), np.ascontiguousarray(seen).tobytes()).convert("RGB")
    )
    packed = units.reshape(HEIGHT // down, -1, 1)
    tags: dict[int, Tag] = {
        256: (4, [WIDTH]),
        257: (4, [HEIGHT]),
        258: (3, [8, 8, 8]),
        262: (3, [6]),
        277: (3, [3]),
        278: (4, [rows]),
        530: (3, [across, down]),
    }
    data = write(packed, 6, 8, rows=rows // down, compression=compression, tags=tags)
    np.testing.assert_array_equal(decode_image(data), expected)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({529: (5, b"".join(n.to_bytes(4, "little") for n in (2126, 10000, 7152, 10000, 722, 10000)))}, "coefficients"),
        (
            {532: (5, b"".join(n.to_bytes(4, "little") for n in (16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1)))},
            "refer",
        ),
    ],
)
def test_ycbcr_of_video_is_refused(tags: dict[int, Tag], reason: str) -> None:
    with pytest.raises(ImageError, match=f"YCbCr with .*{reason}.* is not accepted"):
        decode_image(write(smooth(), 6, 8, tags={530: (3, [1, 1]), **tags}))
