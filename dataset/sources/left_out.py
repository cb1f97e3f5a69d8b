"""Say what of a user's directory is passed over, one line for each reason; nothing is left out in silence."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from dataset.checks import named
from dataset.manifest import ManifestError
from dataset.readable_name import readable
from dataset.sources.file_kinds import FileKinds, tell_kinds
from dataset.sources.file_tree import FileTree, is_hidden

logger = logging.getLogger(__name__)


def report_left_out(root: Path, tree: FileTree, kinds: FileKinds, groups_csv: Path | None) -> None:
    """Log which files are no pictures, and what is hidden, the system's or reached twice.

    Raises ManifestError for pictures in hidden folders: they may be a class, and nobody sees that they are missing.
    """
    hidden = tell_kinds(root, tree.hidden)
    folders = sorted({path.rsplit("/", 1)[0] for path in hidden.pictures if any(map(is_hidden, path.split("/")[:-1]))})
    if folders:
        shown = named([readable(path) for path in folders])
        raise ManifestError(
            f"pictures lie in hidden folder(s) of {readable(str(root))}: {shown}. Rename each that is to be used, so "
            "that no name on the way begins with a dot, and move the others away"
        )
    others = {path: kind for kind, paths in kinds.others.items() for path in paths}
    own = [path for path in others if groups_csv is not None and (root / path).resolve() == groups_csv.resolve()]
    for path in own:
        del others[path]
    not_seen = sorted({*tree.hidden} - {*hidden.apple_double})
    _say(f"file(s) are no pictures and are left out ({_counted(others.values())})", list(others))
    _say(
        "file(s) or folder(s) of the system are passed over", [*tree.litter, *kinds.apple_double, *hidden.apple_double]
    )
    _say("hidden file(s) are left out", not_seen)
    _say("pipe(s), socket(s) or device(s) are left out", tree.special)
    _say("link(s) lead to a folder that is read already and are passed over", tree.repeated)


def without(kinds: FileKinds, path: str) -> FileKinds:
    """Return the files without one that is read and no picture."""
    others = {kind: [other for other in paths if other != path] for kind, paths in kinds.others.items()}
    return replace(kinds, others=others)


def what_lies_in(kinds: FileKinds, label: str) -> str:
    """Say which files a class folder without pictures holds: ` (3 files: 2 txt, 1 PDF)`, '' if none."""
    found = [kind for kind, paths in kinds.others.items() for path in paths if path.startswith(f"{label}/")]
    return f" ({len(found)} file(s): {_counted(found)})" if found else ""


def _counted(kinds: Iterable[str]) -> str:
    """Join kinds with their numbers, the most frequent first."""
    return ", ".join(f"{number} {kind}" for kind, number in Counter(kinds).most_common())


def _say(what: str, paths: list[str]) -> None:
    if paths:
        logger.warning("%d %s: %s", len(paths), what, named(sorted(map(readable, paths))))
