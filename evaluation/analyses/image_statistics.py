"""What pixels alone say of a picture: how bright, contrasty, sharp and large it is, and how much of it is defect.

Statistics are taken from a picture whose longer side is at most 512 px, so that sharpness compares between cameras.
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import laplace

from dataset.manifest import Manifest
from evaluation.document import EvaluationError
from runtime.model.image import ImageArray

STATISTICS_FILE = "statistics.csv"
STATISTICS = ("brightness", "contrast", "sharpness", "colourfulness", "aspect", "megapixels")
DEFECT_AREA = "defect area"
_MEANINGS = {
    "brightness": "mean grey level, 0 to 255",
    "contrast": "standard deviation of grey levels",
    "sharpness": "standard deviation of the Laplacian of grey",
    "colourfulness": "mean distance of the channels from grey, 0 to 255",
    "aspect": "width over height",
    "megapixels": "millions of pixels",
}
_LONGER_SIDE_PX = 512


def title_of(statistic: str, stated: Collection[str]) -> str:
    """Name a statistic among attributes: as it is, or `brightness (measured)` beside a `brightness` that is stated.

    stated: names of the manifest's attributes.
    """
    title = statistic
    while title in stated:
        title += " (measured)"
    return title


def statistics_in_words(names: Collection[str], stated: Collection[str] = ()) -> str:
    """Say in one sentence what those of `names` that are statistics of pixels measure; '' if none is.

    stated: names of the manifest's attributes, which are no statistics.
    """
    titles = {title_of(name, stated): meaning for name, meaning in _MEANINGS.items()}
    sentence = "; ".join(f"{title}: {meaning}" for title, meaning in titles.items() if title in names)
    return f"{sentence[0].upper()}{sentence[1:]}." if sentence else ""


def measure_picture(image_hwc: ImageArray, width: int, height: int) -> dict[str, float]:
    """Measure one picture.

    image_hwc: `(height, width, 3)` uint8, perhaps decoded at reduced scale; width, height: of the file, pixels.
    Returns `brightness` and `contrast` (mean and standard deviation of grey, 0 to 255), `sharpness` (standard deviation
    of the Laplacian of grey), `colourfulness` (mean distance of channels from grey), `aspect` (width over height) and
    `megapixels`.
    """
    picture = Image.fromarray(image_hwc)
    picture.thumbnail((_LONGER_SIDE_PX, _LONGER_SIDE_PX), Image.Resampling.BOX)
    rgb = np.asarray(picture, dtype=np.float32)
    grey = np.asarray(picture.convert("L"), dtype=np.float32)
    return {
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "sharpness": float(laplace(grey).std()),
        "colourfulness": float(np.abs(rgb - grey[..., None]).mean()),
        "aspect": width / height,
        "megapixels": width * height / 1e6,
    }


def read_statistics(path: Path, manifest: Manifest) -> pd.DataFrame:
    """Read the statistics of all pictures, in the manifest's order; `defect area` is NaN without a mask.

    Raises EvaluationError if the file is missing or is not of the manifest's pictures.
    """
    try:
        table = pd.read_csv(path, dtype={"path": str, "sha256": str}, keep_default_na=False, na_values=[""])
        same = table[["path", "sha256"]].equals(manifest.table[["path", "sha256"]].reset_index(drop=True))
        statistics = table[[*STATISTICS, DEFECT_AREA]].astype(np.float64)
    except (OSError, ValueError, KeyError) as exc:
        raise EvaluationError(
            f"cannot read image statistics from {path}: {exc}; run python -m evaluation.inspect"
        ) from exc
    if not same:
        raise EvaluationError(f"{path} is not of the manifest's pictures; run python -m evaluation.inspect")
    return pd.concat([table[["path"]], statistics], axis=1)
