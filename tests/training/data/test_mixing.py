"""Mixed pictures have targets in proportion to their pixels, and the number of processes changes nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dataset.manifest import Manifest
from runtime.model.contract import ClassificationContract
from training.batch_params import AugmentParams
from training.data.mixing import Mixing, cut_mix, mix_up
from training.data.tensors import PictureDataset, training_batches

PLAIN: dict[str, Any] = {"flip": False, "brightness": 0, "contrast": 0, "crop_min_area": 1}
BLACK, WHITE = np.zeros((40, 60, 3), np.uint8), np.full((40, 60, 3), 255, np.uint8)


def _mix(num: int = 40, **keys: Any) -> tuple[list[Any], Any]:
    """Mix black pictures of class 0 with white ones of class 1, in turn."""
    images = [BLACK, WHITE] * (num // 2)
    targets = np.eye(2, dtype=np.float32)[[0, 1] * (num // 2)]
    mixing = Mixing(AugmentParams(**PLAIN, **keys), seed=0, num_epochs=3)
    return mixing(images, targets, [(i, 0) for i in range(num)], epoch=3)


@pytest.mark.parametrize("keys", [{"mixup_alpha": 0.8}, {"cutmix_alpha": 1.0}, {"mixup_alpha": 1, "cutmix_alpha": 1}])
def test_targets_are_the_share_of_each_picture_in_the_pixels(keys: dict[str, Any]) -> None:
    images, targets = _mix(**keys)
    white = np.array([image.mean() / 255 for image in images])
    np.testing.assert_allclose(targets[:, 1], white, atol=0.003)
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    assert 0.1 < np.mean((white > 0.05) & (white < 0.95)) <= 1


def test_mix_up_blends_and_cut_mix_pastes() -> None:
    blended, share = mix_up(WHITE, BLACK, 0.4, np.random.default_rng(0))
    assert np.unique(blended).tolist() == [102]
    assert share == 0.4
    pasted, share = cut_mix(WHITE, BLACK, 0.75, np.random.default_rng(0))
    assert np.unique(pasted).tolist() == [0, 255]
    assert share == pytest.approx(pasted.mean() / 255)
    assert 0.7 < share < 1
    assert WHITE.min() == 255  # the original is not touched


def test_with_both_each_is_drawn_about_half_of_the_time() -> None:
    images, _ = _mix(200, mixup_alpha=1, cutmix_alpha=1)
    blended = sum(len(np.unique(image)) == 1 and 0 < image[0, 0, 0] < 255 for image in images)
    assert 70 < blended < 130


def test_a_share_of_pictures_stays_as_it_is() -> None:
    images, targets = _mix(200, mixup_alpha=1, mix_probability=0.25)
    mixed = ~np.isin(targets[:, 0], [0, 1])
    assert 30 < mixed.sum() < 75
    assert all(len(np.unique(image)) == 1 and image[0, 0, 0] in (0, 255) for image in np.array(images)[~mixed])


def test_the_last_epochs_are_not_mixed() -> None:
    _, targets = _mix(mixup_alpha=1, off_last_epochs=1)
    assert np.isin(targets, [0, 1]).all()


def test_the_last_of_an_odd_number_is_mixed_with_the_first() -> None:
    mixing = Mixing(AugmentParams(**PLAIN, mixup_alpha=1), seed=0)
    images, targets = mixing([WHITE, WHITE, BLACK], np.eye(3, dtype=np.float32), [(i, 0) for i in range(3)], epoch=1)
    assert 0 < targets[2, 0] < 1
    assert targets[2, 1] == 0
    assert images[2].mean() / 255 == pytest.approx(targets[2, 0], abs=0.003)
    assert targets[0, 2] == 0


@pytest.mark.parametrize("number", [1, 7])
def test_without_mixing_any_number_of_pictures_is_a_batch(number: int) -> None:
    targets = np.eye(number, dtype=np.float32)
    images, same = Mixing(AugmentParams(**PLAIN), 0)([BLACK] * number, targets, [(0, 0)] * number, 1)
    assert len(images) == number
    assert (same == targets).all()


def test_any_number_of_processes_and_of_loaders_mixes_the_same_pictures(tiny_tiles_dir: Path) -> None:
    manifest = Manifest.read(tiny_tiles_dir / "manifest.csv").select("val")
    contract = ClassificationContract(classes=manifest.classes, height=32, width=32, mean=(0, 0, 0), std=(1, 1, 1))
    mixing = Mixing(AugmentParams(**PLAIN, mixup_alpha=1, cutmix_alpha=1), seed=3)

    def first_batch(rank: int, world_size: int, num_workers: int = 0) -> Any:
        dataset = PictureDataset(manifest, contract, mixing=mixing)
        return next(training_batches(dataset, 1, 12, rank, world_size, seed=3, num_workers=num_workers))

    alone = first_batch(0, 1)
    assert ((alone.targets > 0) & (alone.targets < 1)).any()
    for shares in ([first_batch(rank, 3) for rank in range(3)], [first_batch(0, 1, num_workers=1)]):
        assert torch.equal(torch.cat([share.images for share in shares]), alone.images)
        assert torch.equal(torch.cat([share.targets for share in shares]), alone.targets)
