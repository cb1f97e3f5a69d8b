"""Folders of pictures for benchmarks: drawn in any size, or those of a manifest laid out as torchvision wants them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dataset.manifest import Manifest
from runtime.model.hashing import file_sha256

CLASSES = ("a", "b")
QUALITY = 90
PictureSet = tuple[str, Manifest, Path]  # what it is called, its manifest, and the folder with one folder a class


def draw_folder(parent: Path, width: int, height: int, number: int) -> PictureSet:
    """Draw JPEGs with gradients and texture of several grains: about 2 bits a pixel, as photographs have."""
    name = f"{width} x {height}"
    folder = parent / f"{width}x{height}"
    texture = _texture(width, height)
    rows = []
    for i in range(number):
        path = folder / CLASSES[i % 2] / f"{i:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        # Rolled, every picture is another file and costs the same.
        Image.fromarray(np.roll(texture, (7 * i, 13 * i), axis=(0, 1))).save(path, quality=QUALITY)
        rows.append(_row(path, path.parent.name, width, height))
    return name, _manifest(rows, parent), folder


def as_folder(manifest: Manifest, folder: Path) -> PictureSet:
    """Link a manifest's pictures into one folder for each class, under names that cannot collide."""
    for i, (path, label) in enumerate(zip(manifest.table["path"], manifest.table["label"], strict=True)):
        source = (manifest.root / path).resolve()
        link = folder / label / f"{i:06}{source.suffix}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(source)
    return f"{len(manifest.table)} of the data set", manifest, folder


def _texture(width: int, height: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    rng = np.random.default_rng(0)
    image = np.repeat(np.linspace(60, 190, width, dtype=np.float32)[None], height, axis=0)[..., None].repeat(3, axis=2)
    for grain in (2, 8, 32, 128):
        noise = rng.normal(0, 10, (height // grain + 1, width // grain + 1, 3)).astype(np.float32)
        image += noise.repeat(grain, axis=0).repeat(grain, axis=1)[:height, :width]
    return image.clip(0, 255).astype(np.uint8)


def _row(path: Path, label: str, width: int, height: int) -> dict[str, str | int]:
    return {
        "path": str(path), "label": label, "group": path.stem, "split": "train", "split_by_image": "train",
        "sha256": file_sha256(path), "width": width, "height": height, "mask": "",
    }  # fmt: skip


def _manifest(rows: Sequence[dict[str, str | int]], parent: Path) -> Manifest:
    table = pd.DataFrame(rows)
    table["path"] = [str(Path(path).relative_to(parent)) for path in table["path"]]
    return Manifest(table, parent)
