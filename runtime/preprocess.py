"""Pixels to the size a model takes: the only place where an image is resized for a model."""

import numpy as np
from PIL import Image

from runtime.contract import ModelContract
from runtime.image import MAX_PIXELS, ImageArray, Size, open_image

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# Letterbox bars are mid-grey: near the mean that the graph subtracts, so they carry little signal.
_BAR = (128, 128, 128)
# Times the model's input that is left to the filters above after decoding at reduced scale; measured in
# docs/DECODING.md.
OVERSAMPLING = 2


def preprocess(image_hwc: ImageArray, contract: ModelContract) -> ImageArray:
    """Bring one RGB image to the size the model takes; the ONNX graph normalises.

    image_hwc: `(height, width, 3)` uint8. Returns `(contract.height, contract.width, 3)` uint8.
    `stretch` ignores the aspect ratio, `letterbox` keeps it and pads with grey, `crop` keeps it and cuts the centre.
    Pillow's filters widen when shrinking (antialiasing), so small defects fade evenly and do not vanish by chance.
    """
    if image_hwc.ndim != 3 or image_hwc.shape[2] != 3 or image_hwc.dtype != np.uint8:
        raise ValueError(f"expected (height, width, 3) uint8, got {image_hwc.shape} {image_hwc.dtype}")
    if image_hwc.shape[:2] == (contract.height, contract.width):
        return image_hwc
    return _resize(Image.fromarray(image_hwc), contract)


def read_for_model(data: bytes, contract: ModelContract, max_pixels: int = MAX_PIXELS) -> ImageArray:
    """Decode one encoded image and bring it to the size the model takes: `decode_image`, then `preprocess`.

    Returns `(contract.height, contract.width, 3)` uint8. JPEGs much larger than that are decoded at reduced scale,
    never below `sufficient_size`; `docs/DECODING.md` says how far the result may be from that of every pixel.
    Raises ImageError as `decode_image` does.
    """
    image = open_image(data, max_pixels, sufficient_size(contract))
    return np.asarray(image) if image.size == (contract.width, contract.height) else _resize(image, contract)


def sufficient_size(contract: ModelContract) -> Size:
    """Return (height, width) that an image must keep when it is decoded at reduced scale for this model."""
    return OVERSAMPLING * contract.height, OVERSAMPLING * contract.width


def _resize(image: Image.Image, contract: ModelContract) -> ImageArray:
    size = (contract.width, contract.height)
    resample = _FILTERS[contract.interpolation]
    if contract.resize == "stretch":
        return np.asarray(image.resize(size, resample))
    if contract.resize == "letterbox":
        return _letterbox(image, size, resample)
    return np.asarray(image.resize(size, resample, box=_centre_box(*image.size, size)))


def _letterbox(image: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> ImageArray:
    scale = min(size[0] / image.width, size[1] / image.height)
    inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    canvas = Image.new("RGB", size, _BAR)
    canvas.paste(image.resize(inner, resample), ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return np.asarray(canvas)


def _centre_box(width: int, height: int, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the largest centred box of the target's aspect ratio: left, top, right, bottom."""
    # The full side is taken as it is: multiplied back from a ratio it can come out a hair too long for Pillow.
    if width * size[1] <= height * size[0]:
        crop_h = width * size[1] / size[0]
        return 0.0, (height - crop_h) / 2, float(width), (height + crop_h) / 2
    crop_w = height * size[0] / size[1]
    return (width - crop_w) / 2, 0.0, (width + crop_w) / 2, float(height)
