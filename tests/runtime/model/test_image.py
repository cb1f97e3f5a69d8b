"""Decoding: what a person would see, or an error with the right code."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

from runtime.model.errors import ImageError, ImageErrorCode
from runtime.model.image import MAX_PIXELS, ImageArray, decode_image

# Four quadrants, so that every flip and rotation shows: red green / blue white.
QUADRANTS = np.repeat(
    np.repeat(np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], dtype=np.uint8), 16, axis=0),
    24,
    axis=1,
)
NOISE = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif_with_orientation(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def as_stored(upright: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """What a camera stores so that the viewer's turn shows `upright`; TIFF 6.0, tag 274: where row 0, column 0 lie."""
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright[:, ::-1].transpose(1, 0, 2),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: upright[::-1].transpose(1, 0, 2),
    }[orientation]
    return np.ascontiguousarray(stored)


def code_of(data: bytes, max_pixels: int = MAX_PIXELS) -> ImageErrorCode:
    with pytest.raises(ImageError) as caught:
        decode_image(data, max_pixels)
    return caught.value.code


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 95, "subsampling": 0}), ("PNG", {}), ("TIFF", {})])
def test_a_turned_photograph_comes_out_upright(orientation: int, kind: str, options: dict[str, int]) -> None:
    stored = Image.fromarray(as_stored(QUADRANTS, orientation))
    decoded = decode_image(encode(stored, kind, exif=exif_with_orientation(orientation), **options))
    assert decoded.shape == QUADRANTS.shape
    assert np.abs(decoded.astype(int) - QUADRANTS).max() <= 3


def test_a_damaged_exif_block_does_not_hide_a_whole_picture() -> None:
    data = encode(Image.fromarray(QUADRANTS), "PNG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff garbage")
    np.testing.assert_array_equal(decode_image(data), QUADRANTS)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_keep_every_value(kind: str) -> None:
    decoded = decode_image(encode(Image.fromarray(NOISE), kind))
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, NOISE)


def test_lossless_webp_keeps_every_value() -> None:
    np.testing.assert_array_equal(decode_image(encode(Image.fromarray(NOISE), "WEBP", lossless=True)), NOISE)


def test_cmyk_jpeg_shows_its_colours_and_not_their_negative() -> None:
    cmyk = Image.fromarray(QUADRANTS).convert("CMYK")
    decoded = decode_image(encode(cmyk, "JPEG", quality=100, subsampling=0))
    assert np.abs(decoded.astype(int) - QUADRANTS).max() <= 6


def test_grey_jpeg_repeats_over_three_channels() -> None:
    decoded = decode_image(encode(Image.fromarray(NOISE[..., 0]), "JPEG"))
    assert decoded.shape == NOISE.shape
    assert (decoded == decoded[..., :1]).all()


def test_the_first_picture_of_a_phones_multi_picture_jpeg_is_taken() -> None:
    first, second = Image.fromarray(QUADRANTS), Image.new("RGB", (48, 32), "black")
    data = encode(first, "MPO", save_all=True, append_images=[second], quality=95, subsampling=0)
    assert np.abs(decode_image(data).astype(int) - QUADRANTS).max() <= 3


def test_rgba_is_laid_over_white() -> None:
    pixels = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [255, 0, 0, 128]]], dtype=np.uint8)
    decoded = decode_image(encode(Image.fromarray(pixels), "PNG"))
    np.testing.assert_array_equal(decoded, [[[255, 255, 255], [0, 0, 0], [255, 127, 127]]])


def test_grey_with_alpha_is_laid_over_white() -> None:
    pixels = np.array([[[10, 0], [10, 255]]], dtype=np.uint8)
    decoded = decode_image(encode(Image.fromarray(pixels), "PNG"))
    np.testing.assert_array_equal(decoded, [[[255] * 3, [10] * 3]])


def test_palette_with_a_transparent_entry_is_laid_over_white() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([200, 0, 0, 0, 0, 200])
    palette.putpixel((1, 0), 1)
    np.testing.assert_array_equal(
        decode_image(encode(palette, "PNG", transparency=0)), [[[255, 255, 255], [0, 0, 200]]]
    )
    np.testing.assert_array_equal(decode_image(encode(palette, "PNG")), [[[200, 0, 0], [0, 0, 200]]])


@pytest.mark.parametrize(
    ("pixels", "key", "opaque"),
    [
        (np.array([[[1, 2, 3], [9, 9, 9]]], dtype=np.uint8), (1, 2, 3), [9, 9, 9]),
        (np.array([[7, 90]], dtype=np.uint8), 7, [90, 90, 90]),
    ],
)
def test_a_png_colour_declared_transparent_is_white(
    pixels: NDArray[np.uint8], key: tuple[int, ...] | int, opaque: list[int]
) -> None:
    data = encode(Image.fromarray(pixels), "PNG", transparency=key)
    np.testing.assert_array_equal(decode_image(data), [[[255, 255, 255], opaque]])


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_by_its_full_range(kind: str) -> None:
    deep = np.array([[0, 200, 32768, 65400, 65535]], dtype=np.uint16)
    decoded = decode_image(encode(Image.fromarray(deep), kind))
    np.testing.assert_array_equal(decoded[0, :, 0], [0, 1, 128, 254, 255])
    assert decoded.shape == (1, 5, 3)


def test_one_bit_png_is_black_and_white() -> None:
    bits = Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert("1")
    np.testing.assert_array_equal(decode_image(encode(bits, "PNG")), [[[0] * 3, [255] * 3]])


def test_the_format_is_told_by_content() -> None:
    jpeg = encode(Image.fromarray(QUADRANTS), "JPEG", quality=95, subsampling=0)
    assert np.abs(decode_image(jpeg).astype(int) - QUADRANTS).max() <= 3  # bytes carry no name at all


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.98])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("BMP", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_a_truncated_picture_is_refused(kind: str, options: dict[str, object], share: float) -> None:
    data = encode(Image.fromarray(NOISE), kind, **options)
    code = code_of(data[: int(len(data) * share)])
    assert code in (ImageErrorCode.CORRUPT, ImageErrorCode.UNSUPPORTED)
    assert share < 0.2 or kind == "TIFF" or code is ImageErrorCode.CORRUPT


def test_png_with_a_flipped_bit_is_refused() -> None:
    data = bytearray(encode(Image.fromarray(NOISE), "PNG"))
    data[len(data) // 2] ^= 0x10
    assert code_of(bytes(data)) is ImageErrorCode.CORRUPT


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its few bytes do not hold."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(b"\x00" * 64)
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (body, pixels, b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (9_460, 9_460), (MAX_PIXELS + 1, 1)])
def test_a_header_that_claims_too_many_pixels_is_refused_before_decoding(width: int, height: int) -> None:
    assert code_of(png_header(width, height)) is ImageErrorCode.TOO_MANY_PIXELS


def test_the_limit_itself_is_accepted_and_one_pixel_more_is_not() -> None:
    data = encode(Image.fromarray(NOISE), "PNG")
    assert decode_image(data, max_pixels=64 * 80).shape == NOISE.shape
    with pytest.raises(ImageError, match="80 x 64 pixels; at most 5119"):
        decode_image(data, max_pixels=64 * 80 - 1)


def test_no_bytes_are_an_empty_file() -> None:
    assert code_of(b"") is ImageErrorCode.EMPTY


@pytest.mark.parametrize("data", [b"path,label\n", b"\xff\xd8", b"%PDF-1.7", bytes(1000), b"<svg></svg>"])
def test_what_is_no_picture_is_unsupported(data: bytes) -> None:
    assert code_of(data) is ImageErrorCode.UNSUPPORTED


def test_a_format_outside_the_list_is_unsupported_and_the_list_is_named() -> None:
    with pytest.raises(ImageError, match="JPEG, PNG, WEBP, BMP, TIFF"):
        decode_image(encode(Image.fromarray(QUADRANTS), "GIF"))


def blocks(height: int, width: int) -> ImageArray:
    """Smooth colour with an edge in each quarter: what reduced decoding must keep, and every turn shows."""
    rows, columns = np.mgrid[0:height, 0:width]
    red = columns * 255 // width
    green = rows * 255 // height
    blue = np.where((rows > height // 4) & (columns > width // 2), 220, 30)
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def area_mean(image: ImageArray, scale: int) -> NDArray[np.float64]:
    height, width = image.shape[0] // scale, image.shape[1] // scale
    means: NDArray[np.float64] = image.reshape(height, scale, width, scale, 3).mean(axis=(1, 3))
    return means


@pytest.mark.parametrize(
    ("options", "mode", "atol"),
    [
        ({}, "RGB", 3),
        ({"progressive": True}, "RGB", 3),
        ({"subsampling": 0}, "CMYK", 12),
        ({}, "L", 3),
    ],
)
@pytest.mark.parametrize(("at_least", "scale"), [((80, 100), 8), ((81, 100), 4), ((160, 201), 2), ((500, 100), 1)])
def test_large_jpeg_is_reduced_to_the_mean_of_its_blocks_but_not_below_what_is_asked(
    options: dict[str, object], mode: str, atol: int, at_least: tuple[int, int], scale: int
) -> None:
    """640 x 800 pixels, so 8 gives exactly 80 x 100. Errors in mode or scale show as whole colours off."""
    data = encode(Image.fromarray(blocks(640, 800)).convert(mode), "JPEG", quality=95, **options)
    full, reduced = decode_image(data), decode_image(data, at_least=at_least)
    assert reduced.shape == (640 // scale, 800 // scale, 3)
    np.testing.assert_allclose(np.median(np.abs(reduced - area_mean(full, scale))), 0, atol=1)
    assert np.percentile(np.abs(reduced - area_mean(full, scale)), 99) <= atol


@pytest.mark.parametrize("orientation", range(1, 9))
def test_reduced_photograph_comes_out_upright(orientation: int) -> None:
    upright = blocks(640, 800)
    stored = Image.fromarray(as_stored(upright, orientation))
    data = encode(stored, "JPEG", exif=exif_with_orientation(orientation), quality=95, subsampling=0)
    reduced = decode_image(data, at_least=(150, 190))
    assert reduced.shape == (160, 200, 3)
    assert np.percentile(np.abs(reduced - area_mean(upright, 4)), 99) <= 4


def test_sides_asked_for_are_those_of_the_upright_picture() -> None:
    """Stored on its side, 320 x 800 upright: reduced by its upright height, not by the stored one."""
    stored = Image.fromarray(as_stored(blocks(320, 800), 6))
    data = encode(stored, "JPEG", exif=exif_with_orientation(6))
    assert decode_image(data, at_least=(160, 100)).shape == (160, 400, 3)
    assert decode_image(data, at_least=(100, 401)).shape == (320, 800, 3)


@pytest.mark.parametrize(("height", "width"), [(641, 803), (647, 801), (1281, 1599)])
def test_side_that_the_scale_does_not_divide_is_not_stretched(height: int, width: int) -> None:
    """What a scale would leave over at the edge moves it by less than 0.2 pixels, or the scale is not used."""
    data = encode(Image.fromarray(blocks(height, width)), "JPEG", quality=95)
    reduced = decode_image(data, at_least=(80, 100))
    scale = round(height / reduced.shape[0])
    for side, least, result in zip((height, width), (80, 100), reduced.shape[:2], strict=True):
        assert abs(side / scale - result) / result * least <= 0.2


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.98])
@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_truncated_jpeg_is_refused_at_reduced_scale_too(options: dict[str, object], share: float) -> None:
    data = encode(Image.fromarray(blocks(640, 800)), "JPEG", **options)
    with pytest.raises(ImageError) as caught:
        decode_image(data[: int(len(data) * share)], at_least=(80, 100))
    assert caught.value.code is ImageErrorCode.CORRUPT


def test_formats_that_cannot_be_reduced_come_out_whole() -> None:
    for kind in ("PNG", "BMP", "TIFF"):
        data = encode(Image.fromarray(NOISE), kind)
        np.testing.assert_array_equal(decode_image(data, at_least=(4, 4)), NOISE)


def test_multi_picture_jpeg_of_a_phone_is_reduced_like_any_other() -> None:
    first, second = Image.fromarray(blocks(640, 800)), Image.new("RGB", (800, 640), "black")
    options: dict[str, object] = {"quality": 95, "subsampling": 0}
    alone = encode(first, "JPEG", **options)
    both = encode(first, "MPO", save_all=True, append_images=[second], **options)
    np.testing.assert_array_equal(decode_image(both, at_least=(80, 100)), decode_image(alone, at_least=(80, 100)))


def test_pixels_are_limited_before_reduction() -> None:
    data = encode(Image.fromarray(blocks(640, 800)), "JPEG")
    with pytest.raises(ImageError, match="800 x 640 pixels"):
        decode_image(data, max_pixels=640 * 800 - 1, at_least=(80, 100))


def test_jpeg_of_endless_scans_is_refused_before_it_is_decoded() -> None:
    """Each scan walks the whole picture again: a few kilobytes could keep a core busy for hours."""
    data = encode(Image.fromarray(blocks(640, 800)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    scan = data[last : data.rindex(b"\xff\xd9")]
    assert decode_image(data[:-2] + scan * 10 + b"\xff\xd9").shape == (640, 800, 3)
    with pytest.raises(ImageError, match="more than 100 scans") as caught:
        decode_image(data[:-2] + scan * 100 + b"\xff\xd9")
    assert caught.value.code is ImageErrorCode.CORRUPT


LOADS_NOTHING = """
import sys
from pathlib import Path
import runtime.serving.intake.images
from runtime.model.errors import ImageError
from runtime.model.image import decode_image
before = set(sys.modules)
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        decode_image(path.read_bytes())
    except ImageError:
        pass
print(sorted(set(sys.modules) - before))
"""


def test_first_picture_of_a_process_waits_for_no_import(tmp_path: Path) -> None:
    picture = Image.fromarray(NOISE)
    kinds = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", *(["AVIF"] if features.check("avif") else []))
    for kind in kinds:
        data = encode(picture, kind)
        (tmp_path / kind).write_bytes(data)
        (tmp_path / f"{kind}.cut").write_bytes(data[: len(data) // 2])
    (tmp_path / "profile").write_bytes(encode(picture, "PNG", icc_profile=bytes(200)))
    (tmp_path / "deep").write_bytes(encode(Image.fromarray(NOISE[..., 0].astype(np.uint16)), "TIFF"))
    (tmp_path / "unknown").write_bytes(b"no format at all")
    command = [sys.executable, "-c", LOADS_NOTHING, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    assert ran.stdout.strip() == "[]"
