"""Pictures read from their files, for a model, a measurement or a page: in one place and with one message."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from evaluation.document import EvaluationError
from runtime.model.contract import ModelContract
from runtime.model.crops import OpenPicture, open_picture
from runtime.model.errors import ImageError
from runtime.model.image import ImageArray, decode_image, open_image
from runtime.model.preprocess import read_for_model

READERS = 4  # threads that decode at once

Decoded = TypeVar("Decoded")


def read_picture(path: Path, at_least: tuple[int, int], max_value: int | None) -> ImageArray:
    """Return `(height, width, 3)` uint8, decoded at no less than `at_least` (height, width) if the file is larger.

    max_value: white in deep pictures, of the contract or of the data set's description. Raises EvaluationError.
    """
    return _decoded(path, lambda data: decode_image(data, at_least=at_least, max_value=max_value))


def read_thumbnail(path: Path, side_px: int, max_value: int | None) -> Image.Image:
    """Return a picture whose longer side is at most `side_px`; max_value as above. Raises EvaluationError."""
    image = _decoded(path, lambda data: open_image(data, at_least=(side_px, side_px), max_value=max_value))
    image.thumbnail((side_px, side_px))
    return image


def read_opened(path: Path, contract: ModelContract) -> OpenPicture:
    """Return a picture, decoded whole as the service decodes one that crops are cut from.

    contract: the detector's, which looks at it first. Raises EvaluationError.
    """
    return _decoded(path, lambda data: open_picture(data, contract, is_cut=True))


def read_batch(files: Sequence[Path], contract: ModelContract) -> ImageArray:
    """Return `(N, height, width, 3)` uint8, what the model is asked with; files are read by several threads.

    Raises EvaluationError naming a file that cannot be read.
    """
    with ThreadPoolExecutor(READERS) as pool:
        return np.stack(list(pool.map(lambda path: _decoded(path, lambda data: read_for_model(data, contract)), files)))


def _decoded(path: Path, decode: Callable[[bytes], Decoded]) -> Decoded:
    try:
        return decode(path.read_bytes())
    except OSError as exc:
        raise EvaluationError(f"cannot read the picture {path}: {exc.strerror}; run `make data`") from exc
    except ImageError as exc:
        raise EvaluationError(f"cannot read the picture {path}: {exc}") from exc
