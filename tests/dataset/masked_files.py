"""Folders of pictures with masks, drawn for a test, and the two commands that read them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dataset import load, source
from dataset.annotations import read_mask
from dataset.boxes import AnnotatedBox, boxes_file
from dataset.description import DataDescription
from dataset.manifest import Manifest
from tests.dataset.picture_files import save, texture

HEIGHT, WIDTH = 24, 32


class MaskedFolder:
    """`root/images` and `root/masks`, and what loading them gives."""

    def __init__(self, tmp_path: Path) -> None:
        self.root, self.data = tmp_path / "parts", tmp_path / "data"
        self._seed = 0

    def add(self, name: str, mask: np.ndarray | None = None, suffix: str = ".png") -> None:
        """Draw a picture `name` (without an ending), and its mask where one is given."""
        self._seed += 1
        save(self.root / "images" / f"{name}.png", texture(self._seed, HEIGHT, WIDTH))
        if mask is not None:
            save(self.root / "masks" / f"{name}{suffix}", mask.astype(np.uint8))

    def name(self, text: str) -> None:
        """Write the class map."""
        (self.root / "masks").mkdir(parents=True, exist_ok=True)
        (self.root / "masks" / "classes.csv").write_text(text, encoding="utf-8")

    def load(self, *options: str) -> int:
        """Run `dataset.source` and `dataset.load`; return the exit status of the first that fails, or 0."""
        noted = self.data / "source.yaml"
        if status := source.main([str(self.root), *options, "--out", str(noted)]):
            return status
        params = self.data / "params.yaml"
        params.write_text("contract: {max_value: auto}\ndata: {near_duplicate_correlation: 0.99}\n")
        return load.main(["--source", str(noted), "--data", str(self.data), "--params", str(params)])

    def refused(self, capsys: pytest.CaptureFixture[str], *options: str) -> str:
        """Load, which must fail for what the user gave; return what is said."""
        assert self.load(*options) == 2
        return capsys.readouterr().err

    @property
    def table(self) -> pd.DataFrame:
        """Rows by the picture's path below `images/`."""
        table = Manifest.read(self.data / "pictures.csv").table
        return table.set_index(table["path"].str.removeprefix("pictures/images/"))

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.table["label"])

    @property
    def description(self) -> DataDescription:
        return DataDescription.read(self.data)

    @property
    def boxes(self) -> dict[str, list[AnnotatedBox]]:
        """Boxes by the picture's path below `images/`, in the order of the file."""
        found: dict[str, list[AnnotatedBox]] = {}
        for path, name, *corners, ignored in pd.read_csv(boxes_file(self.data)).itertuples(index=False):
            box = AnnotatedBox(name, tuple(corners), bool(ignored))
            found.setdefault(path.removeprefix("pictures/images/"), []).append(box)
        return found

    def mask(self, name: str) -> np.ndarray:
        return read_mask(self.data / self.table["mask"][name])


def marks(**values: int | tuple[int, int]) -> np.ndarray:
    """Return `(HEIGHT, WIDTH)` of 0 with quarters of values: `upper_left`, `lower_right`, ..."""
    mask = np.zeros((HEIGHT, WIDTH), np.int32)
    for quarter, value in values.items():
        top, left = quarter.split("_")
        rows = slice(0, HEIGHT // 2) if top == "upper" else slice(HEIGHT // 2, HEIGHT)
        columns = slice(0, WIDTH // 2) if left == "left" else slice(WIDTH // 2, WIDTH)
        mask[rows, columns] = value
    return mask


def turned(path: Path, pixels: np.ndarray, orientation: int = 6) -> None:
    """Save a picture that its EXIF orientation turns."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, exif=exif)
