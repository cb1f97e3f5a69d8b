"""How alike two pictures are wherever the object lies in them, for finding repeated shots of one object.

Thumbnails (`near_duplicates`) compare whole pictures; when each shot was cut out by hand, the object lies elsewhere in
every cut-out and they miss most pairs. Here the pictures are laid over each other at the shift that fits best. That
costs a Fourier transform a pair (0.5 ms), so it is for chosen pairs and not for all of a large set.
"""

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fft
from scipy.ndimage import uniform_filter

from runtime.model.image import ImageArray

# All lengths are pixels of the half-size picture.
_CANVAS = (288, 400)  # height and width; products of small primes, as the transform likes them
_MAX_SHIFT = 70  # beyond it cut-outs overlap too little to tell
_LOCAL_MEAN, _LOCAL_CONTRAST = 9, 15  # sides of the squares they are taken over
_NOISE_LEVEL = 2.0  # grey levels; keeps flat areas, which hold only JPEG noise, from being blown up
_CLIP = 3.0  # local standard deviations; one bright edge must not outweigh a whole texture

Spectrum = NDArray[np.complex64]


def half_size(image_hwc: ImageArray) -> NDArray[np.uint8]:
    """Reduce `(height, width, 3)` uint8 to grey at half the size, cut to at most `(218, 330)` uint8."""
    grey = Image.fromarray(image_hwc).convert("L")
    size = (max(1, grey.width // 2), max(1, grey.height // 2))
    small = np.asarray(grey.resize(size, Image.Resampling.BOX))
    # Room for the largest shift, or opposite edges would be compared with each other.
    return small[: _CANVAS[0] - _MAX_SHIFT, : _CANVAS[1] - _MAX_SHIFT].copy()


def spectrum(half_hw: NDArray[np.uint8]) -> Spectrum:
    """Transform a picture of `half_size` for `registered_correlation`: local contrast evened out, unit norm."""
    values = half_hw.astype(np.float32)
    detail = values - uniform_filter(values, _LOCAL_MEAN, mode="reflect")
    contrast = np.sqrt(uniform_filter(detail * detail, _LOCAL_CONTRAST, mode="reflect")) + _NOISE_LEVEL
    detail = np.clip(detail / contrast, -_CLIP, _CLIP)
    detail -= detail.mean()
    norm = float(np.linalg.norm(detail))
    return np.asarray(fft.rfft2(detail / norm if norm > 0 else detail, _CANVAS), dtype=np.complex64)


def registered_correlation(left: Spectrum, right: Spectrum) -> float:
    """Return the highest correlation over shifts of up to 140 pixels of the full-size pictures, about [0, 1].

    left, right: of `spectrum`. Two pictures of different objects reach about 0.06, seldom 0.3.
    """
    surface = fft.irfft2(left * np.conj(right), _CANVAS)
    rows = np.concatenate([surface[:_MAX_SHIFT], surface[-_MAX_SHIFT:]])
    return float(max(rows[:, :_MAX_SHIFT].max(), rows[:, -_MAX_SHIFT:].max()))


def pairs_of_neighbours(spectra: Iterable[Spectrum], window: int, threshold: float) -> Iterator[tuple[int, int]]:
    """Yield index pairs (left < right, at most `window` apart) whose registered correlation is above `threshold`."""
    recent: deque[tuple[int, Spectrum]] = deque(maxlen=window)
    for right, current in enumerate(spectra):
        for left, earlier in recent:
            if registered_correlation(earlier, current) > threshold:
                yield left, right
        recent.append((right, current))
