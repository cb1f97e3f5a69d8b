"""Predicted maps on disk: what is written is read, and what is no map is named."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.predicted_maps import map_path, read_map, refuse_other_maps, remove_maps, write_map
from evaluation.predictions import PredictionsError


def drawn(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(1, 255, (7, 5), dtype=np.uint8), rng.random((7, 5), dtype=np.float32)


def test_a_map_is_read_as_it_was_written(tmp_path: Path) -> None:
    regions, foreground = drawn()
    foreground[0, :2] = 0, 1
    write_map(tmp_path / "maps", 123, regions, foreground)
    assert (tmp_path / "maps/000123.png").is_file()
    read_regions, read_foreground = read_map(tmp_path / "maps", 123)
    assert read_regions.dtype == np.uint8
    assert read_foreground.dtype == np.float32
    np.testing.assert_array_equal(read_regions, regions)
    assert np.abs(read_foreground - foreground).max() <= 0.5 / 255 + 1e-6
    assert read_foreground[0, :2].tolist() == [0, 1]


def test_the_file_is_what_the_interface_says(tmp_path: Path) -> None:
    write_map(tmp_path, 0, np.array([[3, 1]], np.uint8), np.array([[0.5, 0.25]], np.float32))
    with Image.open(map_path(tmp_path, 0)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "LA", (2, 1))
        assert np.asarray(image).tolist() == [[[3, 128], [1, 64]]]


@pytest.mark.parametrize(
    ("regions", "foreground", "named"),
    [
        (np.ones((2, 2), np.int64), np.zeros((2, 2)), "int64"),
        (np.ones((2, 2), np.uint8), np.zeros((2, 3)), r"\(2, 3\)"),
        (np.zeros((2, 2), np.uint8), np.zeros((2, 2)), "regions from 0"),
        (np.ones((2, 2), np.uint8), np.full((2, 2), np.nan), "nan"),
        (np.ones((2, 2), np.uint8), np.full((2, 2), 1.5), "to 1.5"),
    ],
)
def test_what_is_no_answer_is_not_written(
    regions: np.ndarray, foreground: np.ndarray, named: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=named):
        write_map(tmp_path, 0, regions, foreground)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_map_is_named_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(PredictionsError, match=r"000000\.png: No such file.*training\.predict --task segmentation"):
        read_map(tmp_path, 0)
    map_path(tmp_path, 0).write_text("no picture")
    with pytest.raises(PredictionsError, match=r"000000\.png: cannot identify"):
        read_map(tmp_path, 0)
    Image.new("RGB", (2, 2)).save(map_path(tmp_path, 0))
    with pytest.raises(PredictionsError, match="its mode is RGB"):
        read_map(tmp_path, 0)
    Image.new("LA", (2, 2)).save(map_path(tmp_path, 0))
    with pytest.raises(PredictionsError, match="region 0"):
        read_map(tmp_path, 0)


def test_maps_of_other_predictions_are_refused(tmp_path: Path) -> None:
    for row in range(3):
        write_map(tmp_path, row, *drawn(row))
    refuse_other_maps(tmp_path, 3)
    with pytest.raises(PredictionsError, match=r"3 predicted maps.*4 rows \(000003\.png is missing\)"):
        refuse_other_maps(tmp_path, 4)
    with pytest.raises(PredictionsError, match=r"3 predicted maps.*2 rows \(000002\.png is of no row\)"):
        refuse_other_maps(tmp_path, 2)
    with pytest.raises(PredictionsError, match="no folder of predicted maps"):
        refuse_other_maps(tmp_path / "gone", 2)


def test_only_maps_are_removed(tmp_path: Path) -> None:
    write_map(tmp_path, 7, *drawn())
    (tmp_path / "notes.png").write_bytes(b"a person's own")
    (tmp_path / "contract.json").write_text("{}")
    remove_maps(tmp_path)
    remove_maps(tmp_path / "gone")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["contract.json", "notes.png"]
