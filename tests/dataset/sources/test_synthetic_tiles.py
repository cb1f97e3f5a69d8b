"""The drawn tiles: reproducible, true to their masks, leaking between exposures, and not too easy."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_dilation, label, uniform_filter

from dataset.likeness.near_duplicates import high_pass_thumbnail
from dataset.sources.source_picture import SourcePicture
from dataset.sources.synthetic.synthetic_exposures import draw_tile
from dataset.sources.synthetic.synthetic_tiles import (
    CLASS_TILES,
    DESCRIPTION,
    MIN_TILES_PER_CLASS,
    REGIONS,
    draw_synthetic_tiles,
    tile_labels,
)
from runtime.model.image import decode_image

DEFECTS = [name for name in CLASS_TILES if name != "Free"]
LABELS = tile_labels(120)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def pictures(data_dir: Path) -> list[SourcePicture]:
    return draw_synthetic_tiles(data_dir / "pictures")


def grey(path: Path) -> NDArray[np.float64]:
    with Image.open(path) as image:
        return np.asarray(image).astype(np.float64)


def mask_of(path: Path) -> NDArray[np.bool_]:
    return grey(path) > 0


def hashes(pictures_dir: Path) -> dict[str, str]:
    files = [path for path in sorted(pictures_dir.rglob("*")) if path.is_file()]
    return {str(path.relative_to(pictures_dir)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def tiles_of(name: str) -> list[int]:
    return [tile for tile, label_ in enumerate(LABELS) if label_ == name]


def test_720_pictures_of_120_tiles_have_the_imbalance_of_the_real_set(pictures: list[SourcePicture]) -> None:
    assert len(pictures) == 720
    assert Counter({picture.group: picture.label for picture in pictures}.values()) == CLASS_TILES
    assert set(Counter(picture.group for picture in pictures).values()) == {6}


def test_rows_name_files_relative_to_the_data_directory(data_dir: Path, pictures: list[SourcePicture]) -> None:
    named = {picture.path for picture in pictures} | {picture.mask for picture in pictures}
    assert named == {f"pictures/{name}" for name in hashes(data_dir / "pictures")}
    assert len(named) == 2 * len(pictures)


def test_attributes_hold_the_exposure_and_nothing_that_tells_the_class(pictures: list[SourcePicture]) -> None:
    assert [picture.attributes for picture in pictures[:6]] == [{"exposure": str(e)} for e in range(1, 7)]
    assert {tuple(picture.attributes) for picture in pictures} == {("exposure",)}


def test_another_process_draws_the_same_bytes_and_fewer_tiles_are_the_first_of_many(
    data_dir: Path, pictures: list[SourcePicture], tmp_path: Path
) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from dataset.sources.synthetic.synthetic_tiles import draw_synthetic_tiles as draw; "
        "draw(Path(sys.argv[1]), num_tiles=20)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "pictures")], check=True, env=environment)
    few, many = hashes(tmp_path / "pictures"), hashes(data_dir / "pictures")
    assert len(few) == 20 * 6 * 2
    assert few == {name: many[name] for name in few}


def test_another_seed_draws_other_pictures(data_dir: Path, pictures: list[SourcePicture], tmp_path: Path) -> None:
    draw_synthetic_tiles(tmp_path / "pictures", num_tiles=18, seed=1)
    other, default = hashes(tmp_path / "pictures"), hashes(data_dir / "pictures")
    assert not [name for name in other if name.endswith(".jpg") and other[name] == default[name]]


def test_no_two_pictures_have_the_same_bytes(data_dir: Path, pictures: list[SourcePicture]) -> None:
    assert len(set(hashes(data_dir / "pictures" / "images").values())) == 720


def test_few_tiles_still_hold_three_of_every_class() -> None:
    assert set(Counter(tile_labels(18)).values()) == {MIN_TILES_PER_CLASS}
    assert tile_labels(40) == LABELS[:40]


def test_too_few_tiles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected at least 18 tiles \(3 a class\), got 17"):
        draw_synthetic_tiles(tmp_path / "pictures", num_tiles=17)
    assert not (tmp_path / "pictures").exists()


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a class of Free, .*got 'Scratch'"):
        draw_tile(0, "Scratch", seed=0)


def test_pictures_are_grey_jpegs_of_varying_size(data_dir: Path, pictures: list[SourcePicture]) -> None:
    sizes = set()
    for picture in pictures:
        with Image.open(data_dir / picture.path) as image:
            assert (image.format, image.mode) == ("JPEG", "L")
            sizes.add(image.size)
    sides = [side for size in sizes for side in size]
    assert 180 <= min(sides) < 200
    assert 300 < max(sides) <= 320
    assert len(sizes) > 300


def test_masks_fit_their_pictures_and_are_empty_only_without_defect(
    data_dir: Path, pictures: list[SourcePicture]
) -> None:
    for picture in pictures:
        mask = grey(data_dir / picture.mask)
        assert mask.shape == grey(data_dir / picture.path).shape
        assert set(np.unique(mask)) <= {0, 1 + REGIONS.index(picture.label) if picture.label != "Free" else 0}
        assert (mask > 0).any() == (picture.label != "Free"), picture.path


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_changes_the_tile_where_its_mask_says_and_nowhere_else(name: str) -> None:
    for tile in tiles_of(name):
        clean, _ = draw_tile(tile, "Free", seed=0)
        flawed, mask = draw_tile(tile, name, seed=0)
        change = np.abs(flawed.reflectance - clean.reflectance)
        near = binary_dilation(mask, iterations=3)
        assert change[near].sum() > 0.97 * change.sum(), f"tile {tile} is changed beside its mask"
        assert change[mask].mean() > 0.05, f"the defect of tile {tile} cannot be seen"
        np.testing.assert_array_equal(flawed.light, clean.light)
        is_beside = clean.matte < 0.05
        assert not (mask | (change > 0))[is_beside].any(), f"the defect of tile {tile} leaves the tile"


@pytest.mark.parametrize("name", ["Blowhole", "Break", "Crack", "Fray"])
def test_missing_material_is_darker_than_the_ground_around_it(name: str) -> None:
    for tile in tiles_of(name):
        clean, _ = draw_tile(tile, "Free", seed=0)
        flawed, mask = draw_tile(tile, name, seed=0)
        assert flawed.reflectance[mask].mean() < 0.92 * clean.reflectance[mask].mean(), f"tile {tile}"


def test_masks_lie_on_the_defect_in_every_exposure(data_dir: Path, pictures: list[SourcePicture]) -> None:
    darker = []
    for picture in pictures:
        if picture.label == "Blowhole":
            image, mask = grey(data_dir / picture.path), mask_of(data_dir / picture.mask)
            ring = binary_dilation(mask, iterations=8) & ~binary_dilation(mask, iterations=3)
            darker.append(image[mask].mean() < 0.9 * image[ring].mean())
    assert np.mean(darker) > 0.97  # a pore on a dark bevel, in the darkest exposure, may drown


def test_tiny_blowholes_exist(data_dir: Path, pictures: list[SourcePicture]) -> None:
    widths_px = []
    for picture in pictures:
        if picture.label == "Blowhole" and picture.attributes["exposure"] == "1":
            regions, count = label(mask_of(data_dir / picture.mask))
            for region in range(1, count + 1):
                rows, columns = np.nonzero(regions == region)
                widths_px.append(max(np.ptp(rows), np.ptp(columns)) + 1)
    assert sum(3 <= width <= 7 for width in widths_px) >= 3
    assert max(widths_px) >= 14


def test_a_picture_is_most_like_another_exposure_of_its_own_tile(data_dir: Path, pictures: list[SourcePicture]) -> None:
    thumbnails = np.stack([high_pass_thumbnail(decode_image((data_dir / p.path).read_bytes())) for p in pictures])
    groups = np.array([picture.group for picture in pictures])
    correlation = thumbnails @ thumbnails.T
    np.fill_diagonal(correlation, -1)
    is_same = groups[:, None] == groups[None, :]
    assert (groups[correlation.argmax(axis=1)] == groups).mean() > 0.95  # the real set: 97%
    assert np.median(correlation[is_same]) > np.quantile(correlation[~is_same], 0.99)
    # params.yaml joins pictures above 0.9 to one object: two drawn tiles must never be taken for one.
    assert correlation[~is_same].max() < 0.9


def test_exposures_run_from_dark_to_washed_out(data_dir: Path, pictures: list[SourcePicture]) -> None:
    means = np.array([grey(data_dir / picture.path).mean() for picture in pictures]).reshape(120, 6)
    assert (np.diff(means, axis=1) > 0).mean() > 0.95
    assert (means[:, 5] > 1.8 * means[:, 0]).all()
    assert np.median(means[:, 0]) < 70
    washed_out = [(grey(data_dir / picture.path) >= 250).mean() for picture in pictures[5::6]]
    assert max(washed_out) > 0.05


def test_dark_specks_alone_do_not_tell_blowholes_from_clean_tiles(
    data_dir: Path, pictures: list[SourcePicture]
) -> None:
    """The darkest small spot, relative to its surroundings, overlaps: dust on Free tiles, tiny and faint pores."""
    darkest: dict[str, list[float]] = {"Free": [], "Blowhole": []}
    for picture in pictures:
        if picture.label in darkest and picture.attributes["exposure"] == "4":
            image = grey(data_dir / picture.path)[20:-20, 20:-20]
            spot = uniform_filter(image, 5) / uniform_filter(image, 21)
            darkest[picture.label].append(float(spot.min()))
    free, flawed = np.array(darkest["Free"]), np.array(darkest["Blowhole"])
    separation = (flawed[:, None] < free[None, :]).mean()  # area under the ROC curve
    assert 0.7 < separation < 0.98


def test_the_description_says_that_nothing_is_a_photograph() -> None:
    assert DESCRIPTION.name == "synthetic-tiles"
    assert "none is a photograph" in DESCRIPTION.summary
    assert not DESCRIPTION.compare_protocols
