"""Pictures with their boxes for training: views that move both together, around objects more often than not."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from dataset.boxes import LEAST_SEEN, Boxes, BoxesOfPicture
from dataset.manifest import Manifest
from runtime.model.contract import ModelContract
from runtime.model.image import ImageArray
from runtime.model.preprocess import WHOLE, View
from training.data.augmentation import Augmentation, Sample
from training.data.cache import PictureCache
from training.data.tensors import Batch, BoxArray, Draw, Picture, PictureDataset
from training.params import Params
from training.task_params import DetectionParams
from training.tasks.detection_loss import COUNTS, IGNORED, NO_BOX, NUM_COLUMNS, OBJECT, STATE
from training.tasks.drawn_boxes import boxed_in
from training.tasks.drawn_masks import Colour, colour_of
from training.tasks.masked_pictures import MAX_KEPT_BYTES, VIEW_STREAM, random_window


class BoxedPictures(Dataset[Picture]):
    """Rows of a manifest with the boxes in them; changed at random only if views are given.

    The boxes of a picture are `(m, 6)` float32, as `box_loss` takes them. Whole pictures are kept in memory once they
    were read.
    """

    def __init__(
        self, manifest: Manifest, contract: ModelContract, cache: PictureCache | None = None,
        views: "BoxViews | None" = None,
    ) -> None:  # fmt: skip
        self.whole = PictureDataset(manifest, contract, cache=cache)
        self.labels, self.groups = self.whole.labels, self.whole.groups
        self.epoch, self.phase = 0, 0
        self._boxes = Boxes(manifest, contract)
        self.objects = self._boxes.objects
        self._views = views
        self._kept: dict[int, ImageArray] = {}
        self._max_kept = MAX_KEPT_BYTES // (3 * contract.height * contract.width)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, draw: Draw | int) -> Picture:
        index, repeat = (draw, 0) if isinstance(draw, int) else draw
        if self._views is None:
            image, boxes = self._read(index, WHOLE)
        else:
            part = self._views.part(self.epoch, index, repeat)
            image, boxes = self._views(*self._read(index, part), self.phase, self.epoch, (index, repeat))
        return Picture(image, self.labels[index], index, repeat, boxes=boxes)

    def collate(self, pictures: Sequence[Picture]) -> Batch:
        """Put views of one size together to a batch with their boxes as targets, `(n, m, 6)`, filled up with none."""
        boxes = [p.boxes for p in pictures if p.boxes is not None]
        targets = np.full((len(boxes), max(1, *map(len, boxes)), NUM_COLUMNS), NO_BOX, dtype=np.float32)
        for row, of_picture in zip(targets, boxes, strict=True):
            row[: len(of_picture)] = of_picture
        labels, indices = torch.tensor([p.label for p in pictures]), torch.tensor([p.row for p in pictures])
        images = torch.from_numpy(np.stack([p.image for p in pictures]))
        return Batch(images, labels, indices, torch.from_numpy(targets))

    @property
    def legend(self) -> list[tuple[str, Colour]]:
        """Name the objects with the colours that their boxes are drawn in."""
        return [(name, colour_of(number)) for number, name in enumerate(self.objects, start=1)]

    def has_boxes(self) -> bool:
        """Tell whether any picture has a box that counts."""
        return any(not self._boxes.read(row).ignored.all() for row in range(len(self)))

    def plain(self, index: int) -> ImageArray:
        """Return the whole picture with its boxes drawn in."""
        return boxed_in(*self._read(index, WHOLE))

    def tile(self, index: int, repeat: int) -> ImageArray:
        """Return a view, of each phase in turn, with its boxes drawn in."""
        self.phase = repeat % self._views.num_phases if self._views else 0
        picture = self[index, repeat]
        assert picture.boxes is not None
        return boxed_in(picture.image, picture.boxes)

    def _read(self, index: int, part: View) -> tuple[ImageArray, BoxArray]:
        boxes = _as_target(self._boxes.read(index, part))
        if part == WHOLE and index in self._kept:
            return self._kept[index], boxes
        image = self.whole.read(index, part)
        if part == WHOLE and len(self._kept) < self._max_kept:
            self._kept[index] = image
        return image, boxes


class BoxViews:
    """Random views of pictures with their boxes: what `augment:` asks for, then the windows of a phase.

    Every draw is seeded by (seed, epoch, picture, repeat).
    """

    def __init__(self, params: Params, own: DetectionParams) -> None:
        self._train, self._own = params.train, own
        self._augmentation = Augmentation(params.augment, params.train.seed, params.train.num_epochs)

    @property
    def num_phases(self) -> int:
        return len(self._train.phases)

    def part(self, epoch: int, index: int, repeat: int) -> View:
        """Return the part of the picture that is read for this draw."""
        return self._augmentation.view(epoch, index, repeat)

    def __call__(
        self, image: ImageArray, boxes: BoxArray, phase: int, epoch: int, draw: Draw
    ) -> tuple[ImageArray, BoxArray]:
        """Return a view of the picture `(h, w, 3)` with the boxes `(m, 6)` that are in it."""
        height, width = image.shape[:2]
        sides = np.array([width, height, width, height], dtype=np.float64)
        changed = self._augmentation.apply(Sample(image, boxes=(boxes[:, :4] / sides).clip(0, 1)), epoch, *draw)
        assert changed.boxes is not None
        if changed.box_ids is not None:
            boxes = boxes[list(changed.box_ids)]
        moved = np.concatenate([changed.boxes * sides, boxes[:, 4:]], axis=1).astype(np.float32)
        rng = np.random.default_rng([self._train.seed, epoch, *draw, VIEW_STREAM])
        share = self._train.phases[phase].view
        window = random_window((height, width), share, _centres(moved), self._own.object_view_share, rng)
        return np.ascontiguousarray(changed.image[window]), boxes_in_window(moved, window)


def boxes_in_window(boxes: BoxArray, window: tuple[slice, slice]) -> BoxArray:
    """Return the boxes in a window of their picture, `(m, 6)`, cut off at its edges and in its pixels.

    One of which less than `LEAST_SEEN` of the area is left is ignored, as in a view that the picture is read by.
    """
    rows, columns = window
    origin, end = np.array([columns.start, rows.start] * 2), np.array([columns.stop, rows.stop] * 2)
    cut = boxes.copy()
    cut[:, :4] = boxes[:, :4].clip(origin, end) - origin
    shares = _areas(cut) / _areas(boxes)
    cut[shares < LEAST_SEEN, STATE] = IGNORED
    return cut[shares > 0]


def _as_target(found: BoxesOfPicture) -> BoxArray:
    """Return `(m, 6)` float32: corners, object and state."""
    boxes = np.empty((len(found.objects), NUM_COLUMNS), dtype=np.float32)
    boxes[:, :4], boxes[:, OBJECT] = found.corners, found.objects
    boxes[:, STATE] = np.where(found.ignored, IGNORED, COUNTS)
    return boxes


def _centres(boxes: BoxArray) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return `(n, 2)`: row and column of the pixel at the centre of each box that counts."""
    counted = boxes[boxes[:, STATE] == COUNTS]
    centres = (counted[:, [1, 0]] + counted[:, [3, 2]]) / 2
    return np.asarray(centres, dtype=np.int64)


def _areas(boxes: BoxArray) -> BoxArray:
    areas: BoxArray = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas
