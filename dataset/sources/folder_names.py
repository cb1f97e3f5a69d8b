"""What names files and class folders may have: such as every later file, table and page can hold and tell apart."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from dataset.checks import named
from dataset.manifest import ManifestError
from dataset.readable_name import readable

# How desktops call the copy of a folder: `good (2)`, `good - Copy`, `good copy 2`.
_COPY = re.compile(r" ?\(\d+\)$| -? ?(copy|kopie|copie|copia)( \d+| \(\d+\))?$")


def check_names(root: Path, paths: Iterable[str]) -> None:
    """Refuse names whose bytes are not UTF-8 and names with control characters or line ends.

    paths: relative to `root`. Raises ManifestError that shows the names with those characters escaped.
    """
    not_text, not_printable = [], []
    for path in paths:
        if path.isascii() and path.isprintable():
            continue
        categories = {unicodedata.category(character) for character in path}
        if "Cs" in categories:
            not_text.append(readable(path))
        elif categories & {"Cc", "Zl", "Zp"}:
            not_printable.append(readable(path))
    if not_text:
        raise ManifestError(
            f"{len(not_text)} name(s) in {readable(str(root))} are not UTF-8: {named(not_text)}. They come from an "
            "archive or a disk with another code page: unpack it again with that code page (unzip -O), or rename them "
            "(convmv renames whole folders)"
        )
    if not_printable:
        raise ManifestError(
            f"{len(not_printable)} name(s) in {readable(str(root))} hold a line end, a tab or another control "
            f"character: {named(not_printable)}. Rename them"
        )


def check_alike_classes(root: Path, classes: Iterable[str]) -> None:
    """Refuse class folders whose names differ only in case, Unicode form, spaces, what cannot be seen, or as a copy's.

    Single letters may differ in case: `A` and `a` are classes of handwriting. Raises ManifestError naming each pair.
    """
    first: dict[str, str] = {}
    pairs = []
    classes = list(classes)
    keys = {_key(name) for name in classes}
    for name in classes:
        key = _key(name)
        copied = _COPY.sub("", key)
        key = copied if copied in keys else key
        if key in first:
            pairs.append(f"{_told_apart(first[key])} and {_told_apart(name)}")
        first.setdefault(key, name)
    if pairs:
        raise ManifestError(
            f"class folders of {readable(str(root))} whose names differ only in case, Unicode form, spaces or as a "
            f"copy does are likely one class: {named(pairs)}. Put the pictures of each pair into one folder, or, if "
            "they are different classes, rename one or say so with CLASSES=top (make data DATA=... CLASSES=top)"
        )


def _key(name: str) -> str:
    visible = "".join(one for one in unicodedata.normalize("NFKC", name) if unicodedata.category(one) != "Cf")
    text = " ".join(visible.split())
    return text if len(text) == 1 else unicodedata.normalize("NFKC", text.casefold())


def _told_apart(name: str) -> str:
    """Show a name so that it is seen how it differs from one that looks alike."""
    spelled = "" if name.isascii() else f" ({name.encode('unicode_escape').decode('ascii')})"
    return f"{readable(name)!r}{spelled}"
