"""Read which objects a manifest's pictures hold and where: `data/pictures/boxes.csv`, as loading writes it.

Its columns are `path` (as in `data/pictures.csv`), `object` (a name of `objects` in `data/description.json`), `left`,
`top`, `right` and `bottom` (pixels of the upright picture, from its upper left corner, up to 3 decimals) and `ignored`
(1 where nobody is asked to find the object: crowds, difficult ones, and what nobody knows).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dataset.description import find_description
from dataset.manifest import Manifest, ManifestError
from dataset.outputs.pipeline import PICTURES_DIR
from project.write_whole import write_whole
from runtime.model.contract import DetectionContract, ModelContract
from runtime.model.preprocess import WHOLE, View, placement

BOXES_CSV = "boxes.csv"
SIDES = ["left", "top", "right", "bottom"]
COLUMNS = ["path", "object", *SIDES, "ignored"]
MAX_OBJECTS = 256  # what a contract names
LEAST_SEEN = 0.25  # of a box's area: of less, a view shows too little to tell what it is
DECIMALS = 3
_AGAIN = "run `make data` again"

Corners = NDArray[np.float64]


class AnnotatedBox(NamedTuple):
    """One row of the file, without its path. corners: left, top, right and bottom in pixels of the picture."""

    object: str
    corners: tuple[float, float, float, float]
    ignored: bool = False


class BoxesOfPicture(NamedTuple):
    """The boxes of one picture, in the order of the file.

    corners: `(n, 4)` float32, left, top, right and bottom in pixels. objects: `(n,)` uint8, the number of each box's
    object among the names. ignored: `(n,)` bool, where the object need not be found: neither a hit nor a miss there.
    """

    corners: NDArray[np.float32]
    objects: NDArray[np.uint8]
    ignored: NDArray[np.bool_]


class _Rows(NamedTuple):
    """The file's rows of one picture. objects: numbers among the data set's names."""

    corners: Corners
    objects: NDArray[np.int64]
    ignored: NDArray[np.bool_]


def boxes_file(data_dir: Path) -> Path:
    """Return where the boxes of a data set lie. data_dir: of its description."""
    return data_dir / PICTURES_DIR / BOXES_CSV


def write_boxes(data_dir: Path, boxes: Iterable[tuple[str, AnnotatedBox]]) -> None:
    """Write the file of a data set's boxes, whole or not at all. boxes: each with its picture's path."""
    rows = [(path, box.object, *map(_number, box.corners), int(box.ignored)) for path, box in boxes]
    write_whole(boxes_file(data_dir), pd.DataFrame(rows, columns=COLUMNS).to_csv(index=False))


def _number(value: float) -> str:
    return f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")


def objects_of(manifest: Manifest) -> tuple[str, ...]:
    """Return the names of what the boxes of a manifest's data set hold, sorted; none for a data set without boxes.

    Raises ManifestError if boxes are to be expected and nothing says what they hold: the pictures were loaded by an
    earlier version, which made none.
    """
    description = find_description(manifest.root)
    if description is not None and "objects" in description.model_fields_set:
        return description.objects
    if (manifest.table["mask"] != "").any() or boxes_file(manifest.root).is_file():
        raise ManifestError(
            f"nothing in {manifest.root} says which objects its pictures hold, so they were loaded by an earlier "
            f"version of this program: {_AGAIN}"
        )
    return ()


class Boxes:
    """The boxes of a manifest's rows, in the numbers of a model's objects.

    A picture whose class is an object, but which has no box, is ignored as a whole: the object is there, and nobody has
    said where. Any other picture without a box holds nothing. `objects` are those of the contract, or of the data set
    where the contract has none; with a contract of merged objects, each of the data set's has the number 0.
    """

    def __init__(self, manifest: Manifest, contract: ModelContract | None = None) -> None:
        """Take the rows of a manifest. contract: the model's; None where no model is asked, and nothing is `read`.

        Raises ManifestError for boxes that cannot be read, or were never made."""
        stated = objects_of(manifest)
        is_detector = isinstance(contract, DetectionContract)
        merged = isinstance(contract, DetectionContract) and contract.merged
        self.objects: tuple[str, ...] = contract.objects if isinstance(contract, DetectionContract) else stated
        self._classes = stated if merged or not is_detector else self.objects
        self._contract = contract
        self._stated = stated
        self._path = boxes_file(manifest.root)
        self._paths: list[str] = manifest.table["path"].tolist()
        self._labels: list[str] = manifest.table["label"].tolist()
        self._sizes = manifest.table[["width", "height"]].to_numpy().tolist()
        self._rows = _read(self._path, stated)
        # Of each of the data set's numbers: the model's, or -1 where there is none.
        known = [0 if merged else self.objects.index(name) if name in self.objects else -1 for name in stated]
        self._numbers = np.asarray(known, dtype=np.int64)

    def read(self, row: int, view: View = WHOLE) -> BoxesOfPicture:
        """Return the boxes of the row at this position in pixels of the model's input, cut off at what is seen.

        view: the part of the picture that is looked at. Boxes outside it are left out; those of which less than
        `LEAST_SEEN` of the area lies in it are ignored. Raises ManifestError for a box of what is no object of the
        model.
        """
        assert self._contract is not None
        width, height = self._sizes[row]
        place = placement(width, height, self._contract, view)
        boxes = self._of(row)
        seen = np.asarray(place.taken, dtype=np.float64)
        cut = boxes.corners.reshape(-1, 2, 2).clip(seen[:2], seen[2:])
        shares = _areas(cut.reshape(-1, 4)) / _areas(boxes.corners)
        left, top, right, bottom = place.filled
        placed = (cut - seen[:2]) * ((right - left, bottom - top) / (seen[2:] - seen[:2])) + (left, top)
        kept = shares > 0
        return BoxesOfPicture(
            placed.reshape(-1, 4)[kept].astype(np.float32),
            boxes.objects[kept].astype(np.uint8),
            (boxes.ignored | (shares < LEAST_SEEN))[kept],
        )

    def in_picture(self, row: int) -> BoxesOfPicture:
        """Return the boxes of the row at this position in pixels of the picture itself. Raises as `read` does."""
        boxes = self._of(row)
        return BoxesOfPicture(boxes.corners.astype(np.float32), boxes.objects.astype(np.uint8), boxes.ignored)

    def _of(self, row: int) -> _Rows:
        """Return a row's boxes in the model's numbers."""
        found = self._rows.get(self._paths[row])
        if found is None:
            return self._unmarked(row)
        objects = self._numbers[found.objects]
        if objects.min() < 0:
            unknown = self._stated[int(found.objects[objects < 0][0])]
            raise ManifestError(
                f"{self._path} has a box of {unknown} in {self._paths[row]}, which is none of the model's objects "
                f"({', '.join(self.objects)}): train again on these pictures"
            )
        return _Rows(found.corners, objects, found.ignored)

    def _unmarked(self, row: int) -> _Rows:
        """Return what is known of a picture without a box: nothing in it, or all of it is ignored for every object."""
        number = len(self.objects) if self._labels[row] in self._classes else 0
        whole = np.tile(np.asarray([0, 0, *self._sizes[row]], dtype=np.float64), (number, 1))
        return _Rows(whole, np.arange(number), np.ones(number, dtype=bool))


def _areas(corners: Corners) -> Corners:
    return np.asarray((corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1]))


def _read(path: Path, objects: tuple[str, ...]) -> dict[str, _Rows]:
    """Return the rows of each picture that has any; none for a data set without objects. Raises ManifestError."""
    if not objects:
        return {}
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as exc:
        raise ManifestError(f"cannot read the boxes {path}: {exc}; {_AGAIN}") from exc
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise ManifestError(f"{path} is none that loading wrote: column(s) {', '.join(missing)} missing; {_AGAIN}")
    corners = table[SIDES].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    numbers = table["object"].map({name: number for number, name in enumerate(objects)})
    is_good = (corners[:, 2:] > corners[:, :2]).all(axis=1) & np.isfinite(corners).all(axis=1)
    is_good &= numbers.notna().to_numpy() & table["ignored"].isin(["0", "1"]).to_numpy()
    if not is_good.all():
        line = int(np.flatnonzero(~is_good)[0]) + 2  # the header is line 1
        raise ManifestError(f"{path}, line {line}: no box of {', '.join(objects)}, as loading writes them; {_AGAIN}")
    codes, ignored = numbers.to_numpy().astype(np.int64), (table["ignored"] == "1").to_numpy()
    at = {str(name): np.asarray(rows) for name, rows in table.groupby("path").indices.items()}
    return {name: _Rows(corners[rows], codes[rows], ignored[rows]) for name, rows in at.items()}
