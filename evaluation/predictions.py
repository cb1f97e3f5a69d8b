"""What a model said of every validation and test image, as one table that all evaluation starts from.

`predictions.csv` has the columns `path`, `label`, `group`, `split`, `predicted`, then `probability.<class>` for every
class in the contract's order, then `attributes.<name>`. Reading refuses a table that contradicts itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset.checks import named
from dataset.manifest import ATTRIBUTE_PREFIX, SPLITS
from project.write_whole import write_whole

PREDICTIONS_FILE = "predictions.csv"
NOT_COMPARED_FILE = "not_compared.txt"  # in place of predictions of the leaking split: why there are none
COLUMNS = ["path", "label", "group", "split", "predicted"]
PROBABILITY_PREFIX = "probability."
# A softmax in 32-bit floats over a thousand classes sums to 1 within 1e-5.
_SUM_TOLERANCE = 1e-4

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
TextArray = npt.NDArray[np.object_]


class PredictionsError(ValueError):
    """A table of predictions that cannot be used; the message names the file or the rows."""


@dataclass(frozen=True)
class Predictions:
    """N images with their labels and the model's probabilities.

    paths, groups, splits: `(N,)` str. labels: `(N,)` int64, an index into `classes`. probs: `(N, C)` float64 in
    [0, 1], rows sum to 1. attributes: N rows of text, one column an attribute, names without a prefix.
    Raises PredictionsError if there is no image, a path occurs twice, a label or split is unknown, or a row of
    probabilities is not a distribution.
    """

    paths: TextArray
    labels: IntArray
    groups: TextArray
    splits: TextArray
    probs: FloatArray
    classes: tuple[str, ...]
    attributes: pd.DataFrame

    def __post_init__(self) -> None:
        _check_shapes(self)
        _check_rows(self)

    @property
    def predicted(self) -> IntArray:
        """`(N,)` index of the most probable class; the first of them if several are equal."""
        return np.asarray(self.probs.argmax(axis=1), dtype=np.int64)

    def select(self, split: str) -> Self:
        """Return the images of one split, in order. Raises PredictionsError if there is none."""
        rows = np.flatnonzero(self.splits == split)
        if not rows.size:
            found = ", ".join(sorted(set(self.splits)))
            raise PredictionsError(f"there are no predictions for split '{split}', only for: {found}")
        return self.take(rows)

    def take(self, rows: npt.NDArray[np.intp]) -> Self:
        """Return the images at `rows`, `(M,)` positions, in that order."""
        return type(self)(
            self.paths[rows],
            self.labels[rows],
            self.groups[rows],
            self.splits[rows],
            self.probs[rows],
            self.classes,
            self.attributes.iloc[rows].reset_index(drop=True),
        )

    @classmethod
    def from_table(cls, manifest_rows: pd.DataFrame, probs: npt.ArrayLike, classes: Sequence[str]) -> Self:
        """Put a model's probabilities beside the manifest rows they belong to, row for row.

        manifest_rows: N rows with `path`, `label`, `group`, `split` and `attributes.<name>` columns.
        probs: `(N, C)`, columns in the order of `classes`. Raises PredictionsError if the two do not fit.
        """
        return cls(
            manifest_rows["path"].to_numpy(dtype=object),
            _class_ids(manifest_rows["label"], manifest_rows["path"], tuple(classes)),
            manifest_rows["group"].to_numpy(dtype=object),
            manifest_rows["split"].to_numpy(dtype=object),
            np.asarray(probs, dtype=np.float64),
            tuple(classes),
            _attributes(manifest_rows),
        )

    def write(self, path: Path) -> None:
        """Write the CSV whole or not at all; reading it back gives the same numbers to the last bit."""
        names = np.asarray(self.classes, dtype=object)
        columns = {"path": self.paths, "label": names[self.labels], "group": self.groups, "split": self.splits}
        columns["predicted"] = names[self.predicted]
        probs = pd.DataFrame(self.probs, columns=[PROBABILITY_PREFIX + name for name in self.classes])
        table = pd.concat([pd.DataFrame(columns), probs, self.attributes.add_prefix(ATTRIBUTE_PREFIX)], axis=1)
        write_whole(path, table.to_csv(index=False))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read `predictions.csv`. Raises PredictionsError if it is missing, malformed or contradicts itself."""
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
        except (OSError, ValueError) as exc:
            raise PredictionsError(f"cannot read the predictions {path}: {exc}") from exc
        try:
            return cls._from_text(table)
        except PredictionsError as exc:
            raise PredictionsError(f"{path}: {exc}") from exc

    @classmethod
    def _from_text(cls, table: pd.DataFrame) -> Self:
        columns = [c for c in table.columns if c.startswith(PROBABILITY_PREFIX)]
        missing = [c for c in COLUMNS if c not in table.columns]
        if missing or not columns:
            raise PredictionsError(f"column(s) missing: {', '.join(missing or [PROBABILITY_PREFIX + '<class>'])}")
        try:
            probs = table[columns].astype(np.float64).to_numpy()
        except ValueError as exc:
            raise PredictionsError(f"a probability is not a number: {exc}") from exc
        read = cls.from_table(table, probs, [c.removeprefix(PROBABILITY_PREFIX) for c in columns])
        stated = _class_ids(table["predicted"], table["path"], read.classes)
        rows = np.arange(len(stated))
        wrong = read.probs[rows, stated] < read.probs.max(axis=1)
        if wrong.any():
            raise PredictionsError(f"'predicted' is not the most probable class for {named(list(read.paths[wrong]))}")
        return read


def pool(parts: list[Predictions]) -> Predictions:
    """Join predictions of disjoint sets of pictures. Raises PredictionsError if a picture is in two of them."""
    first = parts[0]
    return Predictions(
        np.concatenate([part.paths for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.groups for part in parts]),
        np.concatenate([part.splits for part in parts]),
        np.concatenate([part.probs for part in parts]),
        first.classes,
        pd.concat([part.attributes for part in parts], ignore_index=True),
    )


def _attributes(table: pd.DataFrame) -> pd.DataFrame:
    columns = [c for c in table.columns if c.startswith(ATTRIBUTE_PREFIX)]
    return table[columns].rename(columns=lambda c: c.removeprefix(ATTRIBUTE_PREFIX)).reset_index(drop=True)


def _class_ids(names: pd.Series, paths: pd.Series, classes: tuple[str, ...]) -> IntArray:
    position = {name: index for index, name in enumerate(classes)}
    unknown = ~names.isin(classes).to_numpy(dtype=bool)
    if unknown.any():
        got = ", ".join(sorted({repr(name) for name in names[unknown]}))
        rows = named(list(paths[unknown]))
        raise PredictionsError(f"{got} is no class of the model ({', '.join(classes)}), in the row(s) of {rows}")
    return np.asarray([position[name] for name in names], dtype=np.int64)


def _check_shapes(predictions: Predictions) -> None:
    num_images, num_classes = len(predictions.paths), len(predictions.classes)
    if not num_images:
        raise PredictionsError("there is no prediction")
    if num_classes < 2 or len(set(predictions.classes)) != num_classes:
        raise PredictionsError(f"expected two or more distinct classes, got {predictions.classes}")
    if predictions.probs.shape != (num_images, num_classes):
        raise PredictionsError(
            f"expected probabilities of shape {num_images, num_classes}, got {predictions.probs.shape}"
        )
    lengths = {len(predictions.labels), len(predictions.groups), len(predictions.splits), len(predictions.attributes)}
    if lengths != {num_images}:
        raise PredictionsError(f"expected {num_images} values in every column, got {sorted(lengths)}")


def _check_rows(predictions: Predictions) -> None:
    paths, probs = predictions.paths, predictions.probs
    unique, counts = np.unique(paths.astype(str), return_counts=True)
    if (counts > 1).any():
        raise PredictionsError(f"more than one row for {named(list(unique[counts > 1]))}")
    ungrouped = predictions.groups == ""
    if ungrouped.any():
        raise PredictionsError(f"no group is stated for {named(list(paths[ungrouped]))}")
    foreign = ~np.isin(predictions.splits.astype(str), SPLITS)
    if foreign.any():
        raise PredictionsError(f"the split is not one of {', '.join(SPLITS)} for {named(list(paths[foreign]))}")
    outside = ~((probs >= 0) & (probs <= 1 + _SUM_TOLERANCE)).all(axis=1)  # true for NaN
    if outside.any():
        raise PredictionsError(f"probabilities are not finite or not in [0, 1] for {named(list(paths[outside]))}")
    sums = probs.sum(axis=1)
    wrong = np.abs(sums - 1) > _SUM_TOLERANCE
    if wrong.any():
        raise PredictionsError(f"probabilities sum to {sums[wrong][0]:.4f}, not 1, for {named(list(paths[wrong]))}")
