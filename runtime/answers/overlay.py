"""A picture to look at: the upright picture with its regions outlined and named."""

import io
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from runtime.answers.index_mask import colour_of, decode_runs
from runtime.answers.segmentation import Region, Segmentation
from runtime.model.image import decode_with_size

MAX_SIDE_PX = 1600
_MIN_SIDE_PX = 800  # smaller pictures are enlarged, or a name would cover them
_MOST_NAMES = 50  # of the largest regions; more would hide the picture
_DARK, _LIGHT = (16, 16, 16), (255, 255, 255)
_FONT_SHARE = 1 / 56  # of the longer side
_MIN_FONT_PX = 15
_BLURRED_CELLS = 6  # along the longer side of what is blurred
_Rectangle = tuple[int, int, int, int]
Font = ImageFont.FreeTypeFont


def overlay(
    data: bytes,
    answer: Segmentation,
    kind: Literal["JPEG", "PNG"] = "JPEG",
    max_pixels: int | None = None,
    max_value: int | None = None,
    blurred: Sequence[tuple[float, float, float, float]] = (),
) -> bytes:
    """Draw the answer's outlines and names over its picture, upright, the longer side at most `MAX_SIDE_PX` pixels.

    data: the encoded picture that was asked about. max_pixels, max_value: as it was read then. blurred: rectangles that
    show nothing any more, left, top, right and bottom as shares of width and height. Outlines have a dark
    rim and names a dark ground, so that they show on any picture. A name that the built-in font lacks characters for is
    written as its number. Raises ImageError as `decode_image` does, ValueError if the picture is of another size than
    the answer's.
    """
    scale = _scale(answer.width, answer.height)
    size = max(1, round(answer.width * scale)), max(1, round(answer.height * scale))
    pixels, upright_size = decode_with_size(data, (size[1], size[0]), max_value, max_pixels)
    if upright_size != (answer.height, answer.width):
        stated, actual = f"{answer.width} x {answer.height}", f"{upright_size[1]} x {upright_size[0]}"
        raise ValueError(f"the answer is of a picture of {stated} pixels, this one has {actual}: give the same picture")
    resample = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR
    image = Image.fromarray(pixels).resize(size, resample)
    for area in blurred:
        _blur(image, area)
    for region in answer.regions:  # the largest first, so that none hides a smaller one
        _outline(image, region)
    _write_names(image, answer.regions[:_MOST_NAMES])
    file = io.BytesIO()
    image.save(file, kind, **({"quality": 92, "subsampling": 0} if kind == "JPEG" else {"compress_level": 3}))
    return file.getvalue()


def _scale(width: int, height: int) -> float:
    longer = max(width, height)
    return MAX_SIDE_PX / longer if longer > MAX_SIDE_PX else max(1, math.ceil(_MIN_SIDE_PX / longer))


def _blur(image: Image.Image, area: tuple[float, float, float, float]) -> None:
    """Leave nothing of an area but a few shades: of what is averaged away nothing can be brought back."""
    sides = [share * side for share, side in zip(area, image.size * 2, strict=True)]
    left, top = max(0, math.floor(sides[0])), max(0, math.floor(sides[1]))
    right, bottom = min(image.width, math.ceil(sides[2])), min(image.height, math.ceil(sides[3]))
    if left >= right or top >= bottom:
        return
    cell = max(right - left, bottom - top) / _BLURRED_CELLS
    few = max(1, round((right - left) / cell)), max(1, round((bottom - top) / cell))
    part = image.crop((left, top, right, bottom))
    shades = part.resize(few, Image.Resampling.BOX).resize(part.size, Image.Resampling.BILINEAR)
    image.paste(shades, (left, top))


def _outline(image: Image.Image, region: Region) -> None:
    """Draw a region's edge, 3 pixels wide between dark rims of 1."""
    height, width = region.mask.size
    reach = 3
    left = math.floor(region.box.left * image.width / width) - reach
    top = math.floor(region.box.top * image.height / height) - reach
    right = math.ceil(region.box.right * image.width / width) + reach
    bottom = math.ceil(region.box.bottom * image.height / height) + reach
    inside = _inside(region, (left, top, right, bottom), image.size)
    edge = Image.fromarray((inside & ~_eroded(inside)).astype(np.uint8) * 255)
    image.paste(_DARK, (left, top), edge.filter(ImageFilter.MaxFilter(5)))
    image.paste(colour_of(region.class_id), (left, top), edge.filter(ImageFilter.MaxFilter(3)))


def _inside(region: Region, window: _Rectangle, size: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which pixels of the drawing have their centres in the region; the middle one where none has."""
    height, width = region.mask.size
    left, top, right, bottom = window
    # Truncated below zero and beyond the picture to places outside of it.
    x = np.floor((np.arange(left, right) + 0.5) * width / size[0]).astype(np.int64)
    y = np.floor((np.arange(top, bottom) + 0.5) * height / size[1]).astype(np.int64)
    starts, ends = decode_runs(region.mask)
    places = x[None, :] * height + y[:, None]
    run = np.searchsorted(starts, places, side="right") - 1
    is_in_picture = ((x >= 0) & (x < width))[None, :] & ((y >= 0) & (y < height))[:, None]
    inside = is_in_picture & (run >= 0) & (places < ends[run])
    if not inside.any():
        inside[len(y) // 2, len(x) // 2] = True
    return inside


def _eroded(inside: np.ndarray[Any, np.dtype[np.bool_]]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    padded = np.pad(inside, 1)
    eroded: np.ndarray[Any, np.dtype[np.bool_]] = (
        padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    )
    return eroded


def _write_names(image: Image.Image, regions: Sequence[Region]) -> None:
    """Write names beside regions, each where it hides no other; one that finds no place is left out."""
    font = _font(max(_MIN_FONT_PX, round(max(image.size) * _FONT_SHARE)))
    draw, taken = ImageDraw.Draw(image), list[_Rectangle]()
    for region in regions:
        text = f"{_shown(region, font)} {region.score:.0%}"
        pad, size = round(font.size / 4), round(font.size)
        plate = (round(font.getlength(text)) + size + 3 * pad, size + 2 * pad)
        free = [place for place in _places(region, image.size, plate) if not any(_meet(place, at) for at in taken)]
        if not free:
            continue
        left, top, right, bottom = free[0]
        draw.rectangle((left, top, right - 1, bottom - 1), _DARK)
        swatch = (left + pad, top + pad, left + pad + size - 1, bottom - pad - 1)
        draw.rectangle(swatch, colour_of(region.class_id))
        draw.text((left + size + 2 * pad, (top + bottom) / 2), text, _LIGHT, font, anchor="lm")
        taken.append(free[0])


def _places(region: Region, size: tuple[int, int], plate: tuple[int, int]) -> list[_Rectangle]:
    """Return where a name could stand within the picture: above its region, below it, beside it, in it."""
    height, width = region.mask.size
    left, right = (x * size[0] // width for x in (region.box.left, region.box.right))
    top, bottom = (y * size[1] // height for y in (region.box.top, region.box.bottom))
    wanted = [(left, top - plate[1] - 4), (left, bottom + 4), (right + 4, top), (left - plate[0] - 4, top), (left, top)]
    places = []
    for x, y in wanted:
        x, y = max(0, min(x, size[0] - plate[0])), max(0, min(y, size[1] - plate[1]))
        places.append((x, y, x + plate[0], y + plate[1]))
    own = (left, top, right, bottom)
    return sorted(places, key=lambda place: _meet(place, own))  # rather not on the region


def _meet(one: _Rectangle, other: _Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _shown(region: Region, font: Font) -> str:
    missing = bytes(font.getmask("\U0010ffff"))
    has_all = all(bytes(font.getmask(character)) != missing for character in region.label)
    return region.label if has_all else f"region {region.class_id}"


@lru_cache(maxsize=4)
def _font(size_px: int) -> Font:
    font = ImageFont.load_default(size_px)  # comes with Pillow: containers have no others
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
