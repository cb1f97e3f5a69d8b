"""Every process sees its share: training batches are dealt out of one order, evaluation misses and repeats nothing."""

import gc
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dataset.manifest import Manifest, ManifestError
from runtime.model.contract import ClassificationContract
from training.batch_params import SamplingRule
from training.data.tensors import (
    Batch,
    PictureDataset,
    evaluation_batches,
    one_ahead,
    training_batches,
)


@pytest.fixture
def manifest(tiny_tiles_dir: Path) -> Manifest:
    return Manifest.read(tiny_tiles_dir / "manifest.csv")


@pytest.fixture
def dataset(manifest: Manifest) -> PictureDataset:
    contract = ClassificationContract(classes=manifest.classes, height=32, width=32, mean=(0, 0, 0), std=(1, 1, 1))
    return PictureDataset(manifest.select("val"), contract)


def _epoch(dataset: PictureDataset, epoch: int, rank: int, world_size: int) -> list[list[int]]:
    batches = training_batches(dataset, epoch, 12, rank, world_size, seed=5)
    return [batch.indices.tolist() for batch in batches]


def _flat(batches: Iterable[list[int]]) -> list[int]:
    return [index for batch in batches for index in batch]


def test_any_number_of_processes_trains_on_the_same_batches(dataset: PictureDataset) -> None:
    alone = _epoch(dataset, 1, 0, 1)
    for world_size in (2, 3):
        shares = [_epoch(dataset, 1, rank, world_size) for rank in range(world_size)]
        assert [_flat(parts) for parts in zip(*shares, strict=True)] == alone


def test_an_epoch_repeats_no_picture_and_another_epoch_shuffles_anew(dataset: PictureDataset) -> None:
    first = _flat(_epoch(dataset, 1, 0, 1))
    assert len(first) == len(set(first)) == len(dataset) // 12 * 12
    assert first == _flat(_epoch(dataset, 1, 0, 1))
    assert first != _flat(_epoch(dataset, 2, 0, 1))


@pytest.mark.parametrize("rule", ["shuffle", "balanced"])
def test_an_epoch_begun_in_its_middle_goes_on_with_the_same_batches(
    dataset: PictureDataset, rule: SamplingRule
) -> None:
    options: dict[str, Any] = {"rank": 1, "world_size": 2, "seed": 5, "rule": rule}
    whole = list(training_batches(dataset, 1, 12, **options))
    rest = list(training_batches(dataset, 1, 12, **options, start_step=2))
    assert len(whole) > 3
    assert len(rest) == len(whole) - 2
    for resumed, first in zip(rest, whole[2:], strict=True):
        assert all((a == b).all() for a, b in zip(resumed, first, strict=True))


def test_the_next_batch_is_read_while_one_is_used(dataset: PictureDataset) -> None:
    batch, begun = next(training_batches(dataset, 1, 12, 0, 1, seed=5)), threading.Event()

    def batches() -> Iterator[Batch]:
        yield batch
        begun.set()
        yield batch

    ahead = one_ahead(batches())
    assert next(ahead) is batch
    assert begun.wait(timeout=300)
    assert len(list(ahead)) == 1


def test_a_picture_that_goes_bad_during_an_epoch_is_an_error_there(dataset: PictureDataset) -> None:
    def read(name: str) -> Batch:
        raise ManifestError(f"{name} can no longer be read")

    with pytest.raises(ManifestError, match=r"x\.jpg can no longer be read"):
        next(one_ahead(map(read, ["x.jpg"])))
    left = threading.active_count()
    next(training_batches(dataset, 1, 12, 0, 1, seed=5))  # given up after one batch
    gc.collect()
    assert threading.active_count() <= left


def test_targets_are_the_labels_one_hot(dataset: PictureDataset) -> None:
    batch = next(training_batches(dataset, 1, 12, 0, 1, seed=5))
    assert batch.targets.shape == (12, 6)
    assert batch.targets.argmax(dim=1).tolist() == batch.labels.tolist()
    assert batch.targets.sum().item() == 12


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_evaluation_covers_every_picture_exactly_once(dataset: PictureDataset, world_size: int) -> None:
    seen = [
        index
        for rank in range(world_size)
        for batch in evaluation_batches(dataset, 7, rank, world_size)
        for index in batch.indices.tolist()
    ]
    assert sorted(seen) == list(range(len(dataset)))


def test_loader_processes_change_nothing(dataset: PictureDataset) -> None:
    here = [batch.images for batch in evaluation_batches(dataset, 16)]
    there = [batch.images for batch in evaluation_batches(dataset, 16, num_workers=1)]
    assert all((a == b).all() for a, b in zip(here, there, strict=True))


def test_a_class_that_the_model_does_not_know_is_refused(manifest: Manifest) -> None:
    contract = ClassificationContract(classes=("Free", "Fray"), height=32, width=32, mean=(0, 0, 0), std=(1, 1, 1))
    with pytest.raises(ManifestError, match="Blowhole"):
        PictureDataset(manifest, contract)


def test_a_picture_that_went_bad_is_named(dataset: PictureDataset, manifest: Manifest, tmp_path: Path) -> None:
    table = manifest.table.head(1).assign(path="gone.jpg")
    contract = ClassificationContract(classes=manifest.classes, height=32, width=32, mean=(0, 0, 0), std=(1, 1, 1))
    with pytest.raises(ManifestError, match=r"gone\.jpg can no longer be read"):
        PictureDataset(Manifest(table, tmp_path), contract)[0, 0]
