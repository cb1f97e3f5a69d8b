"""`regions.csv`: how many pixels of each region are right, answered and true in each test picture.

All figures of overlap follow from it, so that two models can be compared without their maps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from evaluation.document import EvaluationError
from evaluation.outlines.picture_sums import FOUND, OVERLAP, THERE
from project.write_whole import write_whole

REGIONS_FILE = "regions.csv"
_COUNTS = {"overlap_px": OVERLAP, "found_px": FOUND, "there_px": THERE}  # in the order of `pixels`
_REMEDY = "run python -m evaluation.evaluate with --maps"

IntArray = npt.NDArray[np.int64]
TextArray = npt.NDArray[np.object_]


@dataclass(frozen=True)
class RegionTable:
    """N test pictures in the order of the predictions.

    paths, groups: `(N,)`. known_px: `(N,)` pixels that count, 0 where nobody knows any. pixels: `(N, 1 + R, 3)` pixels
    that overlap, are answered and are true, of any region and of each of `regions`.
    """

    paths: TextArray
    groups: TextArray
    regions: tuple[str, ...]
    known_px: IntArray
    pixels: IntArray

    def write(self, path: Path) -> None:
        """Write one row a picture: path, group, known_px, then three counts of any region and of each region."""
        table = pd.DataFrame({"path": self.paths, "group": self.groups, "known_px": self.known_px})
        names = _columns(self.regions)
        counts = pd.DataFrame(self.pixels.reshape(len(self.paths), len(names)), columns=names)
        write_whole(path, pd.concat([table, counts], axis=1).to_csv(index=False))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a table. Raises EvaluationError if it is missing or malformed."""
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
            last = f".{next(iter(_COUNTS))}"
            regions = tuple(name.removesuffix(last) for name in table.columns if name.endswith(last))
            names = _columns(regions)
            counts = table[names].astype(np.int64).to_numpy().reshape(len(table), 1 + len(regions), 3)
            known = table["known_px"].to_numpy(dtype=object).astype(np.int64)
            return cls(
                table["path"].to_numpy(dtype=object), table["group"].to_numpy(dtype=object), regions, known, counts
            )
        except OSError as exc:
            raise EvaluationError(f"cannot read {path}: {exc.strerror}; {_REMEDY}") from exc
        except (KeyError, ValueError) as exc:
            raise EvaluationError(f"{path} is no table of outlined pixels: {exc}; {_REMEDY}") from exc

    def take(self, rows: npt.NDArray[np.intp]) -> Self:
        """Return the pictures at `rows`, in that order."""
        return type(self)(self.paths[rows], self.groups[rows], self.regions, self.known_px[rows], self.pixels[rows])

    def at(self, paths: Sequence[str]) -> Self:
        """Return the pictures of these paths, in that order; all must be there."""
        place = {path: row for row, path in enumerate(self.paths)}
        return self.take(np.asarray([place[path] for path in paths], dtype=np.intp))


def _columns(regions: Sequence[str]) -> list[str]:
    return [*_COUNTS, *(f"{name}.{count}" for name in regions for count in _COUNTS)]
