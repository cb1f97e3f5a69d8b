"""Find the picture that a row of a table means, however its path is written."""

import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath


class PictureNames:
    """The pictures of a folder by all the ways in which a table may name them without being misread."""

    def __init__(self, root: Path, pictures: Iterable[str]) -> None:
        """Take the pictures' paths, relative to `root` and '/' separated."""
        self._exact = set(pictures)
        self._folded: dict[str, str] = {}
        ambiguous = set()
        for path in self._exact:
            key = _fold(path)
            if self._folded.setdefault(key, path) != path:
                ambiguous.add(key)
        for key in ambiguous:
            del self._folded[key]
        self._real_root = root.resolve()
        self._root_names = {_fold(root.name), _fold(self._real_root.name)} - {""}

    def find(self, text: str) -> str | None:
        r"""Return the picture that `text` names, None if there is none or more than one.

        Understood are `./` and `\`, another Unicode form or case than the disk's where one picture alone fits, absolute
        paths, and what stands before the folder's own name: `C:\sets\tiles\good\a.png` for the folder `tiles`.
        """
        if text in self._exact:
            return text
        path = PurePosixPath(text.replace("\\", "/"))
        return self._known(path.as_posix()) or self._below_own_name(path) or self._by_link(path)

    def _known(self, path: str) -> str | None:
        return path if path in self._exact else self._folded.get(_fold(path))

    def _below_own_name(self, path: PurePosixPath) -> str | None:
        found = {
            known
            for index, part in enumerate(path.parts[:-1])
            if _fold(part) in self._root_names and (known := self._known("/".join(path.parts[index + 1 :])))
        }
        return found.pop() if len(found) == 1 else None

    def _by_link(self, path: PurePosixPath) -> str | None:
        """Follow an absolute path that leads into the folder by another name."""
        if not path.is_absolute():
            return None
        try:
            real = Path(path).resolve()
        except (OSError, ValueError):
            return None
        return (
            self._known(real.relative_to(self._real_root).as_posix()) if real.is_relative_to(self._real_root) else None
        )


def _fold(path: str) -> str:
    # A cell's spaces at either end are the spreadsheet's, so a name's own cannot be told from them.
    return unicodedata.normalize("NFC", path.strip().casefold())
