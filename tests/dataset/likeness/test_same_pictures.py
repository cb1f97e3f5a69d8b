"""One picture under two labels is found however it is stored; two exposures and two objects are not one picture."""

import io
import logging

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dataset.likeness.near_duplicates import grey_thumbnail
from dataset.likeness.same_pictures import same_pictures_of_two_labels, warn_of_contradictions
from dataset.sources.source_picture import SourcePicture
from tests.dataset.picture_files import exposed, texture


def stored(picture: NDArray[np.uint8], quality: int = 95, scale: float = 1.0, file_format: str = "JPEG") -> bytes:
    image = Image.fromarray(picture)
    if scale != 1:
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, file_format, quality=quality)
    return buffer.getvalue()


def thumbnail(data: bytes) -> NDArray[np.uint8]:
    return grey_thumbnail(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


SURFACE = exposed(texture(3, 240, 320), 0.9)
COPIES = {
    "JPEG again": stored(SURFACE, 90),
    "poor JPEG": stored(SURFACE, 20),
    "PNG": stored(SURFACE, file_format="PNG"),
    "WebP": stored(SURFACE, 60, file_format="WEBP"),
    "half the size": stored(SURFACE, 85, 0.5),
    "twice the size": stored(SURFACE, 85, 2.0),
    "two fifths of the size": stored(SURFACE, 85, 0.4),
}


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_under_another_label_is_found(copy: str) -> None:
    others = [thumbnail(stored(exposed(texture(seed, 240, 320), 0.9))) for seed in range(10, 16)]
    thumbnails = [thumbnail(stored(SURFACE)), *others, thumbnail(COPIES[copy])]
    ((left, right, correlation),) = same_pictures_of_two_labels(thumbnails, ["good"] * 7 + ["bad"])
    assert (left, right) == (0, 7)
    assert correlation > 0.5


def test_copies_with_one_label_contradict_nothing() -> None:
    assert same_pictures_of_two_labels([thumbnail(data) for data in COPIES.values()], ["good"] * 7) == []


def test_another_exposure_another_object_and_pictures_without_detail_are_other_pictures() -> None:
    pictures = [exposed(texture(3), gain) for gain in (0.5, 0.65, 0.8)] + [texture(seed) for seed in range(20, 30)]
    pictures += [np.full((40, 40), grey, dtype=np.uint8) for grey in (90, 90, 91)]
    labels = [("a", "b", "c")[index % 3] for index in range(len(pictures))]
    assert same_pictures_of_two_labels([thumbnail(stored(p, 90)) for p in pictures], labels) == []


def named(labels: list[str]) -> list[SourcePicture]:
    return [SourcePicture(f"pictures/images/{label}/{i}.jpg", label, "") for i, label in enumerate(labels)]


def test_both_files_and_labels_are_named(caplog: pytest.LogCaptureFixture) -> None:
    labels = ["good"] * 6 + ["bad"]
    thumbnails = [thumbnail(stored(texture(seed))) for seed in range(6)] + [thumbnail(stored(texture(2), 50))]
    with caplog.at_level(logging.WARNING):
        warn_of_contradictions(named(labels), thumbnails)
    assert (
        "1 pair(s) of files show the same picture under two labels: pictures/images/good/2.jpg (label good) and "
        in (caplog.text)
    )
    assert "pictures/images/bad/6.jpg (label bad). Decide" in caplog.text


def test_under_a_fixed_camera_it_is_said_that_this_says_little(caplog: pytest.LogCaptureFixture) -> None:
    shots = [texture(0).astype(np.float64) + np.random.default_rng(i).normal(0, 3, (96, 128)) for i in range(12)]
    thumbnails = [thumbnail(stored(np.clip(shot, 0, 255).astype(np.uint8))) for shot in shots]
    with caplog.at_level(logging.WARNING):
        warn_of_contradictions(named(["good", "bad"] * 6), thumbnails)
    assert "12 of 12 pictures look the same as one under another label" in caplog.text
    assert len(caplog.text) < 600
