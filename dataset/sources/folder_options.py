"""What a user may say of a folder of pictures: what may be left out of it, and which of its folders are classes."""

import re
from typing import Literal, get_args

from dataset.manifest import ManifestError

SkipName = Literal["unreadable", "rare", "masks"]
ClassFolders = Literal["", "top"]
SplitWord = Literal["", "given", "ours"]
ANEW = "new"  # beside these: once, and so no option of a folder's


def parse_skip(text: str) -> tuple[SkipName, ...]:
    """Return what may be left out, from words apart by commas or spaces. Raises ManifestError for another word."""
    words = [word for word in re.split(r"[\s,]+", text) if word]
    unknown = [word for word in words if word not in get_args(SkipName)]
    if unknown:
        raise ManifestError(
            f"SKIP={text!r}: {', '.join(unknown)} is not known; it takes {', '.join(get_args(SkipName))}"
        )
    return tuple(name for name in get_args(SkipName) if name in words)


def parse_classes(text: str) -> ClassFolders:
    """Return which folders are the classes. Raises ManifestError for a word that is not known."""
    if text not in ("", "top"):
        raise ManifestError(f"CLASSES={text!r} is not known; it takes top: each folder at the top is a class")
    return "top" if text else ""


def parse_split(text: str) -> SplitWord:
    """Return whose sides count, '' also for `ANEW`. Raises ManifestError for a word that is not known."""
    words: tuple[SplitWord, ...] = get_args(SplitWord)
    for word in words:
        if text == word:
            return word
    if text != ANEW:
        raise ManifestError(f"SPLIT={text!r} is not known; it takes {', '.join(filter(None, words))}, {ANEW}")
    return ""
