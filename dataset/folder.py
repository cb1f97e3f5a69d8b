"""Any folder of labelled pictures: `root/<class>/**/<picture>`.

Which pictures show the same object is read from a CSV with the columns `path,group` (paths relative to the root;
further columns become attributes) or else found by likeness, which misses mirrored and rotated shots.
"""

import logging
from pathlib import Path, PurePosixPath

import pandas as pd

from dataset.checks import check_classes, check_group_rows, named
from dataset.description import DataDescription
from dataset.file_tree import IMAGE_SUFFIXES, files_below, is_image
from dataset.manifest import ManifestError
from dataset.source_picture import Collection, SourcePicture

_SPLIT_NAMES = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})

logger = logging.getLogger(__name__)


def read_folder(root: Path, groups_csv: Path | None, normal_class: str = "") -> Collection:
    """List the pictures below `root`, one class a folder; `normal_class` is the one that is no defect, or ''.

    Raises ManifestError for pictures outside class folders, an empty class, fewer than two classes, folders that are
    splits instead of classes, a normal class that is none, and a groups CSV that does not fit the pictures.
    """
    files = _files_by_class(root)
    if normal_class and normal_class not in files:
        raise ManifestError(f"{normal_class!r} is to be the normal class, but the classes are {', '.join(files)}")
    relative = [path.relative_to(root).as_posix() for label in files for path in files[label]]
    facts = _read_groups(groups_csv, relative) if groups_csv else {}
    pictures = [
        SourcePicture(
            path=f"pictures/images/{path}",
            label=path.split("/")[0],
            group=facts.get(path, {}).get("group", ""),
            attributes={name: text for name, text in facts.get(path, {}).items() if name not in ("path", "group")},
        )
        for path in relative
    ]
    originals = {f"pictures/images/{path}": root / path for path in relative}
    return Collection(pictures, _describe(root, groups_csv, normal_class), groups_csv is not None, originals)


def _describe(root: Path, groups_csv: Path | None, normal_class: str) -> DataDescription:
    name = root.resolve().name
    return DataDescription(
        name=name,
        title=name,
        summary=f"Pictures from the folder {name}, one class a folder.",
        group_meaning=(
            "object named in the groups file" if groups_csv else "near-duplicate pictures (found, not stated)"
        ),
        normal_class=normal_class,
    )


def _files_by_class(root: Path) -> dict[str, list[Path]]:
    """Return the pictures of every class folder, sorted, empty classes included."""
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    splits = [path.name for path in folders if path.name.lower() in _SPLIT_NAMES]
    if splits and len(splits) == len(folders):
        raise ManifestError(
            f"{root} is divided into {', '.join(splits)}, but bento-vision splits by itself, by object, so that no "
            "object is on two sides. Merge them into one folder a class, for example: "
            f"mkdir merged && cp -r {' '.join(f'{name}/.' for name in splits)} merged/ (mind equal file names)"
        )
    files = files_below(root)
    loose = [path.name for path in files if path.parent == root and is_image(path)]
    if loose:
        raise ManifestError(
            f"{len(loose)} picture(s) lie in {root} itself and so have no class: {named(loose)}. "
            "Move each into the folder of its class"
        )
    others = [path.relative_to(root).as_posix() for path in files if not is_image(path)]
    if others:
        logger.warning("%d file(s) are no pictures by name and are left out: %s", len(others), named(others))
    by_class: dict[str, list[Path]] = {folder.name: [] for folder in folders}
    for path in files:
        if is_image(path):
            by_class[path.relative_to(root).parts[0]].append(path)
    if not any(by_class.values()):
        raise ManifestError(
            f"{root} holds no pictures in class folders: expected {root}/<class>/<picture> with one of the endings "
            f"{', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    check_classes({label: len(paths) for label, paths in by_class.items()})
    return by_class


def _read_groups(groups_csv: Path, pictures: list[str]) -> dict[str, dict[str, str]]:
    """Return the row of every picture. Raises ManifestError if the CSV does not name each exactly once."""
    try:
        table = pd.read_csv(groups_csv, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (OSError, ValueError) as exc:
        raise ManifestError(f"cannot read the groups file {groups_csv}: {exc}") from exc
    missing = [name for name in ("path", "group") if name not in table.columns]
    if missing:
        raise ManifestError(
            f"{groups_csv} has no column {' and '.join(missing)}; it has {', '.join(map(str, table.columns))}. "
            "Its first line must be path,group (further columns become attributes)"
        )
    table["path"] = [PurePosixPath(path.strip()).as_posix() for path in table["path"]]
    table["group"] = table["group"].str.strip()
    empty = table.loc[table["group"] == "", "path"].tolist()
    check_group_rows(str(groups_csv), pictures, table["path"].tolist(), empty)
    return {str(row["path"]): {str(k): str(v) for k, v in row.items()} for row in table.to_dict("records")}
