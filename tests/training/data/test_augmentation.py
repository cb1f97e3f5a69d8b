"""Augmentation is reproducible, keeps the label's meaning, and validation never sees it."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset.manifest import Manifest
from runtime.model.contract import ClassificationContract
from runtime.model.image import ImageArray
from runtime.model.preprocess import WHOLE, read_for_model
from training.batch_params import AugmentParams
from training.data.augmentation import Augmentation, Sample, _Step
from training.data.tensors import PictureDataset, evaluation_batches

NOTHING = AugmentParams(flip=False, brightness=0, contrast=0, crop_min_area=1)
ALL = NOTHING.model_copy(
    update={
        "flip": True, "brightness": 0.3, "contrast": 0.3, "crop_min_area": 0.8, "crop_max_aspect": 1.2,
        "rotate_degrees": 10, "exposure_stops": 1, "gamma": 1.3, "randaugment_num_ops": 2, "erasing_probability": 0.5,
    }
)  # fmt: skip
GEOMETRY: dict[str, dict[str, Any]] = {
    "flip": {"flip": True},
    "rotate": {"rotate_degrees": 180},
    "scale": {"scale": 0.3},
    "translate": {"translate": 0.2},
    "shear": {"shear_degrees": 20},
    "all": {"flip": True, "rotate_degrees": 30, "scale": 0.2, "translate": 0.1, "shear_degrees": 10},
    "randaugment": {"randaugment_num_ops": 2},
}


def _only(**keys: Any) -> AugmentParams:
    return NOTHING.model_copy(update=keys)


@pytest.fixture
def image() -> ImageArray:
    return np.random.default_rng(0).integers(0, 256, (60, 40, 3), dtype=np.uint8)


def _defect() -> Sample:
    """A bright rectangle, away from the middle, with its mask and its box."""
    image = np.full((96, 128, 3), 60, dtype=np.uint8)
    mask = np.zeros((96, 128), dtype=np.uint8)
    image[30:50, 70:100] = 220
    mask[30:50, 70:100] = 255
    return Sample(image, mask, np.array([[70 / 128, 30 / 96, 100 / 128, 50 / 96]]))


def _box_of(mask: ImageArray) -> list[float]:
    rows, columns = np.nonzero(mask)
    height, width = mask.shape
    return [
        columns.min() / width,
        rows.min() / height,
        (columns.max() + 1) / width,
        (rows.max() + 1) / height,
    ]


def test_a_draw_depends_on_seed_epoch_picture_and_repeat_only(image: ImageArray) -> None:
    first, second = Augmentation(ALL, seed=1), Augmentation(ALL, seed=1)
    first(image, epoch=9, index=9)  # an earlier draw must not matter
    assert np.array_equal(first(image, 2, 3), second(image, 2, 3))
    assert first.view(2, 3) == second.view(2, 3)
    places = ((1, 2, 3, 0), (2, 2, 3, 0), (1, 3, 3, 0), (1, 2, 4, 0), (1, 2, 3, 1))
    drawn = [(Augmentation(ALL, seed), place) for seed, *place in places]
    assert len({augmentation(image, *place).tobytes() for augmentation, place in drawn}) == 5
    assert len({augmentation.view(*place) for augmentation, place in drawn}) == 5


def test_with_everything_off_the_picture_is_unchanged(image: ImageArray) -> None:
    augmentation = Augmentation(NOTHING, 0)
    assert np.array_equal(augmentation(image, 1, 1), image)
    assert augmentation.view(1, 1) == WHOLE


@pytest.mark.parametrize(
    ("flip", "axes"),
    [(True, [(1, 1), (-1, 1), (1, -1), (-1, -1)]), ("horizontal", [(1, 1), (1, -1)]), ("vertical", [(1, 1), (-1, 1)])],
)
def test_a_flip_only_moves_pixels_along_its_axes(image: ImageArray, flip: Any, axes: list[tuple[int, int]]) -> None:
    augmentation = Augmentation(_only(flip=flip), 0)
    seen = {augmentation(image, 1, index).tobytes() for index in range(40)}
    assert seen == {image[::y, ::x].tobytes() for y, x in axes}


@pytest.mark.parametrize("name", GEOMETRY)
def test_masks_and_boxes_move_with_the_pixels(name: str) -> None:
    """The mask must lie where the bright pixels lie, and the boxes must cover what the mask shows, wherever it went."""
    augmentation, moved = Augmentation(_only(**GEOMETRY[name]), 0), 0
    before = _defect()
    for index in range(12):
        after = augmentation.apply(before, 1, index)
        assert after.mask is not None
        assert after.boxes is not None
        if name != "randaugment":  # whose changes of light may invert
            bright = after.image[..., 0] > 140
            assert np.mean(bright != (after.mask > 127)) < 0.01
        assert before.mask is not None
        moved += not np.array_equal(after.mask, before.mask)
        rows, columns = np.nonzero(after.mask > 127)
        covered = np.zeros(len(rows), dtype=bool)
        for left, top, right, bottom in after.boxes * [128, 96, 128, 96]:
            covered |= (columns >= left - 1.5) & (columns <= right + 0.5) & (rows >= top - 1.5) & (rows <= bottom + 0.5)
        assert covered.mean() > 0.9, (index, after.boxes)  # slivers at the rim have lost their box
    assert moved > 3


@pytest.mark.parametrize("name", ["flip", "translate", "scale"])
def test_boxes_stay_tight_where_edges_stay_straight(name: str) -> None:
    augmentation, before = Augmentation(_only(**GEOMETRY[name]), 0), _defect()
    compared = 0
    for index in range(12):
        after = augmentation.apply(before, 1, index)
        assert after.mask is not None
        assert after.boxes is not None
        if len(after.boxes) == 1:
            assert after.boxes[0].tolist() == pytest.approx(_box_of(after.mask), abs=1.5 / 96)
            compared += 1
    assert compared > 6


@pytest.mark.parametrize("keys", [*GEOMETRY.values(), {"erasing_probability": 1.0}, {"randaugment_num_ops": 1}])
def test_a_defect_in_the_middle_stays_in_the_picture(keys: dict[str, Any]) -> None:
    """What gives a picture its label must not be moved or rubbed out of it, at the strongest setting of RandAugment."""
    image, mask = np.full((96, 96, 3), 60, dtype=np.uint8), np.zeros((96, 96), dtype=np.uint8)
    mask[34:62, 34:62] = 255
    augmentation = Augmentation(_only(randaugment_magnitude=10, **keys), 0)
    for index in range(20):
        after = augmentation.apply(Sample(image, mask), 1, index).mask
        assert after is not None
        assert (after > 127).sum() > 0.2 * (mask > 127).sum()


def test_erasing_covers_at_most_its_area_and_takes_what_it_covers_out_of_the_mask(image: ImageArray) -> None:
    augmentation = Augmentation(_only(erasing_probability=1.0, erasing_max_area=0.2), 0)
    full = np.full(image.shape[:2], 255, dtype=np.uint8)
    for index in range(20):
        after = augmentation.apply(Sample(image, full), 1, index)
        changed = (after.image != image).any(axis=2)
        assert after.mask is not None
        assert 0 < changed.mean() <= 0.21
        assert not after.mask[changed].any()
        assert after.mask[~changed].mean() > 250


def test_changes_of_light_keep_size_and_move_no_pixel() -> None:
    augmentation = Augmentation(_only(exposure_stops=1, gamma=1.5, brightness=0.2, contrast=0.2), 0)
    before = _defect()
    after = [augmentation.apply(before, 1, index) for index in range(8)]
    assert len({sample.image.tobytes() for sample in after}) == 8
    for sample in after:
        inside, outside = sample.image[before.mask > 0], sample.image[before.mask == 0]  # type: ignore[operator]
        assert inside.std() == outside.std() == 0
        assert inside.mean() > outside.mean()
        assert sample.mask is before.mask


def test_every_operation_of_randaugment_is_drawn_and_none_makes_the_picture_flat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[_Step] = []
    apply = _Step.__call__

    def record(self: _Step, sample: Sample, seed: int) -> Sample:
        drawn.append(self)
        return apply(self, sample, seed)

    monkeypatch.setattr(_Step, "__call__", record)
    image = np.random.default_rng(0).normal(120, 30, (64, 64, 3)).clip(0, 255).astype(np.uint8)
    augmentation = Augmentation(_only(randaugment_num_ops=1), 0)
    results = [augmentation(image, 1, index) for index in range(130)]
    assert len({result.tobytes() for result in results}) > 90
    assert all(result.std() > 3 for result in results)
    times = Counter(drawn)  # an operation is itself, and no other with the same name
    assert min(times.values()) >= 3  # 10 each on average
    assert Counter(type(step._transform).__name__ for step in times) == {
        "AutoContrast": 1, "Equalize": 1, "Solarize": 1, "Posterize": 1, "RandomBrightnessContrast": 2,
        "ColorJitter": 1, "Sharpen": 1, "Affine": 5,
    }  # fmt: skip


def test_the_original_is_not_touched(image: ImageArray) -> None:
    before = image.copy()
    Augmentation(ALL, 0)(image, 1, 1)
    assert np.array_equal(image, before)


def test_the_last_epochs_are_not_augmented(image: ImageArray) -> None:
    augmentation = Augmentation(ALL.model_copy(update={"off_last_epochs": 2}), 0, num_epochs=5)
    assert [np.array_equal(augmentation(image, epoch, 1), image) for epoch in range(1, 6)] == [False] * 3 + [True] * 2
    assert [augmentation.view(epoch, 1) == WHOLE for epoch in range(1, 6)] == [False] * 3 + [True] * 2


def test_validation_sees_the_pixels_that_the_service_sees_in_every_epoch(tiny_tiles_dir: Path) -> None:
    manifest = Manifest.read(tiny_tiles_dir / "manifest.csv").select("val")
    contract = ClassificationContract(classes=manifest.classes, height=64, width=48, mean=(0, 0, 0), std=(1, 1, 1))
    dataset = PictureDataset(manifest, contract)
    expected = [read_for_model((tiny_tiles_dir / path).read_bytes(), contract) for path in manifest.table["path"][:5]]
    for epoch in (1, 2):
        dataset.epoch = epoch
        (batch, *_) = evaluation_batches(dataset, 5)
        assert np.array_equal(batch.images.numpy(), np.stack(expected))
        assert batch.targets.sum(dim=1).tolist() == [1] * 5


def test_training_pictures_differ_from_epoch_to_epoch(tiny_tiles_dir: Path) -> None:
    manifest = Manifest.read(tiny_tiles_dir / "manifest.csv")
    contract = ClassificationContract(classes=manifest.classes, height=64, width=48, mean=(0, 0, 0), std=(1, 1, 1))
    dataset = PictureDataset(manifest, contract, Augmentation(ALL, 0))
    seen = set()
    for epoch in (1, 2):
        dataset.epoch = epoch
        seen |= {dataset[5, repeat].image.tobytes() for repeat in (0, 1)}
    assert len(seen) == 4
