"""The manifest: one CSV row an image, the only list of pictures that later stages read.

Columns: `path` (relative to the CSV's directory, '/' separated), `label`, `group` (the physical object), `split` and
`split_by_image` (train, val or test; before splitting empty, or `split` is what a folder gives), `sha256` (of the
file), `width` and `height` (pixels, upright), `mask` (path or empty), `mask_sha256` (of what is in the mask; the column
is only there if there are masks), `boxes_sha256` (of what `boxes.csv` says of the picture, or empty; the column is only
there if there are boxes), `picture_sha256` (only of crops: of the file that they are cut out of), then
`attributes.<name>` columns such as `attributes.exposure`, all kept as text.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import pandas as pd

from project.write_whole import write_whole

if TYPE_CHECKING:  # stages that deal pictures out need no contract, and shall not depend on it
    from runtime.model.roles import Role

COLUMNS = ["path", "label", "group", "split", "split_by_image", "sha256", "width", "height", "mask"]
MASK_SHA256, BOXES_SHA256 = "mask_sha256", "boxes_sha256"
PICTURE_SHA256 = "picture_sha256"
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
        """Hash of the table without hashes of masks and boxes: pictures' hashes, labels, groups and splits."""
        return self.data_sha256("classification")

    def data_sha256(self, task: "Role") -> str:
        """Return the hash of `data_of(task)`.

        A manifest of an earlier version has no masks' hashes, see `is_without_mask_hashes`; then it is `sha256`.
        """
        return hashlib.sha256(self.data_of(task).to_csv(index=False).encode()).hexdigest()

    def data_of(self, task: "Role") -> pd.DataFrame:
        """Return the table of what a model of that task is made from.

        Masks' hashes are a part of segmentation alone, those of boxes of detection.
        """
        others = {"segmentation": MASK_SHA256, "detection": BOXES_SHA256}
        others.pop(task, None)
        return self.table.drop(columns=[*others.values()], errors="ignore")

    @property
    def is_without_mask_hashes(self) -> bool:
        """Whether masks are there whose changes no hash would show."""
        return MASK_SHA256 not in self.table.columns and bool((self.table["mask"] != "").any())

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
