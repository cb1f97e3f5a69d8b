"""The manifest: one CSV row an image, the only list of pictures that later stages read.

Columns: `path` (relative to the CSV's directory, '/' separated), `label`, `group` (the physical object), `split` and
`split_by_image` (train, val or test; empty before splitting), `sha256` (of the file), `width` and `height` (pixels,
upright), `mask` (path or empty), then `attributes.<name>` columns such as `attributes.exposure`, all kept as text.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import pandas as pd

from project.write_whole import write_whole

COLUMNS = ["path", "label", "group", "split", "split_by_image", "sha256", "width", "height", "mask"]
ATTRIBUTE_PREFIX = "attributes."
SPLITS = ("train", "val", "test")

SplitName = Literal["train", "val", "test"]
Protocol = Literal["group", "image"]
SPLIT_COLUMNS: dict[Protocol, str] = {"group": "split", "image": "split_by_image"}


class ManifestError(ValueError):
    """Pictures or a manifest that cannot be used; the message names the files."""


@dataclass(frozen=True)
class Manifest:
    """A table of pictures with the directory its paths are relative to.

    `table` holds `COLUMNS` and the attribute columns; every value is text except `width` and `height` (int).
    """

    table: pd.DataFrame
    root: Path

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the model's outputs: sorted."""
        return tuple(sorted(self.table["label"].unique()))

    @property
    def attributes(self) -> list[str]:
        """Names of attribute columns, without the prefix."""
        return [c.removeprefix(ATTRIBUTE_PREFIX) for c in self.table.columns if c.startswith(ATTRIBUTE_PREFIX)]

    @property
    def sha256(self) -> str:
        """Hash of the whole table: pictures' hashes, labels, groups and splits."""
        return hashlib.sha256(self.table.to_csv(index=False).encode()).hexdigest()

    def select(self, split: SplitName, protocol: Protocol = "group") -> Self:
        """Return the rows of one split, in manifest order."""
        rows = self.table[self.table[SPLIT_COLUMNS[protocol]] == split]
        return type(self)(rows.reset_index(drop=True), self.root)

    def write(self, path: Path) -> None:
        """Write the CSV whole or not at all."""
        write_whole(path, self.table.to_csv(index=False))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a manifest; its pictures lie beside it.

        Raises ManifestError if it cannot be read, columns are missing, a picture is listed twice, a split has an
        unknown name or a size is no number.
        """
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
        except (OSError, ValueError) as exc:
            raise ManifestError(f"cannot read the manifest {path}: {exc}") from exc
        missing = [c for c in COLUMNS if c not in table.columns]
        if missing:
            raise ManifestError(f"{path} is not a manifest: column(s) {', '.join(missing)} missing")
        doubles = table.loc[table["path"].duplicated(), "path"]
        if len(doubles):
            raise ManifestError(f"{path} lists {len(doubles)} picture(s) more than once, such as {doubles.iloc[0]}")
        for column in SPLIT_COLUMNS.values():
            strange = table.loc[~table[column].isin(["", *SPLITS])]
            if len(strange):
                row = strange.iloc[0]
                raise ManifestError(f"{path}: {column} of {row['path']} is {row[column]!r}, not one of {SPLITS}")
        try:
            return cls(table.astype({"width": int, "height": int}), path.parent)
        except ValueError as exc:
            raise ManifestError(f"{path}: width and height must be whole numbers: {exc}") from exc
