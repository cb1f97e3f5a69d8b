"""Augmentation is reproducible, stays within its limits, and validation never sees it."""

from pathlib import Path

import numpy as np
import pytest

from dataset.manifest import Manifest
from runtime.contract import ModelContract
from runtime.image import ImageArray, decode_image
from runtime.preprocess import preprocess
from training.augmentation import Augmentation
from training.data import PictureDataset
from training.params import AugmentParams

NOTHING = AugmentParams(flip=False, brightness=0, contrast=0, crop_min_area=1)
ALL = AugmentParams(flip=True, brightness=0.3, contrast=0.3, crop_min_area=0.8)


@pytest.fixture
def image() -> ImageArray:
    return np.random.default_rng(0).integers(0, 256, (60, 40, 3), dtype=np.uint8)


def test_a_draw_depends_on_seed_epoch_and_picture_only(image: ImageArray) -> None:
    first, second = Augmentation(ALL, seed=1), Augmentation(ALL, seed=1)
    first(image, epoch=9, index=9)  # an earlier draw must not matter
    assert np.array_equal(first(image, 2, 3), second(image, 2, 3))
    draws = [
        Augmentation(ALL, seed)(image, epoch, index)
        for seed, epoch, index in ((1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4))
    ]
    assert len({draw.tobytes() for draw in draws}) == 4


def test_with_everything_off_the_picture_is_unchanged(image: ImageArray) -> None:
    assert np.array_equal(Augmentation(NOTHING, 0)(image, 1, 1), image)


def test_a_flip_only_moves_pixels(image: ImageArray) -> None:
    flip = Augmentation(NOTHING.model_copy(update={"flip": True}), 0)
    seen = {flip(image, 1, index).tobytes() for index in range(40)}
    expected = {image.tobytes(), image[::-1].tobytes(), image[:, ::-1].tobytes(), image[::-1, ::-1].tobytes()}
    assert seen == expected


def test_a_crop_keeps_the_promised_area(image: ImageArray) -> None:
    crop = Augmentation(NOTHING.model_copy(update={"crop_min_area": 0.7}), 0)
    areas = [crop(image, 1, index).shape[0] * crop(image, 1, index).shape[1] / (60 * 40) for index in range(60)]
    assert 0.7 <= min(areas) < 0.9
    assert max(areas) > 0.9


def test_the_original_is_not_touched(image: ImageArray) -> None:
    before = image.copy()
    Augmentation(ALL, 0)(image, 1, 1)
    assert np.array_equal(image, before)


def test_without_augmentation_training_sees_the_pixels_that_the_service_sees(tiny_tiles_dir: Path) -> None:
    manifest = Manifest.read(tiny_tiles_dir / "manifest.csv")
    contract = ModelContract(classes=manifest.classes, height=64, width=48, mean=(0, 0, 0), std=(1, 1, 1))
    dataset = PictureDataset(manifest, contract)
    data = (tiny_tiles_dir / manifest.table["path"][5]).read_bytes()
    for epoch in (1, 2):
        dataset.epoch = epoch
        assert np.array_equal(dataset[5, 0][0].numpy(), preprocess(decode_image(data), contract))
