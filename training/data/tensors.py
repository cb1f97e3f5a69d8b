"""Pictures of a manifest as tensors, and which process sees which of them."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol, cast

import numpy as np
import torch
from torch.utils.data import Dataset

from dataset.manifest import Manifest, ManifestError
from runtime.model.contract import ModelContract
from runtime.model.errors import ImageError
from runtime.model.image import ImageArray
from runtime.model.preprocess import WHOLE, View, preprocess, read_for_model
from training.batch_params import SamplingRule
from training.data.augmentation import Augmentation
from training.data.cache import PictureCache
from training.data.loader import Loader
from training.data.mixing import Mixing
from training.data.sampling import Draws, Part, epoch_order, object_draws

PREFETCH = 2  # PyTorch's own
BoxArray = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
Draw = tuple[int, int]  # a picture's index, and what tells this draw of it from others: see training/data/sampling.py


class Batch(NamedTuple):
    """What a process sees of one step.

    images: `(n, height, width, 3)` uint8. labels, indices: `(n,)` int64, the latter rows of the manifest. targets: what
    the loss compares with, for classes `(n, classes)` float32, one-hot unless pictures are mixed.
    """

    images: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor
    targets: torch.Tensor


class Picture(NamedTuple):
    """One draw of a picture. row, repeat: the draw.

    image: `(height, width, 3)` uint8 of the model's size, or a view of it. mask: `(height, width)` uint8, its target
    where pixels are compared. boxes: `(m, 6)` float32, its target where boxes are.
    """

    image: ImageArray
    label: int
    row: int
    repeat: int
    mask: ImageArray | None = None
    boxes: BoxArray | None = None


class TrainingData(Protocol):
    """Pictures with what training compares with, whatever that is.

    groups: the object that each picture shows. epoch: planned epoch from 1, and phase: index, that pictures are drawn
    for.
    """

    labels: list[int]
    groups: list[str]
    epoch: int
    phase: int

    @property
    def legend(self) -> list[tuple[str, tuple[int, int, int]]]:
        """Name what is drawn into pictures to look at, each with its colour."""
        ...

    def __len__(self) -> int: ...
    def __getitem__(self, draw: Draw | int) -> Picture: ...
    def collate(self, pictures: Sequence[Picture]) -> Batch:
        """Put pictures together to a batch."""
        ...

    def plain(self, index: int) -> ImageArray:
        """Return the whole picture as the service would see it, with what belongs to it drawn in."""
        ...

    def tile(self, index: int, repeat: int) -> ImageArray:
        """Return a draw of a picture to look at, `(h, w, 3)` uint8 with what belongs to it drawn in."""
        ...


class PictureDataset(Dataset[Picture]):
    """Rows of a manifest, decoded and preprocessed as the service does; augmented only if an augmentation is given."""

    def __init__(
        self,
        manifest: Manifest,
        contract: ModelContract,
        augmentation: Augmentation | None = None,
        mixing: Mixing | None = None,
        cache: PictureCache | None = None,
    ) -> None:
        self._paths: list[Path] = [manifest.root / path for path in manifest.table["path"]]
        class_ids = {name: i for i, name in enumerate(contract.classes)}
        unknown = sorted(set(manifest.table["label"]) - set(class_ids))
        if unknown:
            raise ManifestError(f"class(es) {', '.join(unknown)} are not among the model's {contract.classes}")
        self.labels = [class_ids[label] for label in manifest.table["label"]]
        self.groups: list[str] = manifest.table["group"].tolist()
        self._num_classes = len(contract.classes)
        self._contract = contract
        self._augmentation = augmentation
        self._mixing = mixing
        self._cache = cache
        self._sha256 = list(manifest.table["sha256"])
        self.epoch, self.phase = 0, 0

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, draw: Draw | int) -> Picture:
        index, repeat = (draw, 0) if isinstance(draw, int) else draw
        augmentation = self._augmentation
        view = WHOLE if augmentation is None else augmentation.view(self.epoch, index, repeat)
        image = self.read(index, view)
        if augmentation is not None:
            image = augmentation(image, self.epoch, index, repeat)
        return Picture(image, self.labels[index], index, repeat)

    @property
    def legend(self) -> list[tuple[str, tuple[int, int, int]]]:
        """Return nothing: nothing is drawn in."""
        return []

    def plain(self, index: int) -> ImageArray:
        """Return the whole picture, unchanged by augmentation, as the service would see it."""
        return self.read(index, WHOLE)

    def tile(self, index: int, repeat: int) -> ImageArray:
        """Return a picture as training sees it."""
        return self[index, repeat].image

    def collate(self, pictures: Sequence[Picture]) -> Batch:
        """Put pictures together to a batch, mixed with each other if a mixing was given."""
        labels, indices = [p.label for p in pictures], [p.row for p in pictures]
        images = [p.image for p in pictures]
        targets = np.eye(self._num_classes, dtype=np.float32)[labels]
        if self._mixing is not None:
            images, targets = self._mixing(images, targets, [(p.row, p.repeat) for p in pictures], self.epoch)
        return Batch(
            torch.from_numpy(np.stack(images)), torch.tensor(labels), torch.tensor(indices), torch.from_numpy(targets)
        )

    def read(self, index: int, view: View) -> ImageArray:
        """Return part of a picture at the model's size. Raises ManifestError if its file can no longer be read."""
        path = self._paths[index]
        try:
            if self._cache is not None:
                return preprocess(self._cache.read(path, self._sha256[index]), self._contract, view)
            return read_for_model(path.read_bytes(), self._contract, view=view)
        except (OSError, ImageError) as exc:
            raise ManifestError(f"{path} can no longer be read ({exc}); run `make data` again") from exc


def training_batches(
    dataset: TrainingData,
    epoch: int,
    batch_size: int,
    rank: int,
    world_size: int,
    seed: int,
    num_workers: int = 0,
    rule: SamplingRule = "shuffle",
    start_step: int = 0,
    prefetch: int = PREFETCH,
    part: Part | None = None,
) -> Iterator[Batch]:
    """Yield this process's share of every batch of one epoch, from `start_step` on.

    prefetch: batches that each of `num_workers` loader processes keeps ready. part: the epoch's place in its phase;
    without it, the epoch is one pass over the data in the first phase.
    The order depends on seed and epoch alone; each global batch of `batch_size` is dealt out evenly, so any number of
    processes trains on the same batches. What does not fill a last batch waits for another epoch's draw.
    """
    pass_steps = len(dataset) // batch_size
    part = part or Part(0, 0, pass_steps)
    dataset.epoch, dataset.phase = epoch, part.phase
    num_draws = part.num_steps * batch_size
    if rule == "objects":
        order = object_draws(dataset.labels, dataset.groups, seed, part.phase, part.first_step * batch_size, num_draws)
    else:
        one_pass = len(dataset) if part.num_steps == pass_steps else num_draws  # a pass may leave some pictures out
        order = epoch_order(dataset.labels, rule, seed, epoch, one_pass)
    share = batch_size // world_size
    batches = order[:num_draws].reshape(part.num_steps, batch_size, 2)[start_step:]
    mine = [[(index, repeat) for index, repeat in batch] for batch in _share(batches, rank, share).tolist()]
    # Made here and not in a thread: PyTorch draws from the generator that dropout uses too.
    batches_of_mine = iter(_loader(dataset, mine, num_workers, prefetch))
    return batches_of_mine if num_workers else one_ahead(batches_of_mine)


def one_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Have a thread read the next batch while one is trained on: decoding and resizing leave the interpreter free."""
    with ThreadPoolExecutor(1, "loader") as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


def _share(batches: Draws, rank: int, share: int) -> Draws:
    return batches[:, rank * share : (rank + 1) * share]


def evaluation_batches(
    dataset: TrainingData, batch_size: int, rank: int = 0, world_size: int = 1, num_workers: int = 0
) -> Iterable[Batch]:
    """Return every `world_size`-th picture, each exactly once over all processes: none is padded or repeated."""
    mine = [(index, 0) for index in range(rank, len(dataset), world_size)]
    batches = [mine[i : i + batch_size] for i in range(0, len(mine), batch_size)]
    return _loader(dataset, batches, num_workers)


def _loader(
    dataset: TrainingData, batches: list[list[Draw]], num_workers: int, prefetch: int = PREFETCH
) -> Iterable[Batch]:
    """Wrap PyTorch's loader, whose stubs do not see that collate_fn makes a Batch."""
    return Loader(
        cast("Dataset[Picture]", dataset), batch_sampler=batches, collate_fn=dataset.collate, num_workers=num_workers,
        prefetch_factor=prefetch if num_workers else None, pin_memory=torch.cuda.is_available(),
    )  # fmt: skip
