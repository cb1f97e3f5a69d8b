"""What values a mask's file holds, format by format, and what a class map says of them."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import binary_dilation, label

from dataset.manifest import ManifestError
from dataset.masks.class_map import read_class_map
from dataset.masks.mask_file import read_colours, read_marked, read_numbers
from dataset.masks.source_masks import MaskError, read_above_middle
from runtime.model.errors import ImageError
from tests.dataset.picture_files import texture

NUMBERS = np.array([[0, 1, 2, 3], [3, 2, 1, 0]], np.uint8)


def _file(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _palette(numbers: np.ndarray) -> Image.Image:
    image = Image.fromarray(numbers, "P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    return image


@pytest.mark.parametrize(
    "data",
    [
        _file(Image.fromarray(NUMBERS)),
        _file(Image.fromarray(NUMBERS), "BMP"),
        _file(Image.fromarray(NUMBERS), "TIFF"),
        _file(Image.fromarray(NUMBERS), "TIFF", compression="tiff_lzw"),
        _file(Image.fromarray(NUMBERS.astype(np.uint16))),
        _file(Image.fromarray(NUMBERS.astype(np.uint16)), "TIFF"),
        _file(Image.fromarray(np.repeat(NUMBERS[..., None], 3, axis=2))),
        _file(_palette(NUMBERS)),
        _file(_palette(NUMBERS), bits=2),
        _file(_palette(NUMBERS), "BMP"),
        _file(_palette(NUMBERS), "TIFF"),
    ],
)
def test_numbers_are_those_of_the_file_whatever_its_colours(data: bytes) -> None:
    np.testing.assert_array_equal(read_numbers(data), NUMBERS)


@pytest.mark.parametrize("depth", [2, 4])
def test_grey_samples_of_few_bits_are_not_stretched(depth: int) -> None:
    """Pillow would give 85 for 1 of 2 bits; it cannot write such a file either."""
    import struct
    import zlib

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = b""
    for row in NUMBERS.tolist():
        packed = sum(value << (depth * (len(row) - 1 - at)) for at, value in enumerate(row))
        rows += b"\0" + packed.to_bytes(depth * len(row) // 8, "big")
    header = struct.pack(">IIBBBBB", 4, 2, depth, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    np.testing.assert_array_equal(read_numbers(data), NUMBERS)


def test_transparent_pixels_are_background() -> None:
    pixels = np.full((2, 2, 4), 9, np.uint8)
    pixels[..., 3] = [[0, 255], [255, 0]]
    data = _file(Image.fromarray(pixels))
    assert read_numbers(data).tolist() == [[0, 9], [9, 0]]
    assert read_colours(data).tolist() == [[0, 0x090909], [0x090909, 0]]


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_what_is_lossy_gives_no_numbers_and_no_colours_but_may_mark(kind: str) -> None:
    marked = np.zeros((32, 32), np.uint8)
    marked[8:24, 8:24] = 255
    data = _file(Image.fromarray(marked).convert("RGB"), kind)
    for read in (read_numbers, read_colours):
        with pytest.raises(MaskError, match="at every edge: save it as PNG"):
            read(data)
    np.testing.assert_array_equal(read_marked(data).values[9:23, 9:23], 1)
    assert not read_marked(data).values[:6].any()


def test_a_tiff_that_is_compressed_as_jpeg_gives_no_numbers() -> None:
    with pytest.raises(MaskError, match="a TIFF compressed as JPEG changes numbers"):
        read_numbers(_file(Image.fromarray(texture(1)), "TIFF", compression="jpeg"))


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (Image.fromarray(np.array([[0, 1, 255]], np.uint8)), "it holds 1, where a binary mask holds 0 and one"),
        (Image.fromarray(np.array([[0, 127]], np.uint8)), "it holds 127, where"),
        (Image.fromarray(np.arange(8, dtype=np.uint8)[None] * 30), r"it holds 30, 60, 90, 120, where"),
        (_palette(NUMBERS), "it holds 1, 2, 3, where"),
        (Image.fromarray(np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8)), "it holds 2 colours, and no masks/classes"),
    ],
)
def test_a_binary_mask_holds_two_values(image: Image.Image, reason: str) -> None:
    with pytest.raises(MaskError, match=reason):
        read_marked(_file(image))


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(np.array([[False, True]])),
        Image.fromarray(np.array([[0, 128]], np.uint8)),
        Image.fromarray(np.array([[0, 65535]], np.uint16)),
        Image.fromarray(np.array([[[0, 0, 0], [0, 200, 0]]], np.uint8)),
        Image.fromarray(np.array([[0, 255]], np.uint8)).convert("P"),
        Image.fromarray(np.array([[[255, 255, 255, 0], [255, 255, 255, 255]]], np.uint8)),
    ],
)
def test_a_binary_mask_may_be_of_any_mode(image: Image.Image) -> None:
    values, has_soft_edges = read_marked(_file(image))
    assert (values.tolist(), has_soft_edges) == ([[0, 1]], False)


def _drawn(side: int = 96) -> Image.Image:
    """Draw a disc and a bent line of white."""
    image = Image.new("L", (side, side))
    draw = ImageDraw.Draw(image)
    draw.ellipse((side // 6, side // 5, side // 2, side // 2), fill=255)
    draw.line((side // 2, side // 8, side - side // 7, side // 2, side // 2, side - 3), fill=255, width=side // 24)
    return image


def _as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    return Image.open(io.BytesIO(_file(image, "JPEG", quality=quality))).convert("L")


SOFT = {
    "smoothed": _drawn(384).resize((96, 96), Image.Resampling.BOX),
    "made smaller": _drawn(384).resize((96, 96), Image.Resampling.LANCZOS),
    "made larger": _drawn().resize((250, 250), Image.Resampling.BILINEAR),
    "turned": _drawn().rotate(17, Image.Resampling.BICUBIC),
    "blurred": _drawn().filter(ImageFilter.GaussianBlur(1)),
    "much blurred": _drawn().filter(ImageFilter.GaussianBlur(2)),
    "once a JPEG": _as_jpeg(_drawn(), 90),
    "once a bad JPEG": _as_jpeg(_drawn(), 30),
}


@pytest.mark.parametrize("name", SOFT)
def test_a_mask_whose_edges_fade_is_marked_above_the_middle(name: str) -> None:
    grey = np.asarray(SOFT[name])
    assert ((grey > 0) & (grey <= 127)).any()
    wide = grey.astype(np.uint16) * 257
    for image in (SOFT[name], SOFT[name].convert("RGB"), SOFT[name].convert("LA"), Image.fromarray(wide)):
        values, has_soft_edges = read_marked(_file(image))
        assert has_soft_edges
        np.testing.assert_array_equal(values, grey > 127)


def _numbered() -> dict[str, np.ndarray]:
    """Return index masks, with 0 and 255 among their values, that hold numbers above the middle, too, or at edges."""
    inside = np.asarray(_drawn()) > 0
    rim = binary_dilation(inside, iterations=2) & ~inside
    spots, _ = label(np.random.default_rng(0).random((96, 96)) > 0.93)
    strokes = Image.new("L", (96, 96))
    for place, value in enumerate((1, 40, 80, 130, 170, 210, 255)):
        ImageDraw.Draw(strokes).line((5, 12 * place, 90, 12 * place + 15), fill=value, width=1 + place % 3)
    bordered = np.where(inside, 1, np.where(rim, 255, 0)).astype(np.uint8)
    steps = np.asarray(_drawn().filter(ImageFilter.GaussianBlur(9)))
    return {
        "a region and its ignored border": bordered,
        "a smoothed one": np.asarray(Image.fromarray(bordered).resize((250, 250), Image.Resampling.BILINEAR)),
        "a thin region within white": np.where(rim, 1, np.where(inside, 255, 0)).astype(np.uint8),
        "a border between black and white": np.where(rim, 127, np.where(inside, 255, 0)).astype(np.uint8),
        "two borders": np.where(rim, 60, np.where(inside, 255, 0)).astype(np.uint8)
        + np.uint8(120) * np.roll(rim, 1, 0),
        "numbered spots": np.where(spots > 0, 1 + spots % 255, 0).astype(np.uint8),
        "numbered lines": np.asarray(strokes),
        "levels": (steps // 26 * 28).astype(np.uint8),
        "noise": np.random.default_rng(0).integers(0, 256, (96, 96), dtype=np.uint8),
        "a photograph": np.asarray(Image.fromarray(texture(3)).convert("L")),
    }


@pytest.mark.parametrize("name", _numbered())
def test_numbers_are_never_taken_for_edges(name: str) -> None:
    with pytest.raises(
        MaskError, match="where a binary mask holds 0 and one value above 127, and these are not plainly"
    ):
        read_marked(_file(Image.fromarray(_numbered()[name])))


def test_a_palette_of_colours_has_numbers_and_no_edges() -> None:
    image = Image.fromarray(np.asarray(SOFT["smoothed"]), "P")
    image.putpalette([part for value in range(256) for part in (value, 0, 0)])
    with pytest.raises(MaskError, match="where a binary mask"):
        read_marked(_file(image))


def test_a_class_map_of_one_region_by_its_white_lets_edges_fade(tmp_path: Path) -> None:
    path, soft = tmp_path / "classes.csv", SOFT["smoothed"]
    path.write_text("value,name\n255,crack\n")
    values, has_soft_edges = read_class_map(path).read(_file(soft))
    assert has_soft_edges
    np.testing.assert_array_equal(values, np.asarray(soft) > 127)
    assert not read_class_map(path).read(_file(_drawn())).has_soft_edges
    for text in ("255,ignored\n1,crack\n", "255,crack\n128,hole\n", "254,crack\n", "255,crack\n0,ignored\n"):
        path.write_text(f"value,name\n{text}")
        with pytest.raises(MaskError, match=r"which classes\.csv does not name"):
            read_class_map(path).read(_file(soft))


@pytest.mark.parametrize("channel", range(3))
def test_photographers_masks_are_marked_above_the_middle_of_any_channel(channel: int) -> None:
    pixels = np.zeros((1, 3, 3), np.uint8)
    pixels[0, :, channel] = 0, 127, 128
    assert read_above_middle(_file(Image.fromarray(pixels))).values.tolist() == [[0, 0, 1]]


def test_files_that_are_no_masks_are_refused() -> None:
    with pytest.raises(ImageError, match="the file is empty"):
        read_numbers(b"")
    with pytest.raises(ImageError, match="GIF is not accepted"):
        read_numbers(_file(_palette(NUMBERS), "GIF"))
    with pytest.raises(ImageError, match="truncated or corrupt"):
        read_marked(_file(Image.fromarray(texture(1)))[:-500])
    pages = [Image.fromarray(NUMBERS), Image.fromarray(NUMBERS)]
    with pytest.raises(MaskError, match="it holds 2 pictures"):
        read_numbers(_file(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    with pytest.raises(MaskError, match="it is of the mode F"):
        read_numbers(_file(Image.fromarray(NUMBERS.astype(np.float32)), "TIFF"))
    with pytest.raises(MaskError, match=r"it holds colours, which classes\.csv must name"):
        read_numbers(_file(_palette(NUMBERS).convert("RGB")))


@pytest.mark.parametrize(
    ("text", "names", "numbers"),
    [
        ("value,name\n1,a\n2,b\n", ("a", "b"), {0: 0, 1: 1, 2: 2}),
        ("Value;Name\r\n2;b\r\n1;a\r\n255;ignored\r\n", ("a", "b"), {0: 0, 1: 1, 2: 2, 255: 255}),
        ("value,name\n0,a\n1,background\n", ("a",), {0: 1, 1: 0}),
        ("value,name\n1,a\n2,a\n", ("a",), {0: 0, 1: 1, 2: 1}),
        ("value,name\n#FF0000,a\n#00ff00,ignored\n", ("a",), {0: 0, 0xFF0000: 1, 0xFF00: 255}),
    ],
)
def test_a_class_map_names_values(tmp_path: Path, text: str, names: tuple[str, ...], numbers: dict[int, int]) -> None:
    (tmp_path / "classes.csv").write_text(text)
    found = read_class_map(tmp_path / "classes.csv")
    assert (found.names, dict(found.numbers)) == (names, numbers)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty. Its first line must be value,name"),
        ("1,a\n", r"line 1 is '1,a'. Its first line is value,name"),
        ("value,name\n1,a\n1,b\n", "lines 2 and 3 both name 1"),
        ("value,name\n1,\n", "line 2 has not one value and one name"),
        ("value,name\n1,a\n-1,b\n", "line 3: '-1' is no value"),
        ("value,name\n70000,b\n", "line 2: '70000' is no value"),
        ("value,name\n#ff00,b\n", "line 2: '#ff00' is no value"),
        ("value,name\n1,a\n#ff0000,b\n", "lines 2 and 3 name a value and a colour"),
        ("value,name\n255,ignored\n", "names no region"),
        ("value,name\n1,Crack\n2,crack\n", "differ in case alone: Crack, crack"),
        ("value,name\n1,crack\n2,Ignored\n", "differ in case alone: Ignored"),
        ("value,name\n" + "".join(f"{i},r{i}\n" for i in range(1, 256)), "names 255 regions; at most 254"),
    ],
)
def test_a_class_map_that_says_no_such_thing_is_refused_with_its_line(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "classes.csv").write_text(text)
    with pytest.raises(ManifestError, match=reason):
        read_class_map(tmp_path / "classes.csv")
