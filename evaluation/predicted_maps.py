"""What a segmentation model answered for each pixel of a picture, on disk: one PNG for each row of `predictions.csv`.

`000123.png` is of row 123, counted from 0. Its mode is LA: L is the region that the pixel is then most likely of,
1 to R, A its probability to be of any region, in 255ths. Both have the size of the network's input. Beside the maps
lies `contract.json`, which names the regions and holds the threshold.
"""

import io
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from evaluation.predictions import PredictionsError

MAPS_DIR = "maps"
REMEDY = "run python -m training.predict --task segmentation"
_NAME = re.compile(r"\d{6,}\.png")
_STEPS = 255  # in which a probability is stored: it is off by at most half of one

RegionMap = npt.NDArray[np.uint8]
Foreground = npt.NDArray[np.float32]


def map_path(folder: Path, row: int) -> Path:
    """Return where the map of a row of the predictions lies."""
    return folder / f"{row:06d}.png"


def write_map(folder: Path, row: int, region_map: RegionMap, foreground: npt.NDArray[np.floating]) -> None:
    """Write the map of one row; the folder is made if it is missing. Who wrote all of them writes the contract last.

    region_map: `(H, W)` uint8, 1 or more. foreground: `(H, W)` float in [0, 1]; up to 1e-3 outside is cut off.
    Raises ValueError if shapes, types or ranges are others.
    """
    if region_map.ndim != 2 or region_map.shape != foreground.shape or region_map.dtype != np.uint8:
        raise ValueError(
            f"expected a region_map (H, W) uint8 and a foreground (H, W), got {region_map.shape} {region_map.dtype} "
            f"and {foreground.shape}"
        )
    if not (region_map.min() >= 1 and foreground.min() >= -1e-3 and foreground.max() <= 1 + 1e-3):  # true for NaN
        raise ValueError(
            f"expected regions of 1 or more and probabilities in [0, 1], got regions from {region_map.min()} and "
            f"probabilities from {foreground.min()} to {foreground.max()}"
        )
    steps = np.rint(np.clip(foreground, 0, 1) * _STEPS).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(np.dstack([region_map, steps]), "LA").save(buffer, "PNG")
    folder.mkdir(parents=True, exist_ok=True)
    map_path(folder, row).write_bytes(buffer.getvalue())  # not synced one by one: thousands would take minutes


def read_map(folder: Path, row: int) -> tuple[RegionMap, Foreground]:
    """Read the map of one row: `(H, W)` uint8 region_map and `(H, W)` float32 foreground, as `write_map` took them.

    Raises PredictionsError naming the file and the command if it is missing or no such map.
    """
    path = map_path(folder, row)
    try:
        with Image.open(path) as image:
            mode, pixels = image.mode, np.asarray(image)
    except OSError as exc:
        raise PredictionsError(f"cannot read the predicted map {path}: {exc.strerror or exc}; {REMEDY}") from exc
    if mode != "LA":
        raise PredictionsError(f"{path} is no predicted map: its mode is {mode}, not LA; {REMEDY}")
    if not pixels[..., 0].all():
        raise PredictionsError(f"{path} is no predicted map: it holds region 0, and regions count from 1; {REMEDY}")
    return pixels[..., 0].copy(), (pixels[..., 1] / np.float32(_STEPS)).astype(np.float32)


def remove_maps(folder: Path) -> None:
    """Remove the maps of an earlier table of predictions, and nothing else that lies there."""
    for path in folder.glob("*.png"):
        if _NAME.fullmatch(path.name):
            path.unlink()


def refuse_other_maps(folder: Path, num_rows: int) -> None:
    """Raise PredictionsError unless `folder` holds a map of each of `num_rows` rows of predictions and no further."""
    if not folder.is_dir():
        raise PredictionsError(f"there is no folder of predicted maps {folder}; {REMEDY}")
    found = {path.name for path in folder.glob("*.png")}
    wanted = {map_path(folder, row).name for row in range(num_rows)}
    if found == wanted:
        return
    what = f"{sorted(wanted - found)[0]} is missing" if wanted - found else f"{sorted(found - wanted)[0]} is of no row"
    raise PredictionsError(
        f"{folder} holds {len(found)} predicted maps, but the predictions {num_rows} rows ({what}): they are not of "
        f"one run; {REMEDY}"
    )
