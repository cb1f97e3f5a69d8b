"""Pictures of a manifest as tensors, and which process sees which of them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from dataset.manifest import Manifest, ManifestError
from runtime.contract import ModelContract
from runtime.errors import ImageError
from runtime.image import ImageArray, decode_image
from runtime.preprocess import preprocess, read_for_model, sufficient_size
from training.augmentation import Augmentation


class Batch(NamedTuple):
    """images: `(n, height, width, 3)` uint8; labels: `(n,)` int64; indices: `(n,)` int64, rows of the manifest."""

    images: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor


class PictureDataset(Dataset[tuple[torch.Tensor, int, int]]):
    """Rows of a manifest, decoded and preprocessed as the service does; augmented only if an augmentation is given."""

    def __init__(self, manifest: Manifest, contract: ModelContract, augmentation: Augmentation | None = None) -> None:
        self._paths: list[Path] = [manifest.root / path for path in manifest.table["path"]]
        class_ids = {name: i for i, name in enumerate(contract.classes)}
        unknown = sorted(set(manifest.table["label"]) - set(class_ids))
        if unknown:
            raise ManifestError(f"class(es) {', '.join(unknown)} are not among the model's {contract.classes}")
        self.labels = [class_ids[label] for label in manifest.table["label"]]
        self._contract = contract
        self._augmentation = augmentation
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, int]:
        path = self._paths[index]
        try:
            pixels = self._read(path.read_bytes(), index)
        except (OSError, ImageError) as exc:
            raise ManifestError(f"{path} can no longer be read ({exc}); run `make data` again") from exc
        # A copy: torch refuses read-only memory.
        return torch.from_numpy(np.array(pixels)), self.labels[index], index

    def _read(self, data: bytes, index: int) -> ImageArray:
        if self._augmentation is None:
            return read_for_model(data, self._contract)
        image = decode_image(data, at_least=sufficient_size(self._contract))
        return preprocess(self._augmentation(image, self.epoch, index), self._contract)


def _collate(samples: list[tuple[torch.Tensor, int, int]]) -> Batch:
    images, labels, indices = zip(*samples, strict=True)
    return Batch(torch.stack(images), torch.tensor(labels), torch.tensor(indices))


def training_batches(
    dataset: PictureDataset, epoch: int, batch_size: int, rank: int, world_size: int, seed: int, num_workers: int = 0
) -> Iterator[Batch]:
    """Yield this process's share of every batch of one shuffled epoch.

    The order depends on seed and epoch alone; each global batch of `batch_size` is dealt out evenly, so any number of
    processes trains on the same batches. What does not fill a last batch waits for another epoch's shuffle.
    """
    dataset.epoch = epoch
    order = np.random.default_rng([seed, epoch]).permutation(len(dataset))
    num_steps = len(order) // batch_size
    share = batch_size // world_size
    batches = order[: num_steps * batch_size].reshape(num_steps, batch_size)[:, rank * share : (rank + 1) * share]
    return iter(_loader(dataset, batches.tolist(), num_workers))


def evaluation_batches(
    dataset: PictureDataset, batch_size: int, rank: int = 0, world_size: int = 1, num_workers: int = 0
) -> Iterable[Batch]:
    """Return every `world_size`-th picture, each exactly once over all processes: none is padded or repeated."""
    mine = list(range(rank, len(dataset), world_size))
    batches = [mine[i : i + batch_size] for i in range(0, len(mine), batch_size)]
    return _loader(dataset, batches, num_workers)


def _loader(dataset: PictureDataset, batches: list[list[int]], num_workers: int) -> Iterable[Batch]:
    """Wrap PyTorch's loader, whose stubs do not see that collate_fn makes a Batch."""
    return DataLoader(dataset, batch_sampler=batches, collate_fn=_collate, num_workers=num_workers)


def check_batch_size(num_pictures: int, batch_size: int, world_size: int) -> None:
    """Raise ManifestError if batches cannot be filled, or cannot be shared evenly by the processes."""
    if batch_size % world_size:
        raise ManifestError(
            f"train.batch_size is {batch_size} over all processes, which {world_size} processes cannot share evenly: "
            f"use a multiple of {world_size}"
        )
    if num_pictures < batch_size:
        raise ManifestError(
            f"{num_pictures} training pictures do not fill one batch of {batch_size}: lower train.batch_size"
        )
