"""What drawn tiles are made of: smooth noise, outlines, strokes and their coverage of pixels.

Images are `(height, width)` float32; points are `(N, 2)` float64 in pixels, x first. All randomness comes from the
generator handed in, so equal generators give equal pixels.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

FloatImage = NDArray[np.float32]
Points = NDArray[np.float64]

_SUPERSAMPLING = 4  # sub-pixels a side; a 1 px crack then has 16 grey levels and no stair steps


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cell_px: tuple[float, float]) -> FloatImage:
    """Return noise of mean 0 and deviation 1 whose features are about `cell_px` (vertical, horizontal) in size."""
    rows, columns = (round(size / cell) + 3 for size, cell in zip(shape, cell_px, strict=True))
    coarse = Image.fromarray(rng.standard_normal((rows, columns)).astype(np.float32))
    fine = np.asarray(coarse.resize((shape[1], shape[0]), Image.Resampling.BICUBIC))
    scaled: FloatImage = (fine - fine.mean()) / (fine.std() + np.float32(1e-6))
    return scaled


def rough_outline(
    rng: np.random.Generator, centre: tuple[float, float], radii: tuple[float, float], roughness: float
) -> Points:
    """Return a closed outline around `centre`: an ellipse turned at random whose radius wanders by `roughness`."""
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    wander = np.ones_like(angles)
    for wave in range(1, 9):  # falling amplitudes: a few bays, finer teeth
        wander += roughness * rng.normal(0, 0.7 / wave) * np.cos(wave * angles + rng.uniform(0, 2 * np.pi))
    radius = np.clip(wander, 0.35, 1.9)
    along, across = radii[0] * radius * np.cos(angles), radii[1] * radius * np.sin(angles)
    turn = rng.uniform(0, np.pi)
    x = centre[0] + along * np.cos(turn) - across * np.sin(turn)
    y = centre[1] + along * np.sin(turn) + across * np.cos(turn)
    return np.stack([x, y], axis=1)


def wander(
    rng: np.random.Generator, start: tuple[float, float], heading_rad: float, length_px: float, wiggle_rad: float
) -> Points:
    """Return a path of 3 px steps from `start` that keeps turning by about `wiggle_rad` a step around its heading."""
    num_steps = max(2, round(length_px / 3))
    drift = np.zeros(num_steps)
    for step in range(1, num_steps):
        drift[step] = 0.85 * drift[step - 1] + rng.normal(0, wiggle_rad)
    headings = heading_rad + drift
    steps = 3 * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    return np.concatenate([[start], np.asarray(start) + np.cumsum(steps, axis=0)])


def fill(shape: tuple[int, int], outline: Points) -> FloatImage:
    """Return the share of every pixel, in [0, 1], that lies inside the closed outline."""
    return _coverage(shape, outline, pad_px=1, widths_px=None)


def stroke(shape: tuple[int, int], path: Points, widths_px: float | NDArray[np.float64]) -> FloatImage:
    """Return the share of every pixel, in [0, 1], that a pen along `path` covers; one width, or one a segment."""
    widths = np.broadcast_to(np.asarray(widths_px, dtype=np.float64), (len(path) - 1,))
    return _coverage(shape, path, pad_px=1 + float(widths.max()), widths_px=widths)


def soften(coverage: FloatImage, radius_px: float) -> FloatImage:
    """Return the coverage blurred by a Gaussian, in 256 steps."""
    image = Image.fromarray(np.rint(coverage * 255).astype(np.uint8))
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(radius_px)))
    return blurred.astype(np.float32) / np.float32(255)


def _coverage(
    shape: tuple[int, int], points: Points, pad_px: float, widths_px: NDArray[np.float64] | None
) -> FloatImage:
    """Draw at `_SUPERSAMPLING` times the size, only in the box that the points span, and shrink."""
    coverage = np.zeros(shape, dtype=np.float32)
    left, top = np.maximum(np.floor(points.min(axis=0) - pad_px).astype(int), 0)
    right, bottom = np.minimum(np.ceil(points.max(axis=0) + pad_px).astype(int) + 1, (shape[1], shape[0]))
    if left >= right or top >= bottom:
        return coverage
    large = Image.new("L", ((right - left) * _SUPERSAMPLING, (bottom - top) * _SUPERSAMPLING))
    pen = ImageDraw.Draw(large)
    at = [(float(x), float(y)) for x, y in (points - (left, top)) * _SUPERSAMPLING]
    if widths_px is None:
        pen.polygon(at, fill=255)
    else:
        for begin, end, width in zip(at[:-1], at[1:], widths_px, strict=True):
            pen.line([begin, end], fill=255, width=max(1, round(float(width) * _SUPERSAMPLING)))
    small = large.resize((right - left, bottom - top), Image.Resampling.BOX)
    coverage[top:bottom, left:right] = np.asarray(small).astype(np.float32) / np.float32(255)
    return coverage
