"""Resizing: golden values for every rule, and sizes that rounding could break."""

import io
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from runtime.model.contract import ClassificationContract, ModelContract
from runtime.model.image import ImageArray, decode_image
from runtime.model.preprocess import WHOLE, View, preprocess, read_for_model, read_placed, sufficient_size
from tests.runtime.formats.drawn_pictures import drawn, matrix_profile

Resize = Literal["stretch", "letterbox", "crop"]
Interpolation = Literal["bilinear", "bicubic"]
# In units of 0 to 255, against decoding every pixel: docs/DECODING.md.
MAX_MEAN_DIFFERENCE, MAX_P99_DIFFERENCE = 1.0, 6
RULES: tuple[Resize, ...] = ("stretch", "letterbox", "crop")

# Columns rise in red, rows in green, a checkerboard in blue: every axis, flip and blur shows.
ROWS, COLUMNS = np.mgrid[0:16, 0:32]
PICTURE: ImageArray = np.stack([COLUMNS * 8, ROWS * 16, (ROWS // 4 + COLUMNS // 4) % 2 * 255], axis=-1).astype(np.uint8)


def contract(
    resize: Resize, height: int = 8, width: int = 8, interpolation: Interpolation = "bilinear"
) -> ModelContract:
    return ClassificationContract(
        classes=("a", "b"),
        height=height,
        width=width,
        resize=resize,
        interpolation=interpolation,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )


# Row 3 of red and of blue, column 3 of green, as Pillow 13 gives them. A change here changes every served prediction.
GOLDEN: dict[tuple[Interpolation, Resize], tuple[list[int], list[int], list[int]]] = {
    ("bilinear", "stretch"): (
        [15, 44, 76, 108, 140, 172, 204, 233],
        [11, 40, 72, 104, 136, 168, 200, 229],
        [196, 80, 175, 80, 175, 80, 175, 59],
    ),
    ("bilinear", "letterbox"): (
        [15, 44, 76, 108, 140, 172, 204, 233],
        [128, 128, 30, 88, 152, 210, 128, 128],
        [173, 96, 159, 96, 159, 96, 159, 82],
    ),
    ("bilinear", "crop"): (
        [68, 84, 100, 116, 132, 148, 164, 180],
        [11, 40, 72, 104, 136, 168, 200, 229],
        [199, 199, 56, 56, 199, 199, 56, 56],
    ),
    ("bicubic", "stretch"): (
        [13, 43, 76, 108, 140, 172, 205, 235],
        [9, 39, 72, 104, 136, 168, 201, 231],
        [219, 54, 200, 55, 200, 55, 201, 36],
    ),
    ("bicubic", "letterbox"): (
        [13, 43, 76, 108, 140, 172, 205, 235],
        [128, 128, 25, 87, 153, 215, 128, 128],
        [194, 74, 180, 75, 180, 75, 181, 61],
    ),
    ("bicubic", "crop"): (
        [68, 84, 100, 116, 132, 148, 164, 180],
        [9, 39, 72, 104, 136, 168, 201, 231],
        [229, 229, 26, 26, 229, 229, 26, 26],
    ),
}


@pytest.mark.parametrize(("interpolation", "resize"), GOLDEN)
def test_golden_values(interpolation: Interpolation, resize: Resize) -> None:
    red, green, blue = GOLDEN[interpolation, resize]
    result = preprocess(PICTURE, contract(resize, interpolation=interpolation))
    assert result.shape == (8, 8, 3)
    assert result.dtype == np.uint8
    assert result[3, :, 0].tolist() == red
    assert result[:, 3, 1].tolist() == green
    assert result[3, :, 2].tolist() == blue


def test_letterbox_bars_are_grey_and_the_picture_lies_between_them() -> None:
    result = preprocess(PICTURE, contract("letterbox"))
    assert (result[[0, 1, 6, 7]] == 128).all()
    assert not (result[2:6] == 128).all(axis=-1).any()


def test_crop_cuts_the_centre() -> None:
    upright = np.ascontiguousarray(PICTURE.transpose(1, 0, 2))
    middle = preprocess(upright[8:24], contract("stretch"))
    # Pillow's filter may look a pixel beyond the box, so edges differ a little.
    np.testing.assert_allclose(
        preprocess(upright, contract("crop")).astype(int)[1:-1], middle.astype(int)[1:-1], atol=1
    )


@pytest.mark.parametrize("resize", RULES)
def test_a_picture_of_the_right_size_stays_as_it_is(resize: Resize) -> None:
    np.testing.assert_array_equal(preprocess(PICTURE, contract(resize, 16, 32)), PICTURE)


@pytest.mark.parametrize("resize", RULES)
@pytest.mark.parametrize(("height", "width"), [(224, 224), (300, 97), (8, 1024)])
def test_every_size_of_picture_is_taken(resize: Resize, height: int, width: int) -> None:
    target = contract(resize, height, width)
    sizes = [(1, 1), (1, 5000), (5000, 1), (223, 224), (375, 499), (289, 121), (7, 3)]
    sizes += [(side, 3 * side % 701 + 1) for side in range(1, 700, 37)]
    for size in sizes:
        assert preprocess(np.zeros((*size, 3), dtype=np.uint8), target).shape == (height, width, 3), size


def test_a_small_defect_fades_evenly_wherever_it_lies() -> None:
    """Shrunk eightfold it leaves the same light at every position, because filters widen when shrinking."""

    def light(column: int) -> int:
        picture = np.zeros((512, 512, 3), dtype=np.uint8)
        picture[256:260, column : column + 4] = 255
        return int(preprocess(picture, contract("stretch", 64, 64)).astype(int).sum())

    amounts = [light(column) for column in range(200, 216)]
    assert min(amounts) > 0
    assert max(amounts) - min(amounts) <= 0.05 * max(amounts)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((8, 8), dtype=np.uint8),
        np.zeros((8, 8, 4), dtype=np.uint8),
        np.zeros((8, 8, 3), dtype=np.float32),
        np.zeros((1, 8, 8, 3), dtype=np.uint8),
    ],
)
def test_what_is_no_rgb_picture_is_refused_with_its_shape(wrong: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match=r"expected \(height, width, 3\) uint8, got \("):
        preprocess(wrong, contract("stretch"))


def photograph(height: int, width: int) -> bytes:
    """A JPEG with gradients, texture of several sizes and hard edges."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:height, 0:width]
    image = np.stack([columns * 255 / width, rows * 255 / height, 128 + 60 * np.sin(columns / 9)], axis=-1)
    for grain in (4, 16, 64):
        noise = rng.normal(0, 12, (height // grain + 1, width // grain + 1, 3))
        image += np.kron(noise, np.ones((grain, grain, 1)))[:height, :width]
    image[height // 3 : height // 3 + 40, :, :] = 20
    file = io.BytesIO()
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


@pytest.mark.parametrize("resize", RULES)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_reading_at_reduced_scale_stays_within_the_stated_bound(resize: Resize, interpolation: Interpolation) -> None:
    """The bound of docs/DECODING.md. The picture must be reduced at all, or nothing would be tested."""
    data, target = photograph(1500, 2000), contract(resize, 224, 224, interpolation)
    assert decode_image(data, at_least=sufficient_size(target)).shape == (750, 1000, 3)
    exact = preprocess(decode_image(data), target).astype(int)
    difference = np.abs(read_for_model(data, target) - exact)
    assert 0 < difference.mean() <= MAX_MEAN_DIFFERENCE
    assert np.percentile(difference, 99) <= MAX_P99_DIFFERENCE


@pytest.mark.parametrize("resize", RULES)
@pytest.mark.parametrize("size", [(447, 900), (300, 200), (224, 224)])
def test_pictures_that_are_not_reduced_are_read_to_the_last_bit(resize: Resize, size: tuple[int, int]) -> None:
    data, target = photograph(*size), contract(resize, 224, 224)
    np.testing.assert_array_equal(read_for_model(data, target), preprocess(decode_image(data), target))


@pytest.mark.parametrize("resize", RULES)
def test_colours_are_converted_after_resizing_and_bars_stay_grey(resize: Resize) -> None:
    """As near to converting every pixel as reading at reduced scale is to reading every pixel."""
    file = io.BytesIO()
    profile = matrix_profile(
        ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407)), 2.2
    )
    Image.fromarray(drawn(300, 500)).save(file, "PNG", icc_profile=profile)
    data, target = file.getvalue(), contract(resize, 64, 64)
    read = read_for_model(data, target)
    exact = preprocess(decode_image(data), target).astype(int)
    assert np.abs(preprocess(drawn(300, 500), target).astype(int) - exact).mean() > 4
    difference = np.abs(read - exact)
    assert difference.mean() <= MAX_MEAN_DIFFERENCE
    assert np.percentile(difference, 99) <= MAX_P99_DIFFERENCE
    if resize == "letterbox":
        assert (read[0] == 128).all()
    same = contract(resize, 300, 500)
    np.testing.assert_array_equal(read_for_model(data, same), decode_image(data))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("view", [WHOLE, (0.25, 0.1, 0.9, 0.95)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])  # a JPEG of this size is decoded at reduced scale
def test_placement_brings_what_is_found_in_the_input_back_to_the_picture(rule: Resize, view: View, kind: str) -> None:
    marked = (900, 500, 1300, 800)  # left, top, right, bottom in the picture, which is turned on its side in the file
    image = Image.new("RGB", (1999, 1201), "black")
    image.paste("white", marked)
    data = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(data, kind, quality=95, exif=exif)
    pixels, place = read_placed(data.getvalue(), contract(rule, 96, 128), view=view)
    rows, columns = np.nonzero(pixels[..., 0] > 160)  # bars are 128
    found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    left, top, right, bottom = place.filled
    across, down = ((place.taken[i + 2] - place.taken[i]) / (place.filled[i + 2] - place.filled[i]) for i in (0, 1))
    begin, end = (
        (place.taken[0] + (x - left) * across, place.taken[1] + (y - top) * down) for x, y in (found[:2], found[2:])
    )
    np.testing.assert_allclose((*begin, *end), marked, atol=1.5 * max(across, down))
    assert 0 <= left < right <= 128
    assert 0 <= top < bottom <= 96
    assert (rule == "letterbox") == ((right - left, bottom - top) != (128, 96))
