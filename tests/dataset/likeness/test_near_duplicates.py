"""Likeness: shots of one object match under any exposure, other objects do not, and grouping is transitive."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from dataset.likeness import pair_search
from dataset.likeness.alignment import half_size, pairs_of_neighbours, registered_correlation, spectrum
from dataset.likeness.disjoint_sets import DisjointSets
from dataset.likeness.near_duplicates import high_pass_thumbnail, join_alike, pairs_above
from dataset.manifest import ManifestError
from tests.dataset.picture_files import exposed, texture


def rgb(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey[..., None], 3, axis=2)


def group_by_correlation(
    thumbnails: NDArray[np.float32], threshold: float, initial_groups: Sequence[str] = ()
) -> list[str]:
    groups = DisjointSets(len(thumbnails))
    groups.join_equal(initial_groups)
    join_alike(groups, thumbnails, threshold)
    return groups.names()


def test_a_thumbnail_has_zero_mean_and_unit_norm() -> None:
    thumbnail = high_pass_thumbnail(rgb(texture(0, 300, 123)))
    assert thumbnail.shape == (4096,)
    assert thumbnail.dtype == np.float32
    assert abs(float(thumbnail.mean())) < 1e-6
    assert float(np.linalg.norm(thumbnail)) == pytest.approx(1, abs=1e-5)


def test_exposure_and_shading_do_not_count_and_structure_does() -> None:
    surfaces = [texture(seed) for seed in range(5)]
    shots = np.stack([high_pass_thumbnail(rgb(exposed(s, gain))) for s in surfaces for gain in (0.6, 0.8, 1.0)])
    assert group_by_correlation(shots, 0.9) == [f"g{index // 3 + 1:05d}" for index in range(15)]


@pytest.mark.parametrize("value", [0, 1, 77, 255])
def test_pictures_without_structure_match_nothing_not_even_each_other(value: int) -> None:
    thumbnail = high_pass_thumbnail(np.full((70, 90, 3), value, dtype=np.uint8))
    assert not thumbnail.any()
    assert group_by_correlation(np.stack([thumbnail, thumbnail]), 0.5) == ["g00001", "g00002"]


def unit(*angles_deg: float) -> NDArray[np.float32]:
    radians = np.deg2rad(angles_deg)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_a_chain_of_likeness_is_one_group() -> None:
    # Neighbours are 20 degrees apart (0.94), the ends 40 degrees (0.77).
    assert group_by_correlation(unit(0, 20, 40, 120), 0.9) == ["g00001"] * 3 + ["g00002"]


def test_groups_known_beforehand_are_joined_and_the_empty_name_is_none() -> None:
    assert group_by_correlation(unit(0, 60, 120, 180), 0.9, ["", "b", "", "b"]) == [
        "g00001",
        "g00002",
        "g00003",
        "g00002",
    ]


def test_blocks_give_the_same_pairs_as_one_product(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(53, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    expected = {(int(i), int(j)) for i, j in np.argwhere(rows @ rows.T > 0.6) if i < j}
    monkeypatch.setattr(pair_search, "BLOCK_ROWS", 10)
    found = list(pairs_above(rows, 0.6))
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert len(expected) > 10


def test_too_many_pictures_are_refused_with_the_way_out() -> None:
    thumbnails = np.zeros((250_001, 1), dtype=np.float32)
    with pytest.raises(ManifestError, match=r"250001 pictures are too many .*square.*path,group"):
        group_by_correlation(thumbnails, 0.9)


def cut(surface: NDArray[np.uint8], top: int, left: int) -> NDArray[np.complex64]:
    return spectrum(half_size(rgb(surface[top : top + 200, left : left + 260])))


def test_shading_that_all_pictures_share_does_not_make_them_alike() -> None:
    light = np.outer(np.hanning(96), np.hanning(128)) * 200
    first, second = (np.clip(light + texture(seed) / 8.0, 0, 255).astype(np.uint8) for seed in (1, 2))
    assert float(high_pass_thumbnail(rgb(first)) @ high_pass_thumbnail(rgb(second))) < 0.5


@pytest.mark.parametrize(("first", "second"), [((0, 0), (40, 60)), ((40, 60), (0, 0)), ((40, 0), (0, 60))])
def test_shots_cut_out_differently_match_where_thumbnails_do_not(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    surface, darker, other = texture(1, 300, 360), exposed(texture(1, 300, 360), 0.7), texture(2, 300, 360)
    thumbnails = [
        high_pass_thumbnail(rgb(shot[top : top + 200, left : left + 260]))
        for shot, (top, left) in ((surface, first), (darker, second))
    ]
    assert float(thumbnails[0] @ thumbnails[1]) < 0.3
    assert registered_correlation(cut(surface, *first), cut(darker, *second)) > 0.45
    assert registered_correlation(cut(surface, *first), cut(other, *second)) < 0.2


def test_a_picture_fits_itself_perfectly_and_a_flat_one_fits_nothing() -> None:
    assert registered_correlation(cut(texture(1, 300, 360), 0, 0), cut(texture(1, 300, 360), 0, 0)) == pytest.approx(
        1, abs=1e-3
    )
    flat = spectrum(np.full((90, 90), 7, dtype=np.uint8))
    assert registered_correlation(flat, flat) == 0


def test_only_neighbours_within_the_window_are_compared() -> None:
    a, b = cut(texture(1, 300, 360), 0, 0), cut(texture(2, 300, 360), 0, 0)
    assert list(pairs_of_neighbours([a, b, a, b, b], window=2, threshold=0.45)) == [(0, 2), (1, 3), (3, 4)]
