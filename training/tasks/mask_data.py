"""Pictures with their masks for training: equal draws of classes and objects, views that move both together."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from dataset.manifest import Manifest, ManifestError
from runtime.model.contract import ModelContract
from runtime.model.errors import ImageError
from runtime.model.image import ImageArray, decode_image
from runtime.model.preprocess import preprocess, read_for_model
from training.data.loader import Loader
from training.tasks.mask_loss import IGNORED
from training.tasks.mask_params import MaskParams, MaskPhase

MASK_THRESHOLD = 127  # masks are JPEG-like at their edges: grey there is neither
MAX_KEPT_BYTES = 2**30  # of decoded pictures and masks in each process
VIEW_MULTIPLE_PX = 32  # the coarsest stride of the pyramid

MaskArray = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
MarkArray = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


class Views(NamedTuple):
    """One view or a batch of them. images: `(h, w, 3)` uint8. masks: `(h, w)` uint8 as `mask_loss` takes them."""

    images: torch.Tensor
    masks: torch.Tensor


class Draw(NamedTuple):
    """One training view: a row of the manifest, and the seed of all that is random in it."""

    row: int
    seed: int


class MaskedPictures:
    """Pictures of a manifest with masks at the size the model takes, read when first asked for and then kept."""

    def __init__(self, manifest: Manifest, contract: ModelContract) -> None:
        self.labels: list[str] = manifest.table["label"].tolist()
        self.groups: list[str] = manifest.table["group"].tolist()
        self._paths = [manifest.root / path for path in manifest.table["path"]]
        self._masks = [manifest.root / path if path else None for path in manifest.table["mask"]]
        self._contract = contract
        self._kept: dict[int, tuple[ImageArray, MarkArray]] = {}
        self._max_kept = MAX_KEPT_BYTES // (4 * contract.height * contract.width)

    def __len__(self) -> int:
        return len(self._paths)

    def picture(self, row: int) -> ImageArray:
        """Return `(height, width, 3)` uint8 as the service would see it."""
        return self._read(row)[0]

    def is_defect(self, row: int) -> MarkArray:
        """Return `(height, width)`, true where the mask marks a defect; all false without a mask file."""
        return self._read(row)[1]

    def _read(self, row: int) -> tuple[ImageArray, MarkArray]:
        if row in self._kept:
            return self._kept[row]
        path = self._paths[row]
        try:
            both = read_for_model(_bytes(path), self._contract), self._read_mask(self._masks[row])
        except ImageError as exc:
            raise ManifestError(f"{path} can no longer be read ({exc}); run `make data` again") from exc
        if len(self._kept) < self._max_kept:
            self._kept[row] = both
        return both

    def _read_mask(self, path: Path | None) -> MarkArray:
        if path is None:
            return np.zeros((self._contract.height, self._contract.width), dtype=np.bool_)
        try:
            mask = decode_image(_bytes(path))
        except ImageError as exc:
            raise ManifestError(f"the mask {path} cannot be read: {exc}") from exc
        # Resized as the picture is, so that both stay on each other whatever the rule; bars are just not marked.
        marked = np.where(mask > MASK_THRESHOLD, np.uint8(255), np.uint8(0))
        return preprocess(marked, self._contract)[:, :, 0] > MASK_THRESHOLD + 1

    def defect_classes(self) -> tuple[str, ...]:
        """Return the classes of which a mask marks a pixel, sorted. Raises ManifestError if there is none."""
        found: set[str] = set()
        for row, label in enumerate(self.labels):
            if label not in found and self.is_defect(row).any():
                found.add(label)
        if not found:
            raise ManifestError(
                "no picture of the training split has a mask that marks a defect: set model.head to linear, "
                "or give masks"
            )
        return tuple(sorted(found))

    def mask(self, row: int, defects: Sequence[str]) -> MaskArray:
        """Return `(height, width)` uint8: 0 background, `d + 1` defect d; all 255 where a defect's mask is empty."""
        marked = self.is_defect(row)
        label = self.labels[row]
        if label not in defects:
            return np.zeros(marked.shape, dtype=np.uint8)
        if not marked.any():  # the defect is there, but nobody has marked it
            return np.full(marked.shape, IGNORED, dtype=np.uint8)
        return np.where(marked, np.uint8(defects.index(label) + 1), np.uint8(0))


class TrainingViews(Dataset[Views]):
    """A fixed list of draws as tensors."""

    def __init__(
        self,
        pictures: MaskedPictures,
        defects: Sequence[str],
        draws: Sequence[Draw],
        phase: MaskPhase,
        params: MaskParams,
    ) -> None:
        self._pictures, self._defects, self._draws = pictures, defects, draws
        self._phase, self._params = phase, params

    def __len__(self) -> int:
        return len(self._draws)

    def __getitem__(self, index: int) -> Views:
        row, seed = self._draws[index]
        rng = np.random.default_rng(seed)
        image, mask = self._pictures.picture(row), self._pictures.mask(row, self._defects)
        image, mask = random_view(image, mask, self._phase.view, self._params.defect_view_share, rng)
        image, mask = random_flips(image, mask, rng)
        image = random_exposure(image, self._params.gain_stops, self._params.gamma, rng)
        return Views(torch.from_numpy(np.ascontiguousarray(image)), torch.from_numpy(np.ascontiguousarray(mask)))


def balanced_draws(labels: Sequence[str], groups: Sequence[str], num_draws: int, seed: int) -> list[Draw]:
    """Draw a class, then one of its objects, then one of its pictures, each with equal chance."""
    rows: dict[str, dict[str, list[int]]] = {}
    for row, (label, group) in enumerate(zip(labels, groups, strict=True)):
        rows.setdefault(label, {}).setdefault(group, []).append(row)
    tree = [[members for _, members in sorted(objects.items())] for _, objects in sorted(rows.items())]
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(num_draws):
        objects = tree[rng.integers(len(tree))]
        members = objects[rng.integers(len(objects))]
        draws.append(Draw(members[rng.integers(len(members))], int(rng.integers(2**63))))
    return draws


def random_view(
    image: ImageArray, mask: MaskArray, share: float, defect_share: float, rng: np.random.Generator
) -> tuple[ImageArray, MaskArray]:
    """Cut the same window out of both: `share` of each side, to a multiple of 32 pixels.

    With chance `defect_share` a window around a defect pixel, if there is one; else anywhere.
    """
    height, width = mask.shape
    view_h, view_w = (view_side(side, share) for side in (height, width))
    top, left = rng.integers(height - view_h + 1), rng.integers(width - view_w + 1)
    marked = np.argwhere((mask > 0) & (mask != IGNORED))
    if len(marked) and rng.random() < defect_share:
        y, x = marked[rng.integers(len(marked))]
        top = np.clip(y - rng.integers(view_h), 0, height - view_h)
        left = np.clip(x - rng.integers(view_w), 0, width - view_w)
    window = slice(top, top + view_h), slice(left, left + view_w)
    return image[window], mask[window]


def random_flips(image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> tuple[ImageArray, MaskArray]:
    """Mirror both along each axis with chance one half."""
    steps = tuple(slice(None, None, -1 if rng.random() < 0.5 else 1) for _ in range(2))
    return image[steps], mask[steps]


def random_exposure(image: ImageArray, gain_stops: float, gamma: float, rng: np.random.Generator) -> ImageArray:
    """Change brightness by up to `gain_stops` (powers of two) and the tone curve by an exponent within 1 +- gamma."""
    gain, exponent = 2 ** rng.uniform(-gain_stops, gain_stops), rng.uniform(1 - gamma, 1 + gamma)
    curve = 255 * np.clip(gain * (np.arange(256) / 255) ** exponent, 0, 1)
    return np.round(curve).astype(np.uint8)[image]


def view_loader(views: TrainingViews, batch_size: int, num_workers: int) -> Loader[Views]:
    """Batches of views in the order of their draws.

    The loader has a generator of its own: it draws a number when it is made, and a resumed run makes one more.
    """
    own = torch.Generator()
    return Loader(views, batch_size=batch_size, num_workers=num_workers, drop_last=True, generator=own)


def view_side(side_px: int, share: float) -> int:
    """Return the side of a view that is `share` of the picture's, a multiple of 32 unless it is the whole side."""
    if share == 1:
        return side_px
    return min(side_px, max(1, round(side_px * share / VIEW_MULTIPLE_PX)) * VIEW_MULTIPLE_PX)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ManifestError(f"{path} can no longer be read ({exc}); run `make data` again") from exc
