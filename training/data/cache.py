"""Pictures already decoded and resized, kept on disk between epochs and runs: one memory-mapped file for a data set.

An entry is found by the SHA-256 of the picture's file; the folder's name says how it was made, so other parameters or
another Pillow never meet. Every entry carries a checksum: one that is damaged, or was being written when a machine went
down, is made again. Processes share the files; two that make the same entry write the same bytes.

Entries of pictures that are looked at whole are what `read_for_model` returns, to the last bit. Those of pictures that
are cropped are larger by `zoom`, so that the smallest crop still fills the model's input.
"""

import fcntl
import hashlib
import json
import logging
import math
import os
import shutil
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import Image

from dataset.manifest import Manifest, ManifestError
from runtime.formats.stored import Size
from runtime.model.contract import ModelContract
from runtime.model.image import ImageArray, open_image
from runtime.model.preprocess import FILTERS, OVERSAMPLING, read_for_model
from training.batch_params import AugmentParams, BatchParams

FOLDER = "cache"  # beside the manifest
FORMAT_VERSION = 2  # what decoding makes of a picture: 2 knows its range and its colours
# More would keep pixels that decoding at reduced scale does not promise either.
MAX_ZOOM = float(OVERSAMPLING)
ENTRY = np.dtype(
    [("sha256", "u1", 32), ("offset", "u8"), ("height", "u4"), ("width", "u4"), ("crc32", "u4"), ("is_filled", "u4")]
)
logger = logging.getLogger(__name__)


def zoom_of(params: AugmentParams) -> float:
    """Return how much larger than the model's input pictures must be kept for the crops of `params`."""
    if params.crop_min_area == 1:
        return 1.0
    return min(MAX_ZOOM, math.sqrt(params.crop_max_aspect / params.crop_min_area))


def create_caches(
    manifests: Sequence[Manifest], contract: ModelContract, params: BatchParams, zooms: Sequence[float]
) -> "list[PictureCache | None]":
    """Open a cache beside each manifest, all of a run in one call, if `train.cache` asks for it; None for each if not.

    Raises ManifestError as `open_caches`.
    """
    if not params.cache:
        return [None] * len(manifests)
    wanted = list(zip(manifests, zooms, strict=True))
    return [*open_caches(manifests[0].root / FOLDER, contract, wanted, round(params.cache_max_gib * 2**30))]


def open_caches(
    root: Path, contract: ModelContract, wanted: Sequence[tuple[Manifest, float]], max_bytes: int
) -> "list[PictureCache]":
    """Open the caches of one run under `root`: for each manifest at `zoom` times what `contract` asks for.

    Caches with other parameters under the same root are removed, longest unused first, where all together would take
    more than `max_bytes`; never one of `wanted`. Raises ManifestError if these alone would take more, or where nothing
    can be written.
    """
    sizes: dict[Path, dict[str, Size]] = {}  # manifests of one zoom share a folder
    for manifest, zoom in wanted:
        sizes.setdefault(root / _key(contract, zoom), {}).update(_sizes(manifest, contract, zoom))
    _check_room(sizes, max_bytes)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root):
            _make_room(root, sizes.keys(), max_bytes - _num_bytes(sizes))
        folders = [root / _key(contract, zoom) for _, zoom in wanted]
        return [
            PictureCache(folder, contract, zoom, sizes[folder])
            for folder, (_, zoom) in zip(folders, wanted, strict=True)
        ]
    except OSError as exc:
        raise ManifestError(f"no picture cache at {root} ({exc}): make room, or set train.cache to false") from exc


class PictureCache:
    """The pictures in `folder`, at `zoom` times what `contract` asks for; filled as they are read.

    sizes: SHA-256 of each picture's file -> (height, width) at which it is kept. Opening removes nothing, so that a
    loader process that gets a copy of this object takes no other cache away.
    """

    def __init__(self, folder: Path, contract: ModelContract, zoom: float, sizes: Mapping[str, Size]) -> None:
        self._arguments = (folder, contract, zoom, sizes)
        self._contract, self._zoom = contract, zoom
        with _locked(folder.parent):  # also while it is mapped: another run may remove a folder
            folder.mkdir(exist_ok=True)
            _allocate(folder, sizes)
            self._pixels = np.memmap(folder / "pixels.u8", np.uint8, "r+")
            self._index = np.memmap(folder / "index.bin", ENTRY, "r+")
        self._places = {bytes(sha).hex(): i for i, sha in enumerate(self._index["sha256"])}

    def __reduce__(self) -> Any:
        return type(self), self._arguments  # a memory map would be pickled as a copy

    def read(self, path: Path, sha256: str) -> ImageArray:
        """Return the kept picture, `(height, width, 3)` uint8, read-only; made from the file at `path` if need be.

        Raises OSError or ImageError if the file cannot be read.
        """
        entry = self._index[self._places[sha256]]
        start, shape = int(entry["offset"]), (int(entry["height"]), int(entry["width"]), 3)
        pixels = self._pixels[start : start + math.prod(shape)]
        if not entry["is_filled"] or zlib.crc32(pixels.data) != entry["crc32"]:
            image = resized(path.read_bytes(), self._contract, self._zoom, (shape[0], shape[1]))
            pixels[:] = image.reshape(-1)
            entry["crc32"] = zlib.crc32(pixels.data)
            entry["is_filled"] = 1
        kept = np.asarray(pixels).reshape(shape)
        kept.flags.writeable = False
        return kept


def cached_size(size: Size, contract: ModelContract, zoom: float) -> Size:
    """Return (height, width) at which a picture of `size` is kept: never enlarged, but for `zoom` 1."""
    if zoom == 1:
        return contract.height, contract.width
    ratios = zoom * contract.height / size[0], zoom * contract.width / size[1]
    if contract.resize == "letterbox":
        ratios = (min(ratios),) * 2
    elif contract.resize == "crop":
        ratios = (max(ratios),) * 2
    height, width = (math.ceil(side * min(1.0, ratio)) for side, ratio in zip(size, ratios, strict=True))
    return height, width


def resized(data: bytes, contract: ModelContract, zoom: float, size: Size) -> ImageArray:
    """Decode a picture and bring it to `size`, which is that of `cached_size`."""
    if zoom == 1:
        return read_for_model(data, contract)
    at_least = (OVERSAMPLING * size[0], OVERSAMPLING * size[1])
    image = open_image(data, at_least=at_least, max_value=contract.max_value)
    return np.asarray(image.resize((size[1], size[0]), FILTERS[contract.interpolation]))


def _sizes(manifest: Manifest, contract: ModelContract, zoom: float) -> dict[str, Size]:
    table = manifest.table
    return {
        sha: cached_size((int(height), int(width)), contract, zoom)
        for sha, height, width in zip(table["sha256"], table["height"], table["width"], strict=True)
    }


def _num_bytes(sizes: Mapping[Path, Mapping[str, Size]]) -> int:
    return sum(3 * height * width for pictures in sizes.values() for height, width in pictures.values())


def _check_room(sizes: Mapping[Path, Mapping[str, Size]], max_bytes: int) -> None:
    if (needed := _num_bytes(sizes)) > max_bytes:
        raise ManifestError(
            f"{sum(map(len, sizes.values()))} cached pictures would take {needed / 2**30:.2f} GiB, more than "
            f"train.cache_max_gib ({max_bytes / 2**30:.2f}): raise it, or set train.cache to false"
        )


def _key(contract: ModelContract, zoom: float) -> str:
    parameters = {
        "version": FORMAT_VERSION,
        "size": [contract.height, contract.width],
        "resize": contract.resize,
        "interpolation": contract.interpolation,
        "max_value": contract.max_value,
        "oversampling": OVERSAMPLING,
        "zoom": zoom,
        "pillow": PIL.__version__,
        "libjpeg": Image.core.jpeglib_version,  # type: ignore[attr-defined]
    }
    return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:16]


def _allocate(folder: Path, sizes: Mapping[str, Size]) -> None:
    """Give every picture that has none a place; places once given stay."""
    index_path, pixels_path = folder / "index.bin", folder / "pixels.u8"
    index = _read_index(index_path, pixels_path)
    known = {bytes(sha).hex() for sha in index["sha256"]}
    end = pixels_path.stat().st_size if pixels_path.exists() else 0
    new = np.zeros(len(sizes.keys() - known), ENTRY)
    for entry, (sha, (height, width)) in zip(new, _without(sizes, known), strict=True):
        entry["sha256"], entry["offset"] = np.frombuffer(bytes.fromhex(sha), np.uint8), end
        entry["height"], entry["width"] = height, width
        end += 3 * height * width
    with pixels_path.open("ab") as file:
        start = file.tell()
        if end > start:
            os.posix_fallocate(file.fileno(), start, end - start)  # a full disk is an error here, not a crash later
    with index_path.open("ab") as file:
        file.write(new.tobytes())


def _without(sizes: Mapping[str, Size], known: set[str]) -> Iterator[tuple[str, Size]]:
    return ((sha, size) for sha, size in sizes.items() if sha not in known)


def _read_index(index_path: Path, pixels_path: Path) -> np.ndarray[tuple[int, ...], Any]:
    """Read all entries; an index that cannot be right makes the cache begin anew."""
    data = index_path.read_bytes() if index_path.exists() else b""
    if len(data) % ENTRY.itemsize == 0 and (pixels_path.exists() or not data):
        index = np.frombuffer(data, ENTRY)
        ends = index["offset"] + 3 * index["height"].astype(np.uint64) * index["width"]
        if not len(index) or ends.max() <= pixels_path.stat().st_size:
            return index
    logger.warning("the index of the picture cache in %s is damaged: the cache is made anew", index_path.parent)
    index_path.unlink()
    pixels_path.unlink(missing_ok=True)
    return np.empty(0, ENTRY)


def _make_room(root: Path, mine: Collection[Path], spare_bytes: int) -> None:
    """Make the folders of `mine` and mark them as used; remove others, longest unused first, until they fit."""
    for folder in mine:
        folder.mkdir(exist_ok=True)
        (folder / "used").touch()
    others = [folder for folder in root.iterdir() if folder.is_dir() and folder not in mine]
    others.sort(key=lambda folder: (folder / "used").stat().st_mtime if (folder / "used").exists() else 0.0)
    taken = {folder: sum(file.stat().st_size for file in folder.iterdir()) for folder in others}
    for folder in others:
        if sum(taken.values()) <= spare_bytes:
            return
        logger.info("removing the picture cache %s to make room", folder)
        shutil.rmtree(folder)
        del taken[folder]


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    with (root / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
