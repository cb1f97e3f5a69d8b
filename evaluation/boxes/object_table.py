"""`objects.csv`: what is in each test picture and what was found there, from which all figures of boxes follow.

Two models can be compared by it without their predictions and without the data. Its columns are
`path,group,kind,object,score,left,top,right,bottom`. Rows of the kind `name` come first and name the model's objects.
Each picture begins with a row of the kind `picture`, or `unknown` where nobody knows where its object is, whose score
is the threshold that holds for it; then come the true boxes, `there` or `ignored`, and the candidates, `found`, the
best first. Boxes are in pixels of the picture.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from evaluation.boxes.matching import Truth
from evaluation.boxes.picture_boxes import PictureBoxes
from evaluation.document import EvaluationError
from evaluation.predicted_boxes import PredictedBoxes
from project.write_whole import write_whole

OBJECTS_FILE = "objects.csv"
_NAME, _PICTURE, _UNKNOWN, _THERE, _IGNORED, _FOUND = "name", "picture", "unknown", "there", "ignored", "found"
_KINDS = (_NAME, _PICTURE, _UNKNOWN, _THERE, _IGNORED, _FOUND)
_SIDES = ["left", "top", "right", "bottom"]
_COLUMNS = ["path", "group", "kind", "object", "score", *_SIDES]
_REMEDY = "run python -m evaluation.evaluate with --boxes"

TextArray = npt.NDArray[np.object_]
Row = tuple[str | float, ...]
Some = TypeVar("Some", Truth, PredictedBoxes)


@dataclass(frozen=True)
class ObjectTable:
    """N test pictures in the order of the predictions; paths, groups: `(N,)`. objects: the model's, by number."""

    paths: TextArray
    groups: TextArray
    objects: tuple[str, ...]
    pictures: tuple[PictureBoxes, ...]

    def write(self, path: Path) -> None:
        """Write the table whole or not at all."""
        rows: list[Row] = [("", "", _NAME, name, "", "", "", "", "") for name in self.objects]
        for name, group, picture in zip(self.paths, self.groups, self.pictures, strict=True):
            kind = _UNKNOWN if picture.is_unknown else _PICTURE
            rows.append((name, group, kind, "", picture.threshold, "", "", "", ""))
            rows += [(name, group, *rest) for rest in _boxes(picture, self.objects)]
        write_whole(path, pd.DataFrame(rows, columns=_COLUMNS).to_csv(index=False))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a table. Raises EvaluationError if it is missing or malformed."""
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
            kinds = table["kind"].to_numpy(dtype=object)
            if not np.isin(kinds.astype(str), _KINDS).all():
                raise ValueError(f"a kind is not one of {', '.join(_KINDS)}")
            numbers = table[["score", *_SIDES]].replace("", "nan").to_numpy(dtype=object).astype(np.float64)
            objects = tuple(table["object"][kinds == _NAME])
            position = {name: number for number, name in enumerate(objects)} | {"": -1}
            named = np.asarray([position[name] for name in table["object"]], dtype=np.int64)
            starts = np.flatnonzero((kinds == _PICTURE) | (kinds == _UNKNOWN))
            ends = [*starts[1:].tolist(), len(table)]
            pictures = tuple(
                _picture(kinds[first:end], named[first:end], numbers[first:end])
                for first, end in zip(starts.tolist(), ends, strict=True)
            )
            paths, groups = (table[name].to_numpy(dtype=object)[starts] for name in ("path", "group"))
            return cls(paths, groups, objects, pictures)
        except OSError as exc:
            raise EvaluationError(f"cannot read {path}: {exc.strerror}; {_REMEDY}") from exc
        except (KeyError, ValueError) as exc:
            raise EvaluationError(f"{path} is no table of objects: {exc}; {_REMEDY}") from exc

    def take(self, rows: npt.NDArray[np.intp]) -> Self:
        """Return the pictures at `rows`, in that order."""
        pictures = tuple(self.pictures[row] for row in rows)
        return type(self)(self.paths[rows], self.groups[rows], self.objects, pictures)

    def known(self) -> Self:
        """Return the pictures of which somebody knows where the objects are."""
        return self.take(np.flatnonzero([not one.is_unknown for one in self.pictures]))

    def at(self, paths: Sequence[str]) -> Self:
        """Return the pictures of these paths, in that order; all must be there."""
        place = {path: row for row, path in enumerate(self.paths)}
        return self.take(np.asarray([place[path] for path in paths], dtype=np.intp))

    def in_order_of(self, objects: tuple[str, ...]) -> Self:
        """Return the same with the objects numbered in another order; boxes of others than these are left out."""
        numbers = np.asarray([objects.index(name) if name in objects else -1 for name in self.objects])
        pictures = tuple(
            one._replace(truth=_renumbered(one.truth, numbers), found=_renumbered(one.found, numbers))
            for one in self.pictures
        )
        return type(self)(self.paths, self.groups, objects, pictures)


def _renumbered(boxes: Some, numbers: npt.NDArray[np.int64]) -> Some:
    taken = boxes.take(np.flatnonzero(numbers[boxes.objects] >= 0))
    return taken._replace(objects=numbers[taken.objects])


def _boxes(picture: PictureBoxes, names: tuple[str, ...]) -> Iterator[Row]:
    """Give the rows of one picture's boxes, without its path and group."""
    truth, found = picture.truth, picture.found
    for corners, number, ignored in zip(*truth, strict=True):
        yield (_IGNORED if ignored else _THERE, names[number], "", *np.round(corners, 3).tolist())
    for corners, score, number in zip(*found, strict=True):
        yield (_FOUND, names[number], score, *np.round(corners, 3).tolist())


def _picture(
    kinds: TextArray, objects: npt.NDArray[np.int64], numbers: npt.NDArray[np.float64]
) -> PictureBoxes:  # fmt: skip
    """Return one picture, whose first row is its own. Raises ValueError if a box has no object or is none."""
    there, found = np.isin(kinds, (_THERE, _IGNORED)), kinds == _FOUND
    corners = numbers[:, 1:]
    boxes = there | found
    if (objects[boxes] < 0).any() or not (corners[boxes, 2:] >= corners[boxes, :2]).all():  # false for NaN
        raise ValueError("a box has no object, or not left <= right and top <= bottom")
    if not np.isfinite(numbers[found | (np.arange(len(kinds)) == 0), 0]).all():
        raise ValueError("a box or a picture has no score")
    return PictureBoxes(
        Truth(corners[there], objects[there], kinds[there] == _IGNORED),
        PredictedBoxes(corners[found], numbers[found, 0], objects[found]),
        float(numbers[0, 0]),
        bool(kinds[0] == _UNKNOWN),
    )
