"""A mask is read by one rule: what counts as marked, at the file's size and at the model's."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.annotations import read_mask, read_mask_for_model
from dataset.manifest import ManifestError
from runtime.model.contract import ResizeRule
from tests.onnx_fixture import tiny_contract


def _save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def test_grey_up_to_the_middle_is_background(tmp_path: Path) -> None:
    pixels = np.full((10, 20), 127)
    pixels[:5, :4] = 128
    marked = read_mask(_save(tmp_path / "mask.png", pixels))
    assert marked.shape == (10, 20)
    assert marked[:5, :4].all()
    assert marked.sum() == 20


@pytest.mark.parametrize("channel", range(3))
def test_a_mask_may_be_of_any_colour(tmp_path: Path, channel: int) -> None:
    pixels = np.zeros((8, 8, 3))
    pixels[2:4, 2:4, channel] = 255
    path = _save(tmp_path / "mask.png", pixels)
    assert read_mask(path).sum() == 4
    assert read_mask_for_model(path, tiny_contract(8, 8)).sum() == 4


@pytest.mark.parametrize(("covered", "is_marked"), [(4, False), (6, True)])
def test_more_than_half_of_a_pixel_marks_it(tmp_path: Path, covered: int, is_marked: bool) -> None:
    pixels = np.zeros((80, 80))
    pixels[20:60, 20 : 50 + covered] = 255  # ten file pixels are one of the model's
    contract = tiny_contract(8, 8).model_copy(update={"interpolation": "bilinear"})
    marked = read_mask_for_model(_save(tmp_path / "mask.png", pixels), contract)
    assert marked[3, 2:5].all()
    assert marked[3, 5] == is_marked
    assert not marked[3, 6:].any()


@pytest.mark.parametrize(("resize", "shape"), [("stretch", (16, 16)), ("letterbox", (8, 16)), ("crop", (16, 16))])
def test_a_full_mask_marks_the_picture_and_no_bar(tmp_path: Path, resize: ResizeRule, shape: tuple[int, int]) -> None:
    contract = tiny_contract(16, 16).model_copy(update={"resize": resize})
    assert read_mask_for_model(_save(tmp_path / "mask.png", np.full((40, 80), 255)), contract).sum() == np.prod(shape)


def test_a_mask_that_is_gone_or_no_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"gone\.png can no longer be read .*run `make data` again"):
        read_mask(tmp_path / "gone.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ManifestError, match=r"the mask .*text\.png cannot be read"):
        read_mask(tmp_path / "text.png")
