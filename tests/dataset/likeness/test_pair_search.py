"""The search finds what comparing everything finds, looks at little in full, and keeps few pairs of each picture."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dataset.likeness import pair_search
from dataset.likeness.disjoint_sets import DisjointSets
from dataset.likeness.near_duplicates import join_alike
from dataset.likeness.nearest import Nearest
from dataset.likeness.pair_search import blocks_above


def clustered(num: int, num_clusters: int, size: int = 600, seed: int = 0, noise: float = 0.4) -> NDArray[np.float32]:
    """Unit vectors around a few centres; those of one centre correlate at about 1 / (1 + noise**2)."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(num_clusters, size))
    rows = centres[rng.integers(num_clusters, size=num)] + noise * rng.normal(size=(num, size))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def found(vectors: NDArray[np.float32], threshold: float) -> set[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    for block in blocks_above(vectors, threshold):
        pairs += zip(*(side.tolist() for side in block.pairs()), strict=True)
    assert len(pairs) == len(set(pairs))
    return set(pairs)


@pytest.fixture
def in_small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the way of large data sets with few vectors."""
    monkeypatch.setattr(pair_search, "BLOCK_ROWS", 64)
    monkeypatch.setattr(pair_search, "_FEW_VECTORS", 0)
    monkeypatch.setattr(pair_search, "_SAMPLED", 400)


@pytest.mark.usefixtures("in_small_blocks")
@pytest.mark.parametrize(("threshold", "noise"), [(0.9, 0.3), (0.85, 0.4), (0.02, 3.0)])
def test_the_bound_loses_no_pair(threshold: float, noise: float) -> None:
    vectors = clustered(500, 90, noise=noise)
    vectors[17] = 0  # a picture without structure
    expected = {(int(i), int(j)) for i, j in np.argwhere(vectors @ vectors.T > threshold) if i < j}
    assert len(expected) > 100
    assert found(vectors, threshold) == expected


@pytest.mark.usefixtures("in_small_blocks")
def test_few_pairs_are_compared_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clustered(640, 6000, size=300)  # some thirty pairs
    compared = []
    compare = pair_search._compare

    def counting(*arguments: object) -> pair_search.Block:
        block = compare(*arguments)  # type: ignore[arg-type]
        compared.append(block.products.size)
        return block

    monkeypatch.setattr(pair_search, "_compare", counting)
    assert found(vectors, 0.8)
    assert 0 < sum(compared) < 0.02 * 640 * 639 / 2


@pytest.mark.usefixtures("in_small_blocks")
def test_pictures_that_are_joined_are_not_compared_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a fixed camera all pictures are alike: the first block joins what the others would say again."""
    vectors = clustered(640, 1)
    rows_compared = []
    compare = pair_search._compare

    def counting(*arguments: object) -> pair_search.Block:
        block = compare(*arguments)  # type: ignore[arg-type]
        rows_compared.append(len(block.rows))
        return block

    monkeypatch.setattr(pair_search, "_compare", counting)
    sets = DisjointSets(640)
    join_alike(sets, vectors, 0.5)
    assert sets.names() == ["g00001"] * 640
    assert len(rows_compared) <= 10  # of 55 blocks, those of the first row


def test_the_best_partners_are_kept_in_whatever_blocks_they_come() -> None:
    rng = np.random.default_rng(3)
    scores = rng.random((90, 90)).astype(np.float32)
    scores = np.triu(scores, 1) + np.triu(scores, 1).T
    expected = {tuple(sorted((i, int(j)))) for i in range(90) for j in np.argsort(-scores[i])[:3]}
    nearest = Nearest(90, 3)
    everything = np.arange(90)
    for row in range(0, 90, 30):
        for column in range(row, 90, 30):
            rows, columns = slice(row, row + 30), slice(column, column + 30)
            is_pair = everything[rows, None] < everything[None, columns]
            nearest.offer(everything[rows], everything[columns], scores[rows, columns], is_pair)
    assert set(zip(*(side.tolist() for side in nearest.pairs()), strict=True)) == expected


def test_nothing_offered_is_no_pair() -> None:
    nearest = Nearest(5, 2)
    nearest.offer(np.arange(2), np.arange(2, 5), np.ones((2, 3), np.float32), np.zeros((2, 3), bool))
    assert nearest.pairs()[0].size == 0
