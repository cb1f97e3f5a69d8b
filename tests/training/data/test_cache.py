"""What comes out of the cache is what was read, however it was damaged, shared or crowded."""

import io
import logging
import os
import pickle
import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from dataset.manifest import Manifest, ManifestError
from runtime.model.contract import ClassificationContract, ModelContract
from runtime.model.hashing import file_sha256
from runtime.model.preprocess import WHOLE, preprocess, read_for_model
from training.batch_params import AugmentParams, BatchParams
from training.data.augmentation import Augmentation
from training.data.cache import PictureCache, cached_size, create_caches, open_caches, zoom_of
from training.data.pictures import pictures_of_run
from training.data.tensors import PictureDataset, evaluation_batches
from training.params import Params

ROOM = 2**30


@pytest.fixture
def pictures(tiny_tiles_dir: Path, tmp_path: Path) -> Manifest:
    """Six tiles in a folder of their own."""
    table = Manifest.read(tiny_tiles_dir / "manifest.csv").table.head(6)
    for path in table["path"]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(tiny_tiles_dir / path, tmp_path / path)
    return Manifest(table, tmp_path)


def _contract(resize: Literal["stretch", "letterbox", "crop"] = "stretch") -> ModelContract:
    return ClassificationContract(
        classes=("Blowhole", "Break", "Crack", "Fray", "Free", "Uneven"), height=32, width=48, resize=resize,
        mean=(0, 0, 0), std=(1, 1, 1),
    )  # fmt: skip


def _open(pictures: Manifest, zoom: float = 1.0, max_bytes: int = ROOM) -> PictureCache:
    (cache,) = open_caches(pictures.root / "cache", _contract(), [(pictures, zoom)], max_bytes)
    return cache


def _read(cache: PictureCache, pictures: Manifest, i: int) -> bytes:
    return cache.read(pictures.root / pictures.table["path"][i], pictures.table["sha256"][i]).tobytes()


def _file(pictures: Manifest, name: str) -> Path:
    (found,) = (pictures.root / "cache").glob(f"*/{name}")
    return found


def test_whole_pictures_are_what_the_service_sees_to_the_last_bit(pictures: Manifest) -> None:
    kept = PictureDataset(pictures, _contract(), cache=_open(pictures))
    plain = PictureDataset(pictures, _contract())
    for _ in range(2):  # made, then found
        for cached, read in zip(evaluation_batches(kept, 4), evaluation_batches(plain, 4), strict=True):
            assert (cached.images == read.images).all()


def test_a_kept_picture_needs_its_file_no_more_and_cannot_be_changed(pictures: Manifest) -> None:
    first = _read(_open(pictures), pictures, 0)
    path = pictures.root / pictures.table["path"][0]
    path.unlink()
    cache = _open(pictures)
    assert _read(cache, pictures, 0) == first
    kept = cache.read(path, pictures.table["sha256"][0])
    with pytest.raises(ValueError, match="read-only"):
        kept[0, 0, 0] = 1
    with pytest.raises(FileNotFoundError):
        cache.read(pictures.root / "gone.jpg", pictures.table["sha256"][1])


def test_a_damaged_entry_is_made_again(pictures: Manifest) -> None:
    before = [_read(_open(pictures), pictures, i) for i in range(6)]
    path = _file(pictures, "pixels.u8")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    cache = _open(pictures)
    assert [_read(cache, pictures, i) for i in range(6)] == before
    assert path.read_bytes() != bytes(data)  # and mended on disk


@pytest.mark.parametrize("name", ["index.bin", "pixels.u8"])
def test_a_file_cut_short_makes_the_cache_begin_anew(
    pictures: Manifest, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = _read(_open(pictures), pictures, 0)
    path = _file(pictures, name)
    os.truncate(path, path.stat().st_size - 7)
    with caplog.at_level(logging.WARNING):
        cache = _open(pictures)
    assert "is damaged: the cache is made anew" in caplog.text
    assert _read(cache, pictures, 0) == before


def test_a_changed_picture_is_another_entry_and_the_others_stay(pictures: Manifest) -> None:
    cache = _open(pictures)
    before = [_read(cache, pictures, i) for i in range(6)]
    path = pictures.root / pictures.table["path"][0]
    file = io.BytesIO()
    Image.new("RGB", (90, 70), "red").save(file, "PNG")
    path.write_bytes(file.getvalue())
    table = pictures.table.copy()
    table.loc[0, "sha256"] = file_sha256(path)
    changed = Manifest(table, pictures.root)
    size = _file(pictures, "pixels.u8").stat().st_size
    again = _open(changed)
    assert _read(again, changed, 0) == np.full((32, 48, 3), [255, 0, 0], np.uint8).tobytes()
    assert [_read(again, changed, i) for i in range(1, 6)] == before[1:]
    assert _file(pictures, "pixels.u8").stat().st_size == size + 32 * 48 * 3
    assert [_read(cache, pictures, i) for i in range(6)] == before  # the one opened earlier goes on


def test_other_parameters_have_their_own_entries(pictures: Manifest) -> None:
    for zoom in (1.0, 1.5):
        _read(_open(pictures, zoom), pictures, 0)
    assert len(list((pictures.root / "cache").glob("*/index.bin"))) == 2


def test_a_loader_process_gets_the_same_pictures(pictures: Manifest) -> None:
    cache = _open(pictures)
    copy = pickle.loads(pickle.dumps(cache))
    assert _read(copy, pictures, 2) == _read(cache, pictures, 2)
    dataset = PictureDataset(pictures, _contract(), cache=cache)
    here = [batch.images for batch in evaluation_batches(dataset, 3)]
    there = [batch.images for batch in evaluation_batches(dataset, 3, num_workers=1)]
    assert all((a == b).all() for a, b in zip(here, there, strict=True))


def test_more_than_the_bound_is_refused_and_older_caches_make_room(pictures: Manifest) -> None:
    with pytest.raises(ManifestError, match=r"more than train\.cache_max_gib"):
        _open(pictures, max_bytes=6 * 32 * 48 * 3 - 1)
    _open(pictures, 1.5)
    old = _file(pictures, "index.bin").parent
    _open(pictures, 1.0)
    assert old.exists()
    _open(pictures, 1.0, max_bytes=6 * 32 * 48 * 3)
    assert not old.exists()


def _bytes_of(pictures: Manifest, zoom: float) -> int:
    sizes = zip(pictures.table["height"], pictures.table["width"], strict=True)
    return sum(3 * h * w for h, w in (cached_size((int(h), int(w)), _contract(), zoom) for h, w in sizes))


def test_the_caches_of_one_run_never_make_room_for_each_other(pictures: Manifest) -> None:
    """Those of training and validation have a zoom of their own; the bound is for both."""
    train, val = Manifest(pictures.table.iloc[:4], pictures.root), Manifest(pictures.table.iloc[4:], pictures.root)
    needed = _bytes_of(train, 1.5) + _bytes_of(val, 1.0)
    root = pictures.root / "cache"
    with pytest.raises(ManifestError, match=r"6 cached pictures would take .* more than train\.cache_max_gib"):
        open_caches(root, _contract(), [(train, 1.5), (val, 1.0)], needed - 1)
    assert not root.exists()
    for _ in range(2):  # made, then found
        caches = open_caches(root, _contract(), [(train, 1.5), (val, 1.0)], needed)
        assert len(list(root.glob("*/index.bin"))) == 2
        for cache, part in zip(caches, (train, val), strict=True):
            for sha256, path in zip(part.table["sha256"], part.table["path"], strict=True):
                cache.read(pictures.root / path, sha256)
            pickle.loads(pickle.dumps(cache))  # as a loader process opens it
        assert len(list(root.glob("*/index.bin"))) == 2
        for path in pictures.table["path"]:
            (pictures.root / path).unlink(missing_ok=True)  # nothing is decoded a second time


def test_pictures_of_one_zoom_share_a_folder_and_their_room(pictures: Manifest) -> None:
    parts = [Manifest(pictures.table.iloc[rows], pictures.root) for rows in (slice(0, 4), slice(2, 6))]
    caches = open_caches(
        pictures.root / "cache", _contract(), [(part, 1.0) for part in parts], _bytes_of(pictures, 1.0)
    )
    plain = PictureDataset(pictures, _contract())
    assert _read(caches[0], pictures, 0) == plain.plain(0).tobytes()
    assert _read(caches[1], pictures, 5) == plain.plain(5).tobytes()
    assert _file(pictures, "pixels.u8").stat().st_size == _bytes_of(pictures, 1.0)


def test_training_and_validation_pictures_of_a_run_are_kept_side_by_side(
    pictures: Manifest, tiny_params: dict[str, Any]
) -> None:
    params = Params.model_validate({name: tiny_params[name] for name in ("contract", "model", "train", "augment")})
    zoom = zoom_of(params.augment)
    train, val = Manifest(pictures.table.iloc[:4], pictures.root), Manifest(pictures.table.iloc[4:], pictures.root)
    gib = (_bytes_of(train, zoom) + _bytes_of(val, 1.0)) / 2**30

    def both(cache_max_gib: float) -> None:
        train_params = params.train.model_copy(update={"cache": True, "cache_max_gib": cache_max_gib})
        pictures_of_run(train, val, _contract(), params.model_copy(update={"train": train_params}), 2)

    both(gib)
    assert len(list((pictures.root / "cache").glob("*/index.bin"))) == 2
    with pytest.raises(ManifestError, match=r"train\.cache_max_gib"):
        both(0.99 * gib)


def test_a_place_that_cannot_be_written_is_named(pictures: Manifest) -> None:
    (pictures.root / "cache").write_text("a file where the folder would be")
    with pytest.raises(ManifestError, match=r"no picture cache at .*/cache .* set train\.cache to false"):
        _open(pictures)


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
def test_a_crop_from_the_cache_is_nearly_that_from_the_file(
    pictures: Manifest, resize: Literal["stretch", "letterbox", "crop"]
) -> None:
    contract, zoom = _contract(resize), zoom_of(AugmentParams(flip=False, brightness=0, contrast=0, crop_min_area=0.6))
    (cache,) = open_caches(pictures.root / "cache", contract, [(pictures, zoom)], ROOM)
    path = pictures.root / pictures.table["path"][0]
    for view in (WHOLE, (0.1, 0.2, 0.9, 0.95)):
        near = preprocess(cache.read(path, pictures.table["sha256"][0]), contract, view).astype(int)
        difference = np.abs(near - read_for_model(path.read_bytes(), contract, view=view))
        # Letterbox may round the inner picture to one pixel more or less.
        assert difference.mean() < (6 if resize == "letterbox" else 3)


def test_sizes_kept_suffice_for_the_smallest_crop_and_never_enlarge() -> None:
    augment = AugmentParams(flip=False, brightness=0, contrast=0, crop_min_area=0.64)
    zoom = zoom_of(augment)
    assert zoom == pytest.approx(1.25)
    assert cached_size((600, 800), _contract("stretch"), zoom) == (40, 60)
    assert cached_size((600, 800), _contract("letterbox"), zoom) == (40, 54)
    assert cached_size((600, 800), _contract("crop"), zoom) == (45, 60)
    assert cached_size((20, 30), _contract("stretch"), zoom) == (20, 30)
    assert cached_size((20, 30), _contract("crop"), 1.0) == (32, 48)
    assert zoom_of(augment.model_copy(update={"crop_min_area": 0.05})) == 2
    assert zoom_of(augment.model_copy(update={"crop_min_area": 1})) == 1


def test_it_is_opened_only_if_asked_for(pictures: Manifest) -> None:
    assert create_caches([pictures], _contract(), BatchParams(), [1.0]) == [None]
    assert not (pictures.root / "cache").exists()
    (cache,) = create_caches([pictures], _contract(), BatchParams(cache=True), [1.0])
    assert cache is not None


def test_augmented_pictures_from_the_cache_differ_from_epoch_to_epoch(pictures: Manifest) -> None:
    augment = AugmentParams(flip=True, brightness=0.2, contrast=0.2, crop_min_area=0.6)
    dataset = PictureDataset(pictures, _contract(), Augmentation(augment, 0), cache=_open(pictures, zoom_of(augment)))
    seen = []
    for epoch in (1, 2, 1):
        dataset.epoch = epoch
        seen.append(dataset[0].image.tobytes())
    assert seen[0] == seen[2] != seen[1]
