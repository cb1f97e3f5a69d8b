"""List the files that a user's directory holds."""

import os
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})


def files_below(root: Path) -> list[Path]:
    """Return all files below `root`, sorted by path; hidden files and folders are left out.

    Linked folders are followed, as data sets on clusters are often built of links; a link that leads back to a folder
    already seen is not entered again. A dangling link is listed: whoever opens it gets the error.
    """
    files: list[Path] = []
    seen: set[str] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        files.extend(Path(folder) / name for name in names if not name.startswith("."))
    return sorted(files, key=lambda path: path.as_posix())


def is_image(path: Path) -> bool:
    """Tell by the suffix whether `path` is meant to be a picture; decoding tells whether it is one."""
    return path.suffix.lower() in IMAGE_SUFFIXES
