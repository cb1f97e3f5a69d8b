"""A picture on its way through the pipeline: decoded once, and kept until its crops are cut, if there is room."""

import hashlib
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from runtime.model.contract import ModelContract
from runtime.model.crops import OpenPicture, open_picture
from runtime.model.image import ImageArray
from runtime.model.preprocess import Placement
from runtime.model.tiles import PixelBox
from runtime.serving.intake.images import image_bytes, refusing_image


class PictureRoom:
    """How much memory decoded pictures may take together; may be asked from any thread."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._taken = 0
        self._lock = threading.Lock()

    @property
    def taken_bytes(self) -> int:
        return self._taken

    def take(self, num_bytes: int) -> bool:
        """Take room for a picture, if there is any; say whether there was."""
        with self._lock:
            if self._taken + num_bytes > self._max_bytes:
                return False
            self._taken += num_bytes
            return True

    def give_back(self, num_bytes: int) -> None:
        with self._lock:
            self._taken -= num_bytes


@dataclass(frozen=True)
class Reading:
    """How the pictures of a pipeline are read.

    contracts: of the models that look at the whole picture, the detector's first. is_cut: whether crops are cut out.
    keeps_files: whether filters look at pictures later on.
    """

    contracts: tuple[ModelContract, ...]
    is_cut: bool
    max_pixels: int | None
    room: PictureRoom
    keeps_files: bool = False


@dataclass(eq=False)
class SentPicture:
    """One picture of a request, as `read` makes it.

    image_id: SHA-256 of the file. inputs: of each of the reading's models, `(height, width, 3)` uint8 and where the
    picture lies in it. decode_s: what reading took.
    """

    image_id: str
    inputs: list[tuple[ImageArray, Placement]]
    decode_s: float
    reading: Reading
    _data: bytes = b""
    _opened: OpenPicture | None = field(default=None, repr=False)

    @classmethod
    def read(cls, encoded: bytes | str, index: int, reading: Reading) -> Self:
        """Decode one image of a request and bring it to the models' inputs; in a thread, it takes milliseconds.

        index: its place in the request. Raises RequestRefused naming it.
        """
        began_at = time.perf_counter()
        data = image_bytes(encoded, index)
        with refusing_image(index):
            opened = open_picture(data, *reading.contracts, max_pixels=reading.max_pixels, is_cut=reading.is_cut)
            inputs = [opened.whole(contract) for contract in reading.contracts]
        digest = hashlib.sha256(data).hexdigest()
        picture = cls(digest, inputs, time.perf_counter() - began_at, reading)
        if reading.is_cut and reading.room.take(opened.num_bytes):
            picture._opened = opened
            # Also where the request is over before anyone holds the picture.
            picture._give_back = weakref.finalize(picture, reading.room.give_back, opened.num_bytes)
        if reading.keeps_files or (reading.is_cut and picture._opened is None):
            picture._data = data
        return picture

    @property
    def file(self) -> bytes:
        """The encoded picture; empty unless the reading keeps files, and once it is closed."""
        return self._data

    def __post_init__(self) -> None:
        self._give_back: weakref.finalize[..., SentPicture] | None = None

    def crops(self, boxes: Sequence[PixelBox], contract: ModelContract) -> ImageArray:
        """Cut parts out at a model's input: `(len(boxes), height, width, 3)` uint8; in a thread.

        Raises ImageError if the picture must be decoded again and cannot.
        """
        opened = self._opened or open_picture(
            self._data, *self.reading.contracts, max_pixels=self.reading.max_pixels, is_cut=True
        )
        return np.stack([opened.crop(box, contract) for box in boxes])

    def close(self) -> None:
        """Let go of what crops are cut from. Safe to call twice."""
        self._opened, self._data = None, b""
        if self._give_back:
            self._give_back()
