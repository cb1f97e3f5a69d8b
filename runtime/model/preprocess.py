"""Pixels to the size a model takes: the only place where an image is resized for a model."""

import math

import numpy as np
from PIL import Image

from runtime.formats.colour import to_srgb
from runtime.formats.stored import Size
from runtime.model.contract import ModelContract
from runtime.model.image import ImageArray, open_for_resizing

_Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# Letterbox bars are mid-grey: near the mean that the graph subtracts, so they carry little signal.
_BAR = (128, 128, 128)
# Times the model's input that is left to the filters above after decoding at reduced scale; measured in
# docs/DECODING.md.
OVERSAMPLING = 2
# The part of a picture that is looked at: left, top, right and bottom as shares of its sides.
View = tuple[float, float, float, float]
WHOLE: View = (0.0, 0.0, 1.0, 1.0)


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
    return _resize(Image.fromarray(image_hwc), contract, view)


def read_for_model(
    data: bytes, contract: ModelContract, max_pixels: int | None = None, view: View = WHOLE
) -> ImageArray:
    """Decode one encoded image and bring it to the size the model takes: `decode_image`, then `preprocess`.

    Returns `(contract.height, contract.width, 3)` uint8. JPEGs much larger than that are decoded at reduced scale,
    never below `sufficient_size`, and embedded profiles are applied to the result; `docs/DECODING.md` says how far it
    may be from that of every pixel.
    Raises ImageError as `decode_image` does.
    """
    image, profile = open_for_resizing(data, max_pixels, sufficient_size(contract, view), contract.max_value)
    if image.size == (contract.width, contract.height) and view == WHOLE:
        return np.asarray(to_srgb(image, profile))
    return _resize(image, contract, view, profile)


def sufficient_size(contract: ModelContract, view: View = WHOLE) -> Size:
    """Return (height, width) that an image must keep when it is decoded at reduced scale for this model."""
    left, top, right, bottom = view
    return (
        math.ceil(OVERSAMPLING * contract.height / (bottom - top)),
        math.ceil(OVERSAMPLING * contract.width / (right - left)),
    )


def _resize(image: Image.Image, contract: ModelContract, view: View, profile: bytes = b"") -> ImageArray:
    """Resize; then bring colours from `profile` to sRGB, which takes long for all pixels of a large picture."""
    size = (contract.width, contract.height)
    resample = FILTERS[contract.interpolation]
    box = (view[0] * image.width, view[1] * image.height, view[2] * image.width, view[3] * image.height)
    if contract.resize == "letterbox":
        return _letterbox(image, box, size, resample, profile)
    if contract.resize == "crop":
        box = _centre_box(box, size)
    return np.asarray(to_srgb(image.resize(size, resample, box), profile))


def _letterbox(
    image: Image.Image, box: _Box, size: tuple[int, int], resample: Image.Resampling, profile: bytes
) -> ImageArray:
    width, height = box[2] - box[0], box[3] - box[1]
    scale = min(size[0] / width, size[1] / height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = Image.new("RGB", size, _BAR)
    resized = to_srgb(image.resize(inner, resample, box), profile)
    canvas.paste(resized, ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return np.asarray(canvas)


def _centre_box(box: _Box, size: tuple[int, int]) -> _Box:
    """Return the largest box of the target's aspect ratio in the centre of another."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    # The full side is taken as it is: multiplied back from a ratio it can come out a hair too long for Pillow.
    if width * size[1] <= height * size[0]:
        crop_h = width * size[1] / size[0]
        return left, top + (height - crop_h) / 2, right, min(bottom, top + (height + crop_h) / 2)
    crop_w = height * size[0] / size[1]
    return left + (width - crop_w) / 2, top, min(right, left + (width + crop_w) / 2), bottom
