"""List the files that a user's directory holds."""

import os
from pathlib import Path

from dataset.manifest import ManifestError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
_NUM_NAMED = 10


def files_below(root: Path) -> list[Path]:
    """Return all files below `root`, sorted by path; hidden files and folders are left out.

    Linked folders are followed, as data sets on clusters are often built of links; a link that leads back to a folder
    it lies in is not entered again. A dangling link is listed: whoever opens it gets the error.
    Raises ManifestError, naming each, for folders that may not be entered, and for a folder that is reached by two
    ways: its pictures would have two classes, or count twice.
    """
    files: list[Path] = []
    refused: list[str] = []
    real_of: dict[str, str] = {}
    first_way: dict[str, str] = {}

    def note(problem: OSError) -> None:
        refused.append(f"{problem.filename} ({problem.strerror})")

    for folder, subfolders, names in os.walk(root, onerror=note, followlinks=True):
        real = real_of[folder] = os.path.realpath(folder)
        if real in first_way:
            subfolders.clear()
            if not _leads_back(folder, real, real_of):
                refused.append(f"{folder} (the same folder as {first_way[real]}: leave one of them out)")
            continue
        first_way[real] = folder
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        files.extend(Path(folder) / name for name in names if not name.startswith("."))
    if refused:
        rest = len(refused) - _NUM_NAMED
        named = ", ".join(refused[:_NUM_NAMED]) + (f" and {rest} more" if rest > 0 else "")
        raise ManifestError(f"{len(refused)} folder(s) cannot be read, so pictures would be left out: {named}")
    return sorted(files, key=lambda path: path.as_posix())


def _leads_back(folder: str, real: str, real_of: dict[str, str]) -> bool:
    """Tell whether `real` is a folder on the way to `folder`; keys of `real_of` are the folders entered so far."""
    while (above := os.path.dirname(folder)) in real_of and above != folder:  # noqa: PTH120 (hot: a call a folder)
        if real_of[above] == real:
            return True
        folder = above
    return False


def is_image(path: Path) -> bool:
    """Tell by the suffix whether `path` is meant to be a picture; decoding tells whether it is one."""
    return path.suffix.lower() in IMAGE_SUFFIXES
