"""Divide the pictures: `data/pictures.csv` -> `data/manifest.csv`.

python -m dataset.split --pictures data/pictures.csv --out data/manifest.csv [--params params.yaml]
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from dataset.description import DataDescription
from dataset.manifest import SPLITS, Manifest, ManifestError
from dataset.params import SplitParams
from dataset.splits import assign_splits
from project.command import command
from project.params import ParamsError, add_params_option, read_section


def summarise_splits(table: pd.DataFrame) -> str:
    """Return a table of class x split, each cell 'pictures / groups', for people to read."""
    rows = {
        label: {split: _cell(members[members["split"] == split]) for split in SPLITS}
        for label, members in [*table.groupby("label"), ("all", table)]
    }
    cells = pd.DataFrame.from_dict(rows, orient="index", columns=list(SPLITS))
    return f"pictures / groups\n{cells.to_string()}\n"


def _cell(rows: pd.DataFrame) -> str:
    return f"{len(rows)} / {rows['group'].nunique()}"


def _what_likeness_did(data_dir: Path) -> str:
    """Repeat what loading said of objects found by likeness: too large ones are why a class has too few."""
    try:
        likeness = DataDescription.read(data_dir).likeness
    except (OSError, ValueError):  # the error that is told matters, not a description that is missing beside it
        return ""
    return f"\n{likeness}" if likeness else ""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pictures", type=Path, default=Path("data/pictures.csv"))
    parser.add_argument("--out", type=Path, default=Path("data/manifest.csv"))
    add_params_option(parser)


@command(_arguments, known=(ManifestError,), speaker="error")
def main(args: argparse.Namespace) -> None:
    try:
        params = read_section(args.params, "split", SplitParams)
        pictures = Manifest.read(args.pictures)
        table = assign_splits(pictures.table, params)
        Manifest(table, args.out.parent).write(args.out)
    except (ManifestError, ParamsError) as exc:
        raise ManifestError(f"{exc}{_what_likeness_did(args.pictures.parent)}") from exc
    sys.stdout.write(summarise_splits(table))


if __name__ == "__main__":
    sys.exit(main())
