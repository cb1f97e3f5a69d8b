"""Pixels to the size a model takes: the only place where an image is resized for a model."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from runtime.formats.colour import to_srgb
from runtime.formats.stored import Size
from runtime.model.contract import ModelContract
from runtime.model.image import ImageArray, open_for_resizing

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# Letterbox bars are mid-grey: near the mean that the graph subtracts, so they carry little signal.
_BAR = (128, 128, 128)
# Times the model's input that is left to the filters above after decoding at reduced scale; measured in
# docs/DECODING.md.
OVERSAMPLING = 2
# The part of a picture that is looked at: left, top, right and bottom as shares of its sides.
View = tuple[float, float, float, float]
WHOLE: View = (0.0, 0.0, 1.0, 1.0)


class Placement(NamedTuple):
    """Where a picture lies in the network's input: how to bring boxes and masks back to the picture.

    taken: the part of the upright, unreduced picture that is seen, in its pixels. filled: the part of the input that it
    fills, in the input's; the rest is grey. picture: width and height of the upright, unreduced picture.
    """

    taken: Box
    filled: tuple[int, int, int, int]
    picture: tuple[int, int]


def preprocess(image_hwc: ImageArray, contract: ModelContract, view: View = WHOLE) -> ImageArray:
    """Bring one RGB image, or the part that `view` names, to the size the model takes; the ONNX graph normalises.

    image_hwc: `(height, width, 3)` uint8. Returns `(contract.height, contract.width, 3)` uint8.
    `stretch` ignores the aspect ratio, `letterbox` keeps it and pads with grey, `crop` keeps it and cuts the centre.
    Pillow's filters widen when shrinking (antialiasing), so small defects fade evenly and do not vanish by chance.
    """
    if image_hwc.ndim != 3 or image_hwc.shape[2] != 3 or image_hwc.dtype != np.uint8:
        raise ValueError(f"expected (height, width, 3) uint8, got {image_hwc.shape} {image_hwc.dtype}")
    if image_hwc.shape[:2] == (contract.height, contract.width) and view == WHOLE:
        return image_hwc
    return _resize(
        Image.fromarray(image_hwc), contract, placement(image_hwc.shape[1], image_hwc.shape[0], contract, view)
    )


def read_for_model(
    data: bytes, contract: ModelContract, max_pixels: int | None = None, view: View = WHOLE
) -> ImageArray:
    """Decode one encoded image and bring it to the size the model takes: the pixels of `read_placed`."""
    return read_placed(data, contract, max_pixels, view)[0]


def read_placed(
    data: bytes, contract: ModelContract, max_pixels: int | None = None, view: View = WHOLE
) -> tuple[ImageArray, Placement]:
    """Decode one encoded image and bring it to the size the model takes: `decode_image`, then `preprocess`.

    Returns `(contract.height, contract.width, 3)` uint8 and where the picture lies in it. JPEGs much larger than that
    are decoded at reduced scale, never below `sufficient_size`, and embedded profiles are applied to the result;
    `docs/DECODING.md` says how far it may be from that of every pixel.
    Raises ImageError as `decode_image` does.
    """
    [placed] = read_views(data, contract, lambda _: [view], max_pixels)
    return placed


def read_views(
    data: bytes,
    contract: ModelContract,
    views_of: Callable[[Size], Sequence[View]],
    max_pixels: int | None = None,
) -> list[tuple[ImageArray, Placement]]:
    """Decode one encoded image once and bring each of its parts to the size the model takes.

    views_of: the parts, made of the (height, width) of the upright picture. Returns what `read_placed` does of each, in
    order, but that a JPEG is decoded at one scale, which suffices for the smallest part. Raises ImageError as
    `decode_image` does, and what `views_of` raises.
    """

    def at_least(size: Size) -> Size:
        sizes = [sufficient_size(contract, view) for view in views_of(size)]
        return max(height for height, _ in sizes), max(width for _, width in sizes)

    image, profile, size = open_for_resizing(data, max_pixels, at_least, contract.max_value)
    return [place_picture(image, profile, size, contract, view) for view in views_of(size)]


def place_picture(
    image: Image.Image, profile: bytes, size: Size, contract: ModelContract, view: View = WHOLE
) -> tuple[ImageArray, Placement]:
    """Resize an image, or a part of it, that is decoded already: the second half of `read_placed`.

    image: upright, of mode RGB, with colours of `profile`, reduced, perhaps, from one of `size` (height, width).
    """
    place = placement(image.width, image.height, contract, view)
    if image.size == (contract.width, contract.height) and view == WHOLE:
        pixels = np.asarray(to_srgb(image, profile))
    else:
        pixels = _resize(image, contract, place, profile)
    if image.size == size[::-1]:
        return pixels, place
    across, down = size[1] / image.width, size[0] / image.height
    left, top, right, bottom = place.taken
    return pixels, Placement((left * across, top * down, right * across, bottom * down), place.filled, size[::-1])


def sufficient_size(contract: ModelContract, view: View = WHOLE) -> Size:
    """Return (height, width) that an image must keep when it is decoded at reduced scale for this model."""
    left, top, right, bottom = view
    return (
        math.ceil(OVERSAMPLING * contract.height / (bottom - top)),
        math.ceil(OVERSAMPLING * contract.width / (right - left)),
    )


def placement(width: int, height: int, contract: ModelContract, view: View = WHOLE) -> Placement:
    """Return the place of a picture of that size, in pixels, by the contract's rule."""
    size = (contract.width, contract.height)
    taken = (view[0] * width, view[1] * height, view[2] * width, view[3] * height)
    if contract.resize == "crop":
        taken = _centre_box(taken, size)
    if contract.resize != "letterbox":
        return Placement(taken, (0, 0, *size), (width, height))
    width_taken, height_taken = taken[2] - taken[0], taken[3] - taken[1]
    scale = min(size[0] / width_taken, size[1] / height_taken)
    inner = (max(1, round(width_taken * scale)), max(1, round(height_taken * scale)))
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    return Placement(taken, (left, top, left + inner[0], top + inner[1]), (width, height))


def _resize(image: Image.Image, contract: ModelContract, place: Placement, profile: bytes = b"") -> ImageArray:
    """Resize; then bring colours from `profile` to sRGB, which takes long for all pixels of a large picture."""
    left, top, right, bottom = place.filled
    resample = FILTERS[contract.interpolation]
    resized = to_srgb(image.resize((right - left, bottom - top), resample, place.taken), profile)
    if resized.size == (contract.width, contract.height):
        return np.asarray(resized)
    canvas = Image.new("RGB", (contract.width, contract.height), _BAR)
    canvas.paste(resized, (left, top))
    return np.asarray(canvas)


def _centre_box(box: Box, size: tuple[int, int]) -> Box:
    """Return the largest box of the target's aspect ratio in the centre of another."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    # The full side is taken as it is: multiplied back from a ratio it can come out a hair too long for Pillow.
    if width * size[1] <= height * size[0]:
        crop_h = width * size[1] / size[0]
        return left, top + (height - crop_h) / 2, right, min(bottom, top + (height + crop_h) / 2)
    crop_w = height * size[0] / size[1]
    return left + (width - crop_w) / 2, top, min(right, left + (width + crop_w) / 2), bottom
