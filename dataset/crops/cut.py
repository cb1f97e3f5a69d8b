"""Make a data set of crops, one of each annotated box, from which a classifier of crops learns.

    python -m dataset.crops.cut [--manifest data/manifest.csv] [--out artifacts/detection/crops/data]

The class of a crop is its object; group, splits and attributes are its picture's, so that no object is on two sides.
What is cut out is what the service cuts out of a picture for a box that a detector found (`runtime/model/crops.py`),
with `crops.margin` around it; training boxes are cut out again with moved sides (`crops.jitter`). Ignored boxes and
crops that the service would not classify are left out. What an earlier run wrote into the folder is replaced, and
nothing else.
"""

import argparse
import logging
import sys
from pathlib import Path

from dataset.crops.data_set import cut_crops
from dataset.manifest import Manifest, ManifestError
from dataset.params import CropParams
from project.command import command
from project.params import ParamsError, add_params_option, read_section

logger = logging.getLogger(__name__)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--manifest", type=Path, default=Path("data/manifest.csv"))
    parser.add_argument("--out", type=Path, default=Path("artifacts/detection/crops/data"))
    add_params_option(parser)


@command(_arguments, known=(ManifestError, ParamsError), speaker="error")
def main(args: argparse.Namespace) -> None:
    params = read_section(args.params, "crops", CropParams)
    table = cut_crops(Manifest.read(args.manifest), args.out, params).table
    logger.info("cut %d crops of %d objects into %s", len(table), table["label"].nunique(), args.out)


if __name__ == "__main__":
    sys.exit(main())
