"""Objects found by likeness: what is joined is counted, and said where it is no proof."""

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from dataset.likeness.near_duplicates import grey_thumbnail
from dataset.likeness.objects import Likeness, find_objects
from tests.dataset.picture_files import exposed, texture


def rgb(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey[..., None], 3, axis=2)


def objects_of(pictures: list[NDArray[np.uint8]], labels: list[str], threshold: float = 0.9) -> Likeness:
    hashes = [hashlib.sha256(picture.tobytes()).hexdigest() for picture in pictures]
    thumbnails = [grey_thumbnail(rgb(picture)) for picture in pictures]
    return find_objects([""] * len(pictures), hashes, labels, thumbnails, threshold)


def under_a_fixed_camera(num: int) -> list[NDArray[np.uint8]]:
    """The same scene with a small thing in it that differs from picture to picture, and a sensor's noise."""
    scene, pictures = texture(0, 240, 320).astype(np.float64), []
    for number in range(num):
        rng = np.random.default_rng(number)
        top, left = rng.integers(20, 200), rng.integers(20, 280)
        picture = scene + rng.normal(0, 4, scene.shape)
        picture[top : top + 20, left : left + 20] = rng.uniform(0, 255)
        pictures.append(np.clip(picture, 0, 255).astype(np.uint8))
    return pictures


def largest_share(found: Likeness, labels: list[str]) -> float:
    shares = []
    for label in set(labels):
        groups = [group for group, own in zip(found.groups, labels, strict=True) if own == label]
        shares.append(max(map(groups.count, groups)) / len(groups))
    return max(shares)


def threshold_in(found: Likeness) -> float:
    return float(found.warnings[-1].split("from ")[1].split(" on no object")[0])


def test_shots_of_objects_are_joined_counted_and_no_reason_to_warn() -> None:
    surfaces = [texture(seed) for seed in range(5)]
    found = objects_of([exposed(s, gain) for s in surfaces for gain in (0.6, 0.8, 1.0)], ["a"] * 15)
    assert found.groups == [f"g{index // 3 + 1:05d}" for index in range(15)]
    assert "joined 15 of 15 pictures into 5 object(s)" in found.summary
    assert found.warnings == []


def test_a_fixed_camera_is_said_with_the_class_the_numbers_and_a_threshold_that_helps() -> None:
    pictures, labels = under_a_fixed_camera(40), ["bad"] * 16 + ["good"] * 24
    found = objects_of(pictures, labels)
    assert found.warnings[0].startswith("likeness joins 16 of 16 pictures of class bad into one object, together with")
    assert found.warnings[1].startswith("likeness joins 24 of 24 pictures of class good into one object")
    assert "GROUPS=groups.csv" in found.warnings[-1]
    assert 0.9 < threshold_in(found) < 1
    better = objects_of(pictures, labels, threshold_in(found))
    assert better.warnings == []
    assert largest_share(better, labels) <= 1 / 3


def test_digits_of_eight_by_eight_pixels_are_told_apart_at_the_threshold_that_is_measured() -> None:
    data = load_digits()
    pictures = [np.asarray(image * 15, dtype=np.uint8) for image in data.images[:500]]
    labels = [str(label) for label in data.target[:500]]
    found = objects_of(pictures, labels)
    assert found.warnings[0].startswith("likeness joins ")
    assert largest_share(objects_of(pictures, labels, threshold_in(found)), labels) <= 1 / 3


def test_exact_copies_leave_no_threshold_but_groups() -> None:
    pictures = [texture(1)] * 5 + [exposed(texture(1), 0.9)] * 5
    found = objects_of(pictures, ["a"] * 10)
    assert "no data.near_duplicate_correlation below 1" in found.warnings[-1]


@pytest.mark.parametrize("value", [0, 128, 255])
def test_pictures_without_detail_are_not_one_object(value: int) -> None:
    pictures = [np.full((8, 8 + width), value, dtype=np.uint8) for width in range(6)]
    found = objects_of(pictures, ["a"] * 6)
    assert len(set(found.groups)) == 6
    assert found.warnings == []
    assert "joined 0 of 6" in found.summary
