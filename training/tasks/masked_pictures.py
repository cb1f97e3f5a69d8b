"""Pictures with their masks for training: views that move both together, around defects more often than not."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from dataset.annotations import IGNORED, Masks
from dataset.manifest import Manifest
from runtime.model.contract import ModelContract
from runtime.model.image import ImageArray
from runtime.model.preprocess import WHOLE, View
from training.data.augmentation import Augmentation, Sample
from training.data.cache import PictureCache
from training.data.tensors import Batch, Draw, Picture, PictureDataset
from training.params import Params
from training.task_params import SegmentationParams
from training.tasks.drawn_masks import Colour, colour_of, drawn_in

MAX_KEPT_BYTES = 2**30  # of decoded pictures and masks in each process
VIEW_MULTIPLE_PX = 32  # the coarsest stride of the pyramid
VIEW_STREAM = 3  # beside the streams of training/data/augmentation.py and training/data/mixing.py


class MaskedPictures(Dataset[Picture]):
    """Rows of a manifest with what their masks mark; changed at random only if views are given.

    A mask is `(height, width)` uint8, as `dataset.annotations.Masks` reads it. Whole pictures and their masks are kept
    in memory once they were read.
    """

    def __init__(
        self, manifest: Manifest, contract: ModelContract, cache: PictureCache | None = None,
        views: "Views | None" = None,
    ) -> None:  # fmt: skip
        self.whole = PictureDataset(manifest, contract, cache=cache)
        self.labels, self.groups = self.whole.labels, self.whole.groups
        self.epoch, self.phase = 0, 0
        self._masks = Masks(manifest, contract)
        self.regions = self._masks.regions
        self._views = views
        self._kept: dict[int, tuple[ImageArray, ImageArray]] = {}
        self._max_kept = MAX_KEPT_BYTES // (4 * contract.height * contract.width)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, draw: Draw | int) -> Picture:
        index, repeat = (draw, 0) if isinstance(draw, int) else draw
        if self._views is None:
            image, mask = self._read(index, WHOLE)
        else:
            part = self._views.part(self.epoch, index, repeat)
            image, mask = self._views(*self._read(index, part), self.phase, self.epoch, (index, repeat))
        return Picture(image, self.labels[index], index, repeat, mask)

    def collate(self, pictures: Sequence[Picture]) -> Batch:
        """Put views of one size together to a batch with their masks as targets."""
        images, masks = (
            np.stack([p.image for p in pictures]),
            np.stack([p.mask for p in pictures if p.mask is not None]),
        )
        labels, indices = torch.tensor([p.label for p in pictures]), torch.tensor([p.row for p in pictures])
        return Batch(torch.from_numpy(images), labels, indices, torch.from_numpy(masks))

    @property
    def legend(self) -> list[tuple[str, Colour]]:
        """Name the regions with the colours that they are drawn in."""
        return [(name, colour_of(value)) for value, name in enumerate(self._masks.regions, start=1)]

    def marks_any(self) -> bool:
        """Tell whether any picture's mask marks a pixel at the model's size."""
        return any(self._masks.marks_any(row) for row in range(len(self)))

    def plain(self, index: int) -> ImageArray:
        """Return the whole picture with what its mask says drawn in."""
        return drawn_in(*self._read(index, WHOLE))

    def tile(self, index: int, repeat: int) -> ImageArray:
        """Return a view, of each phase in turn, with what its mask says drawn in."""
        self.phase = repeat % self._views.num_phases if self._views else 0
        picture = self[index, repeat]
        assert picture.mask is not None
        return drawn_in(picture.image, picture.mask)

    def _read(self, index: int, part: View) -> tuple[ImageArray, ImageArray]:
        if part == WHOLE and index in self._kept:
            return self._kept[index]
        image, mask = self.whole.read(index, part), self._masks.read(index, part)
        if part == WHOLE and len(self._kept) < self._max_kept:
            self._kept[index] = image, mask
        return image, mask


class Views:
    """Random views of pictures with their masks: what `augment:` asks for, then those of a phase and of this task.

    Every draw is seeded by (seed, epoch, picture, repeat); one that was made by `train.sampling: objects` has a seed of
    its own.
    """

    def __init__(self, params: Params, own: SegmentationParams) -> None:
        self._params, self._own = params, own
        # Mirrored here, and not once more there.
        plain = params.augment.model_copy(update={"flip": False})
        self._augmentation = Augmentation(plain, params.train.seed, params.train.num_epochs)

    @property
    def num_phases(self) -> int:
        return len(self._params.train.phases)

    def part(self, epoch: int, index: int, repeat: int) -> View:
        """Return the part of the picture that is read for this draw."""
        return self._augmentation.view(epoch, index, repeat)

    def __call__(
        self, image: ImageArray, mask: ImageArray, phase: int, epoch: int, draw: Draw
    ) -> tuple[ImageArray, ImageArray]:
        """Return a view of the picture `(h, w, 3)` with its mask `(h, w)`."""
        train, augment, own = self._params.train, self._params.augment, self._own
        changed = self._augmentation.apply(Sample(image, mask), epoch, *draw)
        assert changed.mask is not None
        by_objects = train.sampling == "objects"
        rng = np.random.default_rng(draw[1] if by_objects else [train.seed, epoch, *draw, VIEW_STREAM])
        image, mask = random_view(changed.image, changed.mask, train.phases[phase].view, own.defect_view_share, rng)
        if augment.is_on(epoch, train.num_epochs):
            image, mask = random_flips(image, mask, augment.flip, rng)
            image = random_exposure(image, own.gain_stops, own.gamma, rng)
        return np.ascontiguousarray(image), np.ascontiguousarray(mask)


def random_view(
    image: ImageArray, mask: ImageArray, share: float, defect_share: float, rng: np.random.Generator
) -> tuple[ImageArray, ImageArray]:
    """Cut the same window out of both: `share` of each side, to a multiple of 32 pixels.

    With chance `defect_share` a window around a defect pixel, if there is one; else anywhere.
    """
    marked = np.argwhere((mask > 0) & (mask != IGNORED))
    window = random_window((mask.shape[0], mask.shape[1]), share, marked, defect_share, rng)
    return image[window], mask[window]


def random_window(
    size_px: tuple[int, int], share: float, points: npt.NDArray[np.int64], points_share: float,
    rng: np.random.Generator,
) -> tuple[slice, slice]:  # fmt: skip
    """Return rows and columns of a window, `share` of each side, to a multiple of 32 pixels.

    size_px: height and width of the picture. points: `(n, 2)`, row and column of pixels in it. With chance
    `points_share` the window holds one of them, if there is one; else it lies anywhere.
    """
    height, width = size_px
    view_h, view_w = (view_side(side, share) for side in (height, width))
    top, left = rng.integers(height - view_h + 1), rng.integers(width - view_w + 1)
    if len(points) and rng.random() < points_share:
        y, x = points[rng.integers(len(points))]
        top = np.clip(y - rng.integers(view_h), 0, height - view_h)
        left = np.clip(x - rng.integers(view_w), 0, width - view_w)
    return slice(int(top), int(top + view_h)), slice(int(left), int(left + view_w))


def random_flips(
    image: ImageArray, mask: ImageArray, flip: bool | str, rng: np.random.Generator
) -> tuple[ImageArray, ImageArray]:
    """Mirror both along each axis that `augment.flip` names with chance one half."""
    axes = (flip in (True, "vertical"), flip in (True, "horizontal"))
    steps = tuple(slice(None, None, -1 if is_on and rng.random() < 0.5 else 1) for is_on in axes)
    return image[steps], mask[steps]


def random_exposure(image: ImageArray, gain_stops: float, gamma: float, rng: np.random.Generator) -> ImageArray:
    """Change brightness by up to `gain_stops` (powers of two) and the tone curve by an exponent within 1 +- gamma."""
    gain, exponent = 2 ** rng.uniform(-gain_stops, gain_stops), rng.uniform(1 - gamma, 1 + gamma)
    curve = 255 * np.clip(gain * (np.arange(256) / 255) ** exponent, 0, 1)
    return np.round(curve).astype(np.uint8)[image]


def view_side(side_px: int, share: float) -> int:
    """Return the side of a view that is `share` of the picture's, a multiple of 32 unless it is the whole side."""
    if share == 1:
        return side_px
    return min(side_px, max(1, round(side_px * share / VIEW_MULTIPLE_PX)) * VIEW_MULTIPLE_PX)
