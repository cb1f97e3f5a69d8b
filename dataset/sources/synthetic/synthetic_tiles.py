"""The embedded data set: drawn pictures of magnetic tiles, so that the whole chain runs with nothing at hand.

120 tiles under six exposures, six classes with the imbalance of the real set, a mask beside each picture. The six
pictures of a tile show one object, so a split by image leaks here as it does on photographs. Every tile is drawn from
its own seed: the same bytes on every run with the pinned Pillow and NumPy, and no tile depends on how many others are
drawn. These are no photographs: a score on them says that the chain works, nothing about real tiles.
"""

import logging
from pathlib import Path

import numpy as np
from PIL import Image

from dataset.annotations import write_mask
from dataset.description import DataDescription
from dataset.sources.source_picture import SourcePicture
from dataset.sources.synthetic.synthetic_exposures import draw_tile, expose
from project.progress import progress

# Distinct tiles of the real set, about: 172, 26, 23, 17, 9, 8. Scaled to 120, the rare classes raised so that each of
# five folds by tile holds one of every class.
CLASS_TILES = {"Free": 76, "Blowhole": 13, "Break": 11, "Uneven": 9, "Crack": 6, "Fray": 5}
REGIONS = tuple(sorted(name for name in CLASS_TILES if name != "Free"))
NUM_EXPOSURES = 6
MIN_TILES_PER_CLASS = 3  # one each for train, val and test

_JPEG_QUALITY = 90

DESCRIPTION = DataDescription(
    name="synthetic-tiles",
    title="Synthetic magnetic tiles",
    summary=(
        "Grey-scale pictures of magnetic tiles with and without surface defects, drawn by a program; none is a "
        "photograph. Each tile is shown under six exposures. Scores on them show that the chain works and say "
        "nothing about real tiles."
    ),
    collection=(
        "Drawn from a fixed seed after what photographs of such tiles show: grinding lines, uneven light, stains, "
        "dust and scratches on every tile, one kind of defect on some, from obvious to barely visible."
    ),
    group_meaning="drawn tile",
    normal_class="Free",
    licence="Apache-2.0, drawn by this project",
    compare_protocols=False,
    regions=REGIONS,
)

logger = logging.getLogger(__name__)


def draw_synthetic_tiles(pictures_dir: Path, num_tiles: int = 120, seed: int = 0) -> list[SourcePicture]:
    """Draw tiles into `pictures_dir/images/<Class>/` (JPEG) and `pictures_dir/masks/<Class>/` (PNG).

    A mask's values are as `dataset/annotations.py` says, by `DESCRIPTION.regions`.

    Returns one row a picture, tile by tile, paths relative to the parent of `pictures_dir`; existing files are
    overwritten. Raises ValueError if `num_tiles` is too small to hold `MIN_TILES_PER_CLASS` of every class.
    """
    pictures: list[SourcePicture] = []
    labels = tile_labels(num_tiles)
    for kind in ("images", "masks"):
        for label in CLASS_TILES:
            (pictures_dir / kind / label).mkdir(parents=True, exist_ok=True)
    for tile, label in enumerate(progress(labels, "drawing tiles", unit="tile")):
        value = REGIONS.index(label) + 1 if label in REGIONS else 0
        surface, mask = draw_tile(tile, label, seed)
        for exposure in range(1, NUM_EXPOSURES + 1):
            name = f"{label}/tile{tile:03d}_exp{exposure}"
            image, image_mask = expose(surface, mask, np.random.default_rng([seed, tile, exposure + 1]), exposure)
            Image.fromarray(image).save(pictures_dir / f"images/{name}.jpg", quality=_JPEG_QUALITY)
            write_mask(pictures_dir / f"masks/{name}.png", image_mask * np.uint8(value))
            pictures.append(
                SourcePicture(
                    path=f"{pictures_dir.name}/images/{name}.jpg",
                    label=label,
                    group=f"tile{tile:03d}",
                    mask=f"{pictures_dir.name}/masks/{name}.png",
                    attributes={"exposure": str(exposure)},
                )
            )
    logger.info("drew %d pictures of %d tiles into %s", len(pictures), num_tiles, pictures_dir)
    return pictures


def tile_labels(num_tiles: int) -> list[str]:
    """Return the class of each tile: first a few of every class, then always the class furthest below its share.

    So a shorter list is the beginning of a longer one, and 120 tiles have exactly `CLASS_TILES`.
    Raises ValueError if `num_tiles` is too small for `MIN_TILES_PER_CLASS` of every class.
    """
    smallest = MIN_TILES_PER_CLASS * len(CLASS_TILES)
    if num_tiles < smallest:
        raise ValueError(f"expected at least {smallest} tiles ({MIN_TILES_PER_CLASS} a class), got {num_tiles}")
    labels = list(CLASS_TILES) * MIN_TILES_PER_CLASS
    counts = dict.fromkeys(CLASS_TILES, MIN_TILES_PER_CLASS)
    total = sum(CLASS_TILES.values())
    while len(labels) < num_tiles:
        size = len(labels) + 1
        furthest = max(CLASS_TILES, key=lambda label: CLASS_TILES[label] * size - counts[label] * total)
        labels.append(furthest)
        counts[furthest] += 1
    return labels
