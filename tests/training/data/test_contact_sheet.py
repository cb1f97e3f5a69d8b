"""The sheet shows what training sees: plain pictures as they are, augmented ones changed, mixed ones with targets."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataset.manifest import Manifest
from runtime.model.contract import ClassificationContract
from runtime.model.image import ImageArray
from training.batch_params import AugmentParams
from training.data.augmentation import Augmentation
from training.data.contact_sheet import CAPTION_PX, GAP_PX, NAME_PX, TILE_PX, save_contact_sheet
from training.data.mixing import Mixing
from training.data.tensors import PictureDataset


@pytest.fixture
def manifest(tiny_tiles_dir: Path) -> Manifest:
    return Manifest.read(tiny_tiles_dir / "manifest.csv").select("train")


def _sheet(manifest: Manifest, path: Path, **augment: Any) -> ImageArray:
    params = AugmentParams(**{"flip": False, "brightness": 0, "contrast": 0, "crop_min_area": 1, **augment})
    contract = ClassificationContract(
        classes=manifest.classes, height=TILE_PX, width=TILE_PX, mean=(0, 0, 0), std=(1, 1, 1)
    )  # fmt: skip
    dataset = PictureDataset(manifest, contract, Augmentation(params, 0), Mixing(params, 0))
    save_contact_sheet(dataset, contract.classes, 0, path)
    return np.asarray(Image.open(path))


def _tile(sheet: ImageArray, row: int, column: int) -> ImageArray:
    left = NAME_PX + column * (TILE_PX + GAP_PX)
    top = CAPTION_PX + row * (TILE_PX + GAP_PX)
    return sheet[top : top + TILE_PX, left : left + TILE_PX]


def test_augmented_pictures_differ_from_the_plain_one_beside_them(manifest: Manifest, tmp_path: Path) -> None:
    plain = _sheet(manifest, tmp_path / "plain.png")
    changed = _sheet(manifest, tmp_path / "changed.png", brightness=0.3, crop_min_area=0.5)
    assert plain.shape == changed.shape
    for row in range(6):
        first = _tile(plain, row, 0)
        assert first.std() > 0
        assert all(np.array_equal(_tile(plain, row, column), first) for column in (1, 2, 3))
        assert np.array_equal(_tile(changed, row, 0), first)
        assert not any(np.array_equal(_tile(changed, row, column), first) for column in (1, 2, 3))


def test_a_row_shows_pictures_of_its_class(manifest: Manifest, tmp_path: Path) -> None:
    sheet = _sheet(manifest, tmp_path / "sheet.png")
    contract = ClassificationContract(
        classes=manifest.classes, height=TILE_PX, width=TILE_PX, mean=(0, 0, 0), std=(1, 1, 1)
    )
    dataset = PictureDataset(manifest, contract)
    for row in range(6):
        shown = _tile(sheet, row, 0)
        labels = {dataset.labels[i] for i in range(len(dataset)) if np.array_equal(dataset.plain(i), shown)}
        assert labels == {row}


def test_mixed_pictures_get_a_row_of_their_own(manifest: Manifest, tmp_path: Path) -> None:
    plain = _sheet(manifest, tmp_path / "plain.png")
    mixed = _sheet(manifest, tmp_path / "mixed.png", mixup_alpha=1.0)
    assert mixed.shape[0] > plain.shape[0] + TILE_PX
    assert mixed[plain.shape[0] :].std() > 20
    assert not list(tmp_path.glob("*.tmp"))
