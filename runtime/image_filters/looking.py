"""Filters that look at pixels: what each may say of an image, and the contract's ones made ready. docs/FILTERS.md."""

import inspect
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Self, TypeVar

import numpy as np
from PIL import Image

from runtime.answers.classification import Prediction
from runtime.answers.filters import FilterError, checked_answer, import_function, with_its_own_list
from runtime.model.contract import ModelContract, SegmentationContract
from runtime.model.image import ImageArray, decode_with_size
from runtime.model.stated_filters import ImageFilter

P = TypeVar("P", bound=Prediction)
Area = tuple[float, float, float, float]
"""Left, top, right and bottom; as shares of an image's width and height where nothing else is said."""


@dataclass(frozen=True)
class Seen(Generic[P]):
    """What a filter says of an image.

    answer: as it is to be, the given one or a changed one. withheld: why nothing is answered, for the client; empty
    where the answer is given. blurred: what is blurred if the answer is drawn on the image, in pixels of the array that
    the filter was given.
    """

    answer: P
    withheld: str = ""
    blurred: Sequence[Area] = ()


Look = Callable[[ImageArray, Prediction], Seen[Prediction]]
"""Looks at an upright image, `(height, width, 3)` uint8 RGB, whose answer is given; from any thread."""


@dataclass
class ImageFile:
    """An encoded image, decoded at most once for each size at which filters look at it; from any thread."""

    data: bytes
    max_pixels: int | None = None
    max_value: int | None = None
    _decoded: dict[int, ImageArray] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def pixels(self, side_px: int) -> ImageArray:
        """Return the upright image in RGB, its longer side `side_px` at most; it is never enlarged.

        The array is read-only, as several filters share it.

        Raises ImageError as `decode_image` does.
        """
        with self._lock:
            if side_px not in self._decoded:
                self._decoded[side_px] = self._decode(side_px)
            return self._decoded[side_px]

    def _decode(self, side_px: int) -> ImageArray:
        pixels, (height, width) = decode_with_size(self.data, (side_px, side_px), self.max_value, self.max_pixels)
        scale = side_px / max(height, width)
        if scale >= 1:
            return pixels
        size = max(1, round(width * scale)), max(1, round(height * scale))
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))


@dataclass(frozen=True)
class ImageStep:
    """One filter of a contract, ready to look."""

    stated: ImageFilter
    look: Look
    contract: ModelContract

    def look_at(self, file: ImageFile, answer: P) -> Seen[P]:
        """Return what the filter says, with areas as shares of the image. Raises whatever the filter does."""
        pixels = file.pixels(self.stated.side_px)
        seen = self.look(pixels, with_its_own_list(answer))
        if not isinstance(seen, Seen):
            raise TypeError(f"{self.stated.path} must return a Seen, got {type(seen).__name__}")
        height, width = pixels.shape[:2]
        areas = [self._share(area, width, height) for area in seen.blurred]
        return Seen(checked_answer(seen.answer, answer, self.contract, self.stated.path), seen.withheld, areas)

    def _share(self, area: Area, width: int, height: int) -> Area:
        """Return an area in pixels as shares of the image. Raises ValueError for what would blur nothing."""
        left, top, right, bottom = area
        if not all(map(math.isfinite, area)) or left > right or top > bottom:
            raise ValueError(f"{self.stated.path} must name left, top, right and bottom of what is blurred, got {area}")
        return left / width, top / height, right / width, bottom / height


@dataclass(frozen=True)
class ImageFilters:
    """The filters of a contract that look at pixels, in its order."""

    steps: tuple[ImageStep, ...] = ()

    @classmethod
    def load(cls, contract: ModelContract) -> Self:
        """Make them ready. Raises FilterError if one cannot be made with its options, or would never look."""
        stated = [filter_ for filter_ in contract.filters if isinstance(filter_, ImageFilter)]
        for filter_ in stated:
            if filter_.when == "overlay" and not isinstance(contract, SegmentationContract):
                raise FilterError(
                    f"the filter {filter_.path} would never look: only a segmenter draws, and `when: overlay`"
                )
        return cls(tuple(ImageStep(filter_, _make(filter_), contract) for filter_ in stated))

    def at(self, is_drawn: bool) -> tuple[ImageStep, ...]:
        """Return those that look at an image. is_drawn: whether the answer is drawn on it."""
        return tuple(step for step in self.steps if is_drawn or step.stated.when == "always")


def _make(stated: ImageFilter) -> Look:
    function = import_function(stated.path)
    try:
        inspect.signature(function).bind(**stated.options)
    except (TypeError, ValueError) as exc:
        wanted = ", ".join(f"{name}=" for name in stated.options)
        raise FilterError(f"the filter {stated.path} cannot be made with ({wanted}): {exc}") from exc
    try:
        look = function(**stated.options)
    except Exception as exc:  # whatever the user's function does
        raise FilterError(f"the filter {stated.path} cannot be made: {exc}") from exc
    if not callable(look):
        raise FilterError(f"the filter {stated.path} must return a function that looks, got {type(look).__name__}")
    checked: Look = look
    return checked
