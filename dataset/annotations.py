"""Read what a manifest says of a picture beside its class: the mask that says which of its pixels are of which region.

A mask as loading writes it is a PNG of one uint8 channel, of its picture's upright size: 0 is background, `i + 1` is
`regions[i]` of `data/description.json`, and 255 is ignored, since nobody knows what is there.

One rule holds everywhere, from training to the report: at the model's size a pixel is marked where more than half of
it is, and of the region that has the most of it; where more than half is ignored, it is ignored. Half keeps the marked
area when a mask is made smaller; a lower share would make every region larger by its own edge, and training,
evaluation and the share of defect would speak of different areas.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dataset.description import find_description
from dataset.manifest import Manifest, ManifestError
from runtime.model.contract import ModelContract, SegmentationContract
from runtime.model.preprocess import WHOLE, View, placement, preprocess

BACKGROUND, IGNORED = 0, 255
MAX_REGIONS = IGNORED - 1
_HALF = 128  # of 255: above it are shares of more than half, and not the bars that preprocess adds
_AGAIN = "run `make data` again"

MaskArray = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
MarkedArray = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def read_mask(path: Path) -> MaskArray:
    """Return `(height, width)` uint8 of a mask's file, as loading wrote it: see the module's docstring.

    Raises ManifestError naming the file if it is gone, damaged or none that loading wrote.
    """
    try:
        with Image.open(path) as image:
            if image.format != "PNG" or image.mode != "L":
                kind = f"{image.format} of mode {image.mode}"
                raise ManifestError(f"the mask {path} is none that loading wrote, but {kind}; {_AGAIN}")
            return np.asarray(image)
    except FileNotFoundError as exc:
        raise ManifestError(f"the mask {path} can no longer be read ({exc}); {_AGAIN}") from exc
    except (OSError, SyntaxError, Image.DecompressionBombError) as exc:
        raise ManifestError(f"the mask {path} cannot be read: {exc}; {_AGAIN}") from exc


def write_mask(path: Path, mask: MaskArray) -> None:
    """Write what `read_mask` reads; folders are made. mask: `(height, width)` uint8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path, "PNG")


def marked(mask: MaskArray) -> MarkedArray:
    """Return where a mask marks any region."""
    return np.asarray((mask != BACKGROUND) & (mask != IGNORED))


def read_mask_for_model(path: Path, contract: ModelContract, view: View = WHOLE) -> MaskArray:
    """Return `(contract.height, contract.width)` uint8: `mask_for_model` of a mask's file, by the file's numbers.

    Raises ManifestError as `read_mask` does.
    """
    return mask_for_model(read_mask(path), contract, view)


def mask_for_model(mask: MaskArray, contract: ModelContract, view: View = WHOLE) -> MaskArray:
    """Return `(contract.height, contract.width)` uint8: the mask where the model's input has the picture.

    mask: `(height, width)` uint8. view: the part of the picture that is looked at. The mask is resized as pictures
    are, so that both stay on each other whatever the rule; letterbox bars are ignored.
    """
    height, width = mask.shape
    if (height, width) == (contract.height, contract.width) and view == WHOLE:
        return mask
    values = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    regions = [int(value) for value in values if value not in (BACKGROUND, IGNORED)]
    planes = [*(mask == region for region in regions), mask == IGNORED]
    if len(regions) > 1:
        planes.append(marked(mask))
    shares = _resized(planes, contract, view)
    resized = np.zeros((contract.height, contract.width), dtype=np.uint8)
    if regions:
        nearest = np.asarray(regions, dtype=np.uint8)[shares[: len(regions)].argmax(axis=0)]
        any_region = shares[0] if len(regions) == 1 else shares[-1]
        resized = np.where(any_region > _HALF, nearest, resized)
    resized[shares[len(regions)] > _HALF] = IGNORED
    left, top, right, bottom = placement(width, height, contract, view).filled
    filled = np.full_like(resized, IGNORED)
    filled[top:bottom, left:right] = resized[top:bottom, left:right]
    return filled


def _resized(planes: Sequence[MarkedArray], contract: ModelContract, view: View) -> MaskArray:
    """Return `(n, contract.height, contract.width)` uint8: of each pixel the part that is true, 255 for all of it."""
    shares = []
    for first in range(0, len(planes), 3):
        three = planes[first : first + 3]
        rgb = np.zeros((*three[0].shape, 3), dtype=np.uint8)
        for channel, plane in enumerate(three):
            rgb[..., channel][plane] = 255
        shares += [*np.moveaxis(preprocess(rgb, contract, view), -1, 0)[: len(three)]]
    return np.stack(shares)


def regions_of(manifest: Manifest) -> tuple[str, ...]:
    """Return the names of what the masks of a manifest's data set mark; none for a data set without masks.

    Raises ManifestError if masks are there and nothing says what their values are: they were loaded by an earlier
    version, and 255, which marked a defect then, is ignored now.
    """
    if not (manifest.table["mask"] != "").any():
        return ()
    description = find_description(manifest.root)
    if description is None or "regions" not in description.model_fields_set:
        raise ManifestError(
            f"nothing in {manifest.root} says what the values of its masks mean, so they were loaded by an earlier "
            f"version of this program: {_AGAIN}"
        )
    return description.regions


class Masks:
    """The masks of a manifest's rows at the size that a model takes, in the numbers of that model's regions.

    A picture whose class is a region, but whose mask marks nothing or is not there, is ignored as a whole: the defect
    is there, and nobody has marked it, or it covers no pixel by half. Any other picture without a mask is background.
    `regions` are those of the contract, or of the data set where the contract has none; `regions[i]` is value `i + 1`.
    With a contract of merged regions, each of the data set's is value 1.
    """

    def __init__(self, manifest: Manifest, contract: ModelContract) -> None:
        """Take the rows of a manifest. Raises ManifestError for masks of an earlier version: see `regions_of`."""
        stated = regions_of(manifest)
        self.regions = contract.regions if isinstance(contract, SegmentationContract) else stated
        self._contract = contract
        self._root = manifest.root
        self._paths: list[str] = manifest.table["mask"].tolist()
        self._labels: list[str] = manifest.table["label"].tolist()
        self._marks: dict[int, bool] = {}
        # Of each value in a file: the model's, or -1 where there is none.
        self._values = np.full(256, -1, dtype=np.int16)
        self._values[[BACKGROUND, IGNORED]] = BACKGROUND, IGNORED
        merged = isinstance(contract, SegmentationContract) and contract.merged
        self._marked_classes = stated if merged else self.regions
        for value, name in enumerate(stated, start=1):
            if merged:
                self._values[value] = 1
            elif name in self.regions:
                self._values[value] = self.regions.index(name) + 1
        self._stated = stated

    def read(self, row: int, view: View = WHOLE) -> MaskArray:
        """Return `(contract.height, contract.width)` uint8 of the row at this position: 0, `i + 1` or 255.

        Raises ManifestError if the mask cannot be read or marks what is no region of the model.
        """
        if self._labels[row] in self._marked_classes and not self.marks_any(row):
            return np.full((self._contract.height, self._contract.width), IGNORED, dtype=np.uint8)
        return self._read(row, view)

    def marks_any(self, row: int) -> bool:
        """Tell whether the whole picture's mask marks a pixel at the model's size."""
        if row not in self._marks:
            self._marks[row] = bool(self._paths[row]) and bool(marked(self._read(row, WHOLE)).any())
        return self._marks[row]

    def _read(self, row: int, view: View) -> MaskArray:
        if not self._paths[row]:
            return np.zeros((self._contract.height, self._contract.width), dtype=np.uint8)
        path = self._root / self._paths[row]
        mask = read_mask_for_model(path, self._contract, view)
        values = self._values[mask]
        if values.min() < 0:
            raise ManifestError(self._unknown(path, int(mask[values < 0][0])))
        return values.astype(np.uint8)

    def _unknown(self, path: Path, value: int) -> str:
        if value <= len(self._stated):
            return (
                f"the mask {path} marks {self._stated[value - 1]}, which is none of the model's regions "
                f"({', '.join(self.regions)}): train again on these pictures"
            )
        return f"the mask {path} holds {value}, but the data set has {len(self._stated)} region(s); {_AGAIN}"
