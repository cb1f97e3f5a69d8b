"""The magnetic-tile surface-defect photographs (Huang et al. 2020), with the physical tile inferred for each picture.

Layout: `MT_<Class>/Imgs/exp<E>_num_<N>.jpg`, the mask beside it as `.png`. The set does not say which pictures show
one tile. File names and pictures tell: N rises in the order of shooting, and a tile was shot in a round of exposures
(E from 1 to 6), rounds of two tiles sometimes interleaved, each shot cut out by hand. Rules and thresholds below were
checked on all 1,344 pictures by looking at the joined and at the borderline pairs: 219 tiles, 206 of them with
exactly six shots; two tiles came back in a later round.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataset.checks import check_classes, named
from dataset.description import DataDescription
from dataset.likeness.alignment import half_size, pairs_of_neighbours, registered_correlation, spectrum
from dataset.likeness.disjoint_sets import DisjointSets
from dataset.likeness.near_duplicates import high_pass_thumbnail, pairs_above
from dataset.manifest import ManifestError
from dataset.masks.source_masks import BinaryMasks
from dataset.outputs.originals import OriginalError, check_fetched, read_original
from dataset.sources.source_picture import Collection, SourcePicture
from project.progress import progress
from runtime.model.errors import ImageError
from runtime.model.image import decode_image

DESCRIPTION = DataDescription(
    name="magnetic-tile",
    title="Magnetic-tile surface defects",
    summary=(
        "Grey-scale photographs of magnetic tiles: without defect (Free) and with blowhole, break, crack, fray or "
        "uneven surface. Most tiles were photographed under six exposures."
    ),
    collection=(
        "Photographed by the authors of the set and cut out by hand; the pictures come without a statement of which "
        "show the same tile."
    ),
    group_meaning="physical tile (inferred from file order and similarity)",
    normal_class="Free",
    licence="no licence file; the authors welcome use and ask for citation",
    citation=(
        "Y. Huang, C. Qiu, Y. Guo, X. Wang, K. Yuan: Surface defect saliency of magnetic tile. "
        "The Visual Computer 36, 2020"
    ),
    url="https://github.com/abin24/Magnetic-tile-defect-datasets.",
    compare_protocols=True,
)

_NAME = re.compile(r"exp(?P<exposure>\d+)_num_(?P<number>\d+)")
# Neighbouring rounds interleave with at most a few shots between two of one tile.
_WINDOW_SHOTS = 12
# Registered correlation of two shots of one tile is 0.45 to 0.95, of different tiles at most 0.38 where thumbnails
# are alike; the one exception seen (0.54) has thumbnails that differ.
_SAME_TILE = 0.45
_ALIKE_THUMBNAILS = 0.75
# Within a round N rises by 10 to 360. Cut-outs of interleaved tiles differ by more than a tenth in height.
_MAX_NUMBER_GAP = 400
_MAX_HEIGHT_CHANGE = 0.1


@dataclass(frozen=True, slots=True)
class _Shot:
    number: int
    exposure: int
    label: str
    path: Path


def holds_magnetic_tiles(root: Path) -> bool:
    """Tell whether `root` has the layout of this set."""
    return any(root.glob("MT_*/Imgs"))


def read_magnetic_tile(root: Path) -> Collection:
    """List the photographs below `root` with their tiles.

    Raises ManifestError if the layout does not fit, a class is empty or a picture cannot be read.
    """
    shots = _find_shots(root)
    groups = _tiles(shots)
    pictures, originals = [], {}
    for shot, group in zip(shots, groups, strict=True):
        image = f"pictures/images/{shot.label}/{shot.path.name}"
        originals[image] = shot.path
        mask = ""
        if shot.path.with_suffix(".png").is_file():
            mask = f"pictures/masks/{shot.label}/{shot.path.stem}.png"
            originals[mask] = shot.path.with_suffix(".png")
        pictures.append(SourcePicture(image, shot.label, group, mask, {"exposure": str(shot.exposure)}))
    masks = {picture.mask: originals[picture.mask] for picture in pictures if picture.mask}
    classes = tuple(sorted({picture.label for picture in pictures}))
    return Collection(
        pictures, DESCRIPTION, has_stated_groups=False, originals=originals, masks=BinaryMasks(masks, classes)
    )


def _find_shots(root: Path) -> list[_Shot]:
    folders = sorted(root.glob("MT_*/Imgs"))
    if not folders:
        raise ManifestError(f"{root} is not the magnetic-tile set: it holds no MT_<Class>/Imgs folder")
    shots, strange, counts = [], [], {}
    for folder in folders:
        label = folder.parent.name.removeprefix("MT_")
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".jpg")
        counts[label] = len(files)
        for path in files:
            match = _NAME.fullmatch(path.stem)
            if match:
                shots.append(_Shot(int(match["number"]), int(match["exposure"]), label, path))
            else:
                strange.append(str(path))
    check_classes(counts)
    if strange:
        raise ManifestError(
            f"{len(strange)} picture(s) are not named exp<E>_num_<N>.jpg: {named(strange)}. Rename or remove them, "
            "or read the folder as a plain one: --source folder"
        )
    return sorted(shots, key=lambda shot: (shot.number, shot.exposure, shot.label))


def _tiles(shots: list[_Shot]) -> list[str]:
    """Name the tile of each shot, given in order of N."""
    halves, heights, thumbnails = _read(shots)
    tiles = DisjointSets(len(shots))
    tiles.join(_rounds(shots, heights))
    spectra = map(spectrum, progress(halves, "finding tiles", unit="picture"))
    tiles.join(pairs_of_neighbours(spectra, _WINDOW_SHOTS, _SAME_TILE))
    found = tiles.names()
    # A later round of the same tile; what is joined already needs no proof.
    distant = [(i, j) for i, j in pairs_above(thumbnails, _ALIKE_THUMBNAILS) if found[i] != found[j]]
    tiles.join(
        (i, j) for i, j in distant if registered_correlation(spectrum(halves[i]), spectrum(halves[j])) > _SAME_TILE
    )
    return tiles.names()


def _rounds(shots: list[_Shot], heights: list[int]) -> Iterator[tuple[int, int]]:
    """Yield neighbours in order that are shots of one round: E rises, N is near, the cut-outs are of one height.

    This joins shots whose cut-outs hardly overlap, which similarity cannot.
    """
    for i in range(1, len(shots)):
        before, shot = shots[i - 1], shots[i]
        is_near = shot.number - before.number <= _MAX_NUMBER_GAP
        is_same_height = abs(heights[i] - heights[i - 1]) <= _MAX_HEIGHT_CHANGE * max(heights[i - 1 : i + 1])
        if shot.exposure > before.exposure and is_near and is_same_height:
            yield i - 1, i


def _read(shots: list[_Shot]) -> tuple[list[NDArray[np.uint8]], list[int], NDArray[np.float32]]:
    """Return half-size pictures, full heights in pixels and thumbnails of all shots."""
    halves, heights, thumbnails, problems, unread = [], [], [], {}, {}
    for shot in progress(shots, "reading tiles", unit="picture"):
        try:
            image = decode_image(read_original(shot.path))
        except OriginalError as exc:
            unread[str(shot.path)] = str(exc)
            continue
        except ImageError as exc:
            problems[str(shot.path)] = str(exc)
            continue
        halves.append(half_size(image))
        heights.append(image.shape[0])
        thumbnails.append(high_pass_thumbnail(image))
    check_fetched(unread, problems)
    return halves, heights, np.stack(thumbnails)
