"""Look at all pictures once, without any model: `python -m evaluation.inspect`.

Writes to `--out`: `statistics.csv` (brightness, contrast, sharpness, ... and the share of defect in the mask, a row a
picture) and `near_duplicates.csv` (pairs of pictures of different groups whose fine structure correlates above
`data.near_duplicate_correlation`).
"""

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dataset.description import read_max_value
from dataset.manifest import Manifest, ManifestError
from dataset.near_duplicates import THUMBNAIL_PX, high_pass_thumbnail, pairs_above
from dataset.params import PARAMS_FILE, DataParams, ParamsError, read_section
from dataset.progress import progress
from evaluation.document import EvaluationError
from evaluation.image_statistics import DEFECT_AREA, STATISTICS, STATISTICS_FILE, defect_area, measure_picture
from evaluation.label_review import NEAR_DUPLICATES_FILE
from runtime.errors import ImageError
from runtime.image import decode_image

# A picture's long side is decoded to no less, which is more than statistics and thumbnails need.
_DECODED_PX = (512, 512)
_THUMBNAIL_NUMBERS = THUMBNAIL_PX**2

logger = logging.getLogger(__name__)


def inspect(manifest: Manifest, near_duplicate_correlation: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the statistics of every picture, in the manifest's order, and the pairs of near-duplicates.

    Pairs have `path`, `other_path` and `correlation`, the highest first; pictures of one group are no pair.
    Thumbnails lie in a temporary file, so that memory stays bounded. Raises EvaluationError naming a picture that
    cannot be read, ManifestError above 100,000 pictures.
    """
    table, max_value = manifest.table, read_max_value(manifest.root)
    with tempfile.TemporaryFile() as file:
        thumbnails = np.memmap(file, np.float32, "w+", shape=(len(table), _THUMBNAIL_NUMBERS))

        def measure(index: int) -> dict[str, float]:
            row = table.iloc[index]
            statistics, thumbnails[index] = _measure(manifest.root, row, max_value)
            return statistics

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            measured = pool.map(measure, range(len(table)))
            rows = list(progress(measured, "inspecting", len(table), "picture"))
        pairs = _pairs(thumbnails, table, near_duplicate_correlation)
    statistics = pd.DataFrame(rows, columns=[*STATISTICS, DEFECT_AREA])
    return pd.concat([table[["path", "sha256"]].reset_index(drop=True), statistics], axis=1), pairs


def _measure(root: Path, row: pd.Series, max_value: int | None) -> tuple[dict[str, float], NDArray[np.float32]]:
    path = root / row["path"]
    try:
        image = decode_image(path.read_bytes(), at_least=_DECODED_PX, max_value=max_value)
        statistics = measure_picture(image, int(row["width"]), int(row["height"]))
        if row["mask"]:
            path = root / row["mask"]
            statistics[DEFECT_AREA] = defect_area(decode_image(path.read_bytes()))
    except (OSError, ImageError) as exc:
        raise EvaluationError(f"cannot read the picture {path}: {exc}") from exc
    return statistics, high_pass_thumbnail(image)


def _pairs(thumbnails: NDArray[np.float32], table: pd.DataFrame, threshold: float) -> pd.DataFrame:
    paths, groups = table["path"].to_numpy(), table["group"].to_numpy()
    found = [
        (paths[left], paths[right], round(float(thumbnails[left] @ thumbnails[right]), 4))
        for left, right in pairs_above(thumbnails, threshold)
        if groups[left] != groups[right]
    ]
    pairs = pd.DataFrame(found, columns=["path", "other_path", "correlation"])
    return pairs.sort_values(["correlation", "path", "other_path"], ascending=[False, True, True], ignore_index=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("artifacts/inspection"))
    parser.add_argument("--params", type=Path, default=PARAMS_FILE)
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        params = read_section(arguments.params, "data", DataParams)
        manifest = Manifest.read(arguments.data / "manifest.csv")
        statistics, pairs = inspect(manifest, params.near_duplicate_correlation)
    except (EvaluationError, ManifestError, ParamsError) as exc:
        sys.stderr.write(f"inspect: {exc}\n")
        return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    statistics.to_csv(arguments.out / STATISTICS_FILE, index=False, float_format="%.6g")
    pairs.to_csv(arguments.out / NEAR_DUPLICATES_FILE, index=False)
    logger.info("%d pictures inspected, %d pairs of near-duplicates in different groups", len(statistics), len(pairs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
