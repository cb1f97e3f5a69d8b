"""Decide where pictures come from, and note it in `data/source.yaml`.

    python -m dataset.source [PATH_OR_NAME] [--groups CSV] [--labels CSV] [--normal CLASS] [--skip-unreadable]
        [--skip-rare] [--classes top] [--split given|ours|new] [--source NAME] --out data/source.yaml

Without an argument the source chosen before is kept, or the drawn tiles are taken. The file is rewritten only when
something changed, so that DVC reruns loading only then; `fingerprint` tells from names, sizes and times of the files
that something changed, not what. `--split new` is not noted: it forgets, once, which side each picture was on.
"""

import argparse
import logging
import sys
from pathlib import Path
from typing import get_args

from dataset.data_source import DataSource, SourceName
from dataset.description import DESCRIPTION_FILE
from dataset.manifest import ManifestError
from dataset.outputs.disk import write_problem
from dataset.outputs.keeping import keep_own
from dataset.outputs.overlap import check_folder, check_nothing_foreign
from dataset.outputs.pipeline import LISTS, PICTURES_CSV, PICTURES_DIR, places_of_runs
from dataset.outputs.replacing import alone
from dataset.readable_name import readable
from dataset.sources.folder_options import ANEW, SkipName, parse_classes, parse_skip, parse_split
from dataset.sources.magnetic_tile import holds_magnetic_tiles
from dataset.splitting.memory import forget
from project.command import command

_SPLIT_HELP = "keep the sides of a divided folder, or divide it here; new: divide all pictures anew"

logger = logging.getLogger(__name__)


def decide_source(
    wanted: str,
    groups: str,
    name: SourceName | None,
    earlier: Path,
    normal_class: str = "",
    skip: str = "",
    classes: str = "",
    split: str = "",
    labels: str = "",
) -> DataSource:
    """Decide the source from what the user asked for.

    wanted: a directory, an export of Label Studio's (.json), the name of a source, or '' for the one noted in
    `earlier`. groups: CSV or ''. name: forces how the directory is read. normal_class: of a folder or an export, or ''.
    skip, classes, split: as a user writes them, see `folder_options`, or ''; `new` is not a matter of the source.
    labels: CSV of labels, or ''.
    Raises ManifestError for a missing directory and for requests that contradict.
    """
    divided = parse_split(split)
    options = " ".join(
        f"{name}={text}" for name, text in (("SKIP", skip), ("CLASSES", classes), ("SPLIT", divided)) if text
    )
    if not wanted and not name:
        for what, given in (("groups ", groups), ("class ", normal_class), ("labels ", labels), ("", options)):
            if given:
                raise ManifestError(f"{what}{given} given without pictures: name their directory too (DATA=PATH)")
        return DataSource.read(earlier).refreshed() if earlier.is_file() else DataSource(source="synthetic-tiles")
    names = [known for known in get_args(SourceName) if known == wanted and not Path(wanted).is_dir()]
    path = "" if names else wanted
    source = name or (names[0] if names else _source_of(Path(path)))
    if names and source != wanted:
        raise ManifestError(f"asked for {wanted} and for --source {source}; give one of them")
    if source == "folder" and not path:
        raise ManifestError("the source folder needs a directory: make data DATA=PATH")
    if source == "synthetic-tiles" and path:
        raise ManifestError(f"synthetic-tiles are drawn and not read from {path}; leave one of them out")
    if source == "label-studio" and not path:
        raise ManifestError("the source label-studio needs its JSON export: make data DATA=export.json")
    of_user = ("folder", "label-studio")
    if groups and source not in of_user:
        raise ManifestError(f"{source} brings its own groups; with --source folder the directory is read with {groups}")
    if labels and source != "folder":
        raise ManifestError(f"{source} brings its own labels; with --source folder the directory is read with {labels}")
    if labels and classes:
        raise ManifestError(f"folders (CLASSES={classes}) and {labels} cannot both say the classes; give one of them")
    if normal_class and source not in of_user:
        raise ManifestError(f"{source} says itself which class is normal; leave {normal_class} out")
    if options and source != "folder":
        raise ManifestError(f"{source} is taken as it is; {options} is for a folder of your own")
    return DataSource(
        source=source,
        path=path,
        groups=groups,
        labels=labels,
        normal_class=normal_class,
        skip=parse_skip(skip),
        classes=parse_classes(classes),
        split=divided,
    ).refreshed()


def _source_of(root: Path) -> SourceName:
    if root.suffix.lower() == ".json" and root.is_file():
        return "label-studio"
    return "magnetic-tile" if holds_magnetic_tiles(root) else "folder"


def check_places(source: DataSource, data_dir: Path) -> None:
    """Refuse, before anything is touched, what a run would destroy, and a data directory that no run could use.

    Raises ManifestError for pictures or a groups CSV where runs write, for what a person put where runs write, and for
    a `data_dir` that is no directory.
    """
    source.check_apart(places_of_runs(data_dir))
    check_folder(data_dir)
    outputs = [data_dir / name for name in (PICTURES_DIR, PICTURES_CSV, DESCRIPTION_FILE, *LISTS)]
    check_nothing_foreign(outputs, by_content=False)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("wanted", nargs="?", default="", metavar="PATH_OR_NAME")
    parser.add_argument("--groups", default="", metavar="CSV", help="columns path,group and attributes")
    parser.add_argument("--labels", default="", metavar="CSV", help="columns path,label, if folders say no class")
    parser.add_argument("--normal", default="", metavar="CLASS", help="the class that is no defect, if there is one")
    parser.add_argument("--skip", default="", metavar="LIST", help="what may be left out: unreadable, rare, masks")
    for option in get_args(SkipName):
        parser.add_argument(
            f"--skip-{option}", dest="skipped", action="append_const", const=option, default=[], help=f"--skip {option}"
        )
    parser.add_argument("--classes", default="", metavar="top", help="each folder at the top is a class")
    parser.add_argument("--split", default="", metavar="given|ours|new", help=_SPLIT_HELP)
    parser.add_argument("--source", choices=get_args(SourceName), help="how to read PATH, if not by its layout")
    parser.add_argument("--out", type=Path, default=Path("data/source.yaml"))


@command(_arguments, known=(ManifestError,), speaker="error")
def main(args: argparse.Namespace) -> None:
    try:
        skip = ",".join([args.skip, *args.skipped]).strip(",")
        source = decide_source(
            args.wanted, args.groups, args.source, args.out, args.normal, skip, args.classes, args.split, args.labels
        )
        check_places(source, args.out.parent)
        keep_own()
        if args.split == ANEW:
            with alone(args.out.parent):
                kept = forget(args.out.parent)
            logger.info("pictures are divided anew%s", f"; kept: {', '.join(map(str, kept))}" if kept else "")
        if is_new := not source.is_noted(args.out):
            # Not while a run loads: DVC would note, at the end of that run, this choice as what its pictures are from.
            with alone(args.out.parent):
                source.write(args.out)
    except OSError as exc:
        raise ManifestError(write_problem(exc, Path(str(exc.filename or args.out)))) from exc
    place = f" in {readable(source.path)}" if source.path else ""
    logger.info("pictures: %s%s (%s)", source.source, place, f"noted in {args.out}" if is_new else "unchanged")


if __name__ == "__main__":
    sys.exit(main())
