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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import Image

from dataset.manifest import Manifest, ManifestError
from runtime.contract import ModelContract
from runtime.image import ImageArray, Size, open_image
from runtime.preprocess import FILTERS, OVERSAMPLING, read_for_model
from training.batch_params import AugmentParams, BatchParams

FOLDER = "cache"  # beside the manifest
FORMAT_VERSION = 1
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


def create_cache(
    manifest: Manifest, contract: ModelContract, params: BatchParams, zoom: float
) -> "PictureCache | None":
    """Open the cache beside the manifest if `train.cache` asks for it."""
    if not params.cache:
        return None
    return PictureCache(manifest.root / FOLDER, manifest, contract, zoom, round(params.cache_max_gib * 2**30))


class PictureCache:
    """The pictures of a manifest under `root`, at `zoom` times what `contract` asks for; filled as they are read.

    Raises ManifestError if they would take more than `max_bytes`. Caches with other parameters under the same root are
    removed, longest unused first, where all together would take more.
    """

    def __init__(self, root: Path, manifest: Manifest, contract: ModelContract, zoom: float, max_bytes: int) -> None:
        self._arguments = (root, manifest, contract, zoom, max_bytes)
        self._contract, self._zoom = contract, zoom
        table = manifest.table
        sizes = {
            sha: cached_size((int(height), int(width)), contract, zoom)
            for sha, height, width in zip(table["sha256"], table["height"], table["width"], strict=True)
        }
        needed = sum(3 * height * width for height, width in sizes.values())
        if needed > max_bytes:
            raise ManifestError(
                f"{len(sizes)} cached pictures would take {needed / 2**30:.2f} GiB, more than train.cache_max_gib "
                f"({max_bytes / 2**30:.2f}): raise it, or set train.cache to false"
            )
        self._folder = root / _key(contract, zoom)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with _locked(root):
                _make_room(root, self._folder, max_bytes - needed)
                _allocate(self._folder, sizes)
        except OSError as exc:
            raise ManifestError(f"no picture cache at {root} ({exc}): make room, or set train.cache to false") from exc
        self._pixels = np.memmap(self._folder / "pixels.u8", np.uint8, "r+")
        self._index = np.memmap(self._folder / "index.bin", ENTRY, "r+")
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
    image = open_image(data, at_least=(OVERSAMPLING * size[0], OVERSAMPLING * size[1]))
    return np.asarray(image.resize((size[1], size[0]), FILTERS[contract.interpolation]))


def _key(contract: ModelContract, zoom: float) -> str:
    parameters = {
        "version": FORMAT_VERSION,
        "size": [contract.height, contract.width],
        "resize": contract.resize,
        "interpolation": contract.interpolation,
        "oversampling": OVERSAMPLING,
        "zoom": zoom,
        "pillow": PIL.__version__,
        "libjpeg": Image.core.jpeglib_version,  # type: ignore[attr-defined]
    }
    return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:16]


def _allocate(folder: Path, sizes: dict[str, Size]) -> None:
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


def _without(sizes: dict[str, Size], known: set[str]) -> Iterator[tuple[str, Size]]:
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


def _make_room(root: Path, mine: Path, spare_bytes: int) -> None:
    """Remove other caches, longest unused first, until they fit into what is left; then mark this one as used."""
    (mine / "used").touch()
    others = [folder for folder in root.iterdir() if folder.is_dir() and folder != mine]
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
