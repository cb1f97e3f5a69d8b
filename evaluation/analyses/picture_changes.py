"""Graded changes of a picture, as cameras, lamps, storage and hands make them: uint8 RGB in, uint8 RGB out.

Every change keeps the picture's size, so that a mask still fits, and what is random follows from a seed.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from runtime.model.image import ImageArray

Change = Callable[[ImageArray, float, int], ImageArray]


@dataclass(frozen=True)
class GradedChange:
    """One kind of change; `apply(image_hwc, level, seed)` at `unchanged_level` would change nothing."""

    name: str
    unit: str
    unchanged_level: float
    levels: tuple[float, ...]
    apply: Change


def add_noise(image_hwc: ImageArray, level: float, seed: int) -> ImageArray:
    """Add Gaussian noise of `level` grey levels (standard deviation), the same in all channels as in grey sensors."""
    noise = np.random.default_rng(seed).normal(0, level, (*image_hwc.shape[:2], 1))
    return _as_bytes(image_hwc + noise)


def blur(image_hwc: ImageArray, level: float, _: int) -> ImageArray:
    """Blur by a Gaussian whose standard deviation is `level` per cent of the shorter side."""
    radius_px = level / 100 * min(image_hwc.shape[:2])
    return np.asarray(Image.fromarray(image_hwc).filter(ImageFilter.GaussianBlur(radius_px)))


def compress(image_hwc: ImageArray, level: float, _: int) -> ImageArray:
    """Store as JPEG of quality `level` and read back."""
    buffer = io.BytesIO()
    Image.fromarray(image_hwc).save(buffer, "JPEG", quality=int(level))
    return np.asarray(Image.open(buffer).convert("RGB"))


def brighten(image_hwc: ImageArray, level: float, _: int) -> ImageArray:
    """Add `level` grey levels."""
    return _as_bytes(image_hwc.astype(np.float64) + level)


def expose(image_hwc: ImageArray, level: float, _: int) -> ImageArray:
    """Multiply by 2 to the power of `level`, as so many stops of exposure do before a sensor saturates."""
    return _as_bytes(image_hwc.astype(np.float64) * 2.0**level)


def rotate(image_hwc: ImageArray, level: float, _: int) -> ImageArray:
    """Turn by `level` degrees; corners get the picture's mean colour."""
    mean = tuple(int(value) for value in image_hwc.mean(axis=(0, 1)))
    return np.asarray(Image.fromarray(image_hwc).rotate(level, Image.Resampling.BILINEAR, fillcolor=mean))


def rescale(image_hwc: ImageArray, level: float, _: int) -> ImageArray:
    """Shrink both sides to `level` of their length and bring them back: what a smaller sensor would have seen."""
    height, width = image_hwc.shape[:2]
    small = (max(1, round(width * level)), max(1, round(height * level)))
    shrunk = Image.fromarray(image_hwc).resize(small, Image.Resampling.BILINEAR)
    return np.asarray(shrunk.resize((width, height), Image.Resampling.BILINEAR))


def _as_bytes(values: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> ImageArray:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


CHANGES = (
    GradedChange("noise", "standard deviation, grey levels of 255", 0, (5, 10, 20, 40), add_noise),
    GradedChange("blur", "standard deviation, % of the shorter side", 0, (0.5, 1, 2, 4), blur),
    GradedChange("JPEG", "quality; 100 stands for the picture as it is", 100, (90, 50, 25, 10), compress),
    GradedChange("brightness", "added grey levels of 255", 0, (-60, -30, 30, 60), brighten),
    GradedChange("exposure", "stops", 0, (-2, -1, -0.5, 0.5, 1, 2), expose),
    GradedChange("rotation", "degrees, anticlockwise", 0, (-15, -5, 5, 15), rotate),
    GradedChange("rescaling", "share of the sides kept", 1, (0.125, 0.25, 0.5, 0.75), rescale),
)
