"""Cut what the boxes of a picture hold out of it, as the service cuts what a detector found."""

import hashlib
import io
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset.boxes import BoxesOfPicture
from dataset.manifest import ATTRIBUTE_PREFIX, COLUMNS, PICTURE_SHA256, ManifestError
from dataset.outputs.originals import OriginalError, read_original
from dataset.params import CropParams
from runtime.formats.stored import part
from runtime.model.crops import crop_box, is_too_small
from runtime.model.errors import ImageError
from runtime.model.image import open_for_resizing
from runtime.model.preprocess import Box

Row = dict[Hashable, Any]


class Cut(NamedTuple):
    """What was cut out of one picture. rows: of the crops. too_small: boxes of too few pixels for a crop."""

    rows: list[Row]
    too_small: int


class Cutter(NamedTuple):
    """Cuts crops out of the pictures below `root` and writes them below `staging`; may be asked from any thread.

    objects: names by number. max_value: of deep pictures, as the data set's description has it.
    """

    root: Path
    staging: Path
    objects: tuple[str, ...]
    params: CropParams
    max_value: int | None

    def cut(self, row: Row, found: BoxesOfPicture) -> Cut:
        """Write the crops of one picture and return their rows.

        row: of the picture in its manifest. found: its boxes in its own pixels. A training picture's are cut out once
        more for each of `params.jittered`, with moved sides. Raises ManifestError for a picture that can no longer be
        read.
        """
        wanted = np.flatnonzero(~found.ignored).tolist()
        if not wanted:
            return Cut([], 0)
        picture, profile = _open(self.root / row["path"], self.max_value)
        num_moved = self.params.jittered if row["split"] == "train" and self.params.jitter else 0
        rows, too_small = [], 0
        for number in wanted:
            # By its picture's path and not by its object, whose name may be no name of a file.
            name, true = f"{row['path']}-{number}", _box(found.corners[number])
            place = crop_box(true, self.params.margin, picture.size)
            if is_too_small(place):
                too_small += 1
                continue
            places = {f"{name}.png": place}
            for repeat, moved in enumerate(_moved(name, true, self.params.jitter, num_moved), start=1):
                place = crop_box(moved, self.params.margin, picture.size)
                if not is_too_small(place):
                    places[f"{name}-moved{repeat}.png"] = place
            label = self.objects[found.objects[number]]
            rows += [self._write(path, part(picture, *at), profile, row, label) for path, at in places.items()]
        return Cut(rows, too_small)

    def _write(self, path: str, crop: Image.Image, profile: bytes, row: Row, label: str) -> Row:
        """Write one crop, with its picture's colours as they are stored, and return its row; row: of its picture."""
        buffer = io.BytesIO()
        # Of the pixels alone: what else the picture's file said is no part of a crop.
        Image.fromarray(np.asarray(crop)).save(buffer, "PNG", icc_profile=profile)
        target = self.staging / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(buffer.getvalue())
        facts = {"path": path, "label": label, "sha256": hashlib.sha256(buffer.getvalue()).hexdigest()}
        size = {"width": crop.width, "height": crop.height, "mask": "", PICTURE_SHA256: row["sha256"]}
        kept = {name: value for name, value in row.items() if name in COLUMNS or str(name).startswith(ATTRIBUTE_PREFIX)}
        return kept | facts | size


def _moved(name: str, box: Box, jitter: float, number: int) -> Iterator[Box]:
    """Yield boxes whose sides are moved by up to `jitter` of the width or height, in- or outwards.

    name: decides by how much, so that the same box is moved in the same way whatever else is cut.
    """
    rng = np.random.default_rng(list(hashlib.sha256(name.encode()).digest()))
    left, top, right, bottom = box
    sides = np.asarray((right - left, bottom - top) * 2)
    for _ in range(number):
        yield _box(np.asarray(box) + rng.uniform(-jitter, jitter, 4) * sides)


def _box(corners: NDArray[np.floating]) -> Box:
    left, top, right, bottom = corners.tolist()
    return left, top, right, bottom


def _open(path: Path, max_value: int | None) -> tuple[Image.Image, bytes]:
    """Return a picture as the service opens one that crops are cut from, and its colour profile."""
    try:
        image, profile, _ = open_for_resizing(read_original(path), None, None, max_value)
    except (OriginalError, ImageError) as exc:
        raise ManifestError(f"the picture {path} can no longer be read ({exc}); run `make data` again") from exc
    return image, profile
