"""Look at all pictures once, without any model: `python -m evaluation.inspect`.

Writes to `--out`: `statistics.csv` (brightness, contrast, sharpness, ... and the share of defect in the mask, a row a
picture), `near_duplicates.csv` (pairs of pictures of different groups whose fine structure correlates above
`data.near_duplicate_correlation`, at most three of a picture, and pictures that are the same under two labels) and
`near_duplicates.json` (how many pairs there are in all).
"""

import argparse
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pandas as pd

from dataset.annotations import IGNORED, marked, read_mask, regions_of
from dataset.checks import named
from dataset.description import read_max_value
from dataset.likeness.near_duplicates import GreyThumbnail, grey_thumbnail
from dataset.manifest import Manifest, ManifestError
from dataset.params import DataParams
from evaluation.analyses.alike_counts import COUNTS_FILE, AlikeCounts
from evaluation.analyses.alike_pictures import find_alike
from evaluation.analyses.image_statistics import DEFECT_AREA, STATISTICS, STATISTICS_FILE, measure_picture
from evaluation.analyses.label_review import NEAR_DUPLICATES_FILE
from evaluation.document import EvaluationError
from evaluation.picture_files import read_picture
from project.command import command
from project.params import ParamsError, add_params_option, read_section
from project.progress import progress

# A picture's long side is decoded to no less, which is more than statistics and thumbnails need.
_DECODED_PX = (512, 512)

logger = logging.getLogger(__name__)


def inspect(manifest: Manifest, near_duplicate_correlation: float) -> tuple[pd.DataFrame, pd.DataFrame, AlikeCounts]:
    """Return the statistics of every picture, in the manifest's order, and the pairs of near-duplicates with counts.

    Pairs are those of `evaluation.analyses.alike_pictures`. Of each picture 4 KB are held, 16 KB more lie in a
    temporary file. Raises EvaluationError naming a picture that cannot be read, ManifestError for masks that cannot.
    """
    regions_of(manifest)  # refuses masks of an earlier version, which meant something else
    table, max_value = manifest.table, read_max_value(manifest.root)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        measured = pool.map(partial(_measure, manifest.root, max_value=max_value), (row for _, row in table.iterrows()))
        rows, thumbnails = zip(*progress(measured, "inspecting", len(table), "picture"), strict=True)
    pairs, counts = find_alike(thumbnails, table, near_duplicate_correlation)
    statistics = pd.DataFrame(rows, columns=[*STATISTICS, DEFECT_AREA])
    return pd.concat([table[["path", "sha256"]].reset_index(drop=True), statistics], axis=1), pairs, counts


def _measure(root: Path, row: pd.Series, max_value: int | None) -> tuple[dict[str, float], GreyThumbnail]:
    image = read_picture(root / row["path"], _DECODED_PX, max_value)
    statistics = measure_picture(image, int(row["width"]), int(row["height"]))
    if row["mask"]:
        mask = read_mask(root / row["mask"])
        known = mask != IGNORED
        if known.any():
            statistics[DEFECT_AREA] = float(marked(mask).sum() / known.sum())
    return statistics, grey_thumbnail(image)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("artifacts/inspection"))
    add_params_option(parser)


@command(_arguments, known=(EvaluationError, ManifestError, ParamsError))
def main(arguments: argparse.Namespace) -> None:
    params = read_section(arguments.params, "data", DataParams)
    manifest = Manifest.read(arguments.data / "manifest.csv")
    statistics, pairs, counts = inspect(manifest, params.near_duplicate_correlation)
    arguments.out.mkdir(parents=True, exist_ok=True)
    statistics.to_csv(arguments.out / STATISTICS_FILE, index=False, float_format="%.6g")
    pairs.to_csv(arguments.out / NEAR_DUPLICATES_FILE, index=False)
    counts.write(arguments.out / COUNTS_FILE)
    _log(statistics, pairs, counts)


def _log(statistics: pd.DataFrame, pairs: pd.DataFrame, counts: AlikeCounts) -> None:
    logger.info(
        "%d pictures inspected, %d pairs of near-duplicates in different groups", len(statistics), counts.num_pairs
    )
    if not counts.is_searched:
        logger.warning("%d pictures are too many to look for near-duplicates among them", len(statistics))
    if counts.num_listed < counts.num_pairs:
        logger.info("%d of these pairs are listed: of each picture the %d nearest", len(pairs), counts.max_partners)
    same = pairs[pairs["same_picture"].astype(bool)]
    if len(same):
        pairs_of_paths = [f"{row.path} and {row.other_path}" for row in same.itertuples()]
        logger.warning(
            "%d pair(s) of files show the same picture under two labels: %s", len(same), named(pairs_of_paths)
        )


if __name__ == "__main__":
    sys.exit(main())
