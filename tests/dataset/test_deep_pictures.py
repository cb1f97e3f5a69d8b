"""The range of deep pictures: found or stated once, then the same from the data set's description to the model."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dataset.data_source import DataSource
from dataset.deep_pictures import find_max_value
from dataset.description import DataDescription, read_max_value
from dataset.load import load, main
from dataset.manifest import Manifest, ManifestError
from dataset.params import DataParams, SplitParams
from dataset.splits import assign_splits
from evaluation.inspect import inspect
from project.params import ParamsError
from runtime.model.contract import ClassificationContract, ModelContract
from runtime.model.errors import ImageError
from runtime.model.preprocess import read_for_model
from tests.dataset.picture_files import texture
from tests.runtime.formats.tiff_file import Tag, write
from training.data.cache import open_caches
from training.params import ContractParams
from training.run.new_contract import input_of

PARAMS = DataParams(near_duplicate_correlation=0.9)
SIZE = 48
Save = Callable[[Path, NDArray[np.uint16]], None]


def save_png(path: Path, samples: NDArray[np.uint16]) -> None:
    Image.fromarray(samples).save(path)


def save_tiff(path: Path, samples: NDArray[np.uint16]) -> None:
    path.write_bytes(write(samples[..., None], 1, 16, compression=5, rows=11))


def save_rgb_tiff(path: Path, samples: NDArray[np.uint16]) -> None:
    path.write_bytes(write(np.repeat(samples[..., None], 3, axis=2), 2, 16, planar=True))


def eight(seed: int) -> NDArray[np.uint8]:
    """A picture of 8 bits that goes up to white."""
    grey: NDArray[np.uint8] = np.array(texture(seed, SIZE, SIZE)).reshape(SIZE, SIZE, -1)[..., 0].astype(np.uint8)
    grey[0, 0] = 255
    return grey


def make(root: Path, save: Save | None, largest: int = 0) -> Path:
    """Write two classes of three objects: deep pictures up to `largest`, or without `save` the same ones of 8 bits."""
    for index in range(12):
        path = (
            root
            / ("good" if index % 2 else "bad")
            / f"{index}.{'tif' if save in (save_tiff, save_rgb_tiff) else 'png'}"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        if save is None:
            Image.fromarray(eight(index)).save(path)
        else:
            save(path, np.rint(eight(index) * (largest / 255)).astype(np.uint16))
    return root


def source(root: Path) -> DataSource:
    return DataSource(source="folder", path=str(root))


def stated(max_value: Any = "auto") -> ContractParams:
    return ContractParams(height=SIZE, width=SIZE, resize="stretch", interpolation="bilinear", max_value=max_value)


def contract_of(manifest: Manifest, params: ContractParams) -> ModelContract:
    return ClassificationContract(classes=manifest.classes, mean=(0, 0, 0), std=(1, 1, 1), **input_of(manifest, params))


@pytest.mark.parametrize(
    ("save", "largest"),
    [
        (save_png, 255),
        (save_png, 1023),
        (save_png, 4095),
        (save_png, 16383),
        (save_png, 65535),
        (save_tiff, 4095),
        (save_rgb_tiff, 1023),
    ],
)
def test_pictures_of_any_range_train_and_are_served_as_those_of_8_bits(
    tmp_path: Path, save: Save, largest: int
) -> None:
    deep = load(source(make(tmp_path / "deep", save, largest)), tmp_path / "a", PARAMS)
    plain = load(source(make(tmp_path / "plain", None)), tmp_path / "b", PARAMS)
    assert read_max_value(tmp_path / "a") == (None if largest == 65535 else largest)
    contracts = [contract_of(manifest, stated()) for manifest in (deep, plain)]
    assert deep.table["group"].nunique() == plain.table["group"].nunique()  # likeness is of what is seen
    for one, other in zip(deep.table["path"], plain.table["path"], strict=True):
        images = [
            read_for_model((manifest.root / path).read_bytes(), contract)
            for manifest, path, contract in zip((deep, plain), (one, other), contracts, strict=True)
        ]
        np.testing.assert_array_equal(images[0], images[1])


def test_what_looks_at_pictures_before_there_is_a_model_sees_them_alike(tmp_path: Path) -> None:
    measured = []
    for name, save in (("deep", save_png), ("plain", None)):
        manifest = load(source(make(tmp_path / name, save, 4095)), tmp_path / f"data-{name}", PARAMS)
        split = assign_splits(manifest.table, SplitParams(seed=0, num_folds=3, test_fold=0))
        statistics, _, _ = inspect(Manifest(split, manifest.root), 0.9)
        measured.append(statistics.drop(columns=["path", "sha256"]))
    assert measured[0].equals(measured[1])


def test_range_that_was_found_is_said_with_what_to_do_if_it_is_wrong(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    load(source(make(tmp_path / "deep", save_png, 4000)), tmp_path / "data", PARAMS)
    assert "12 pictures of 16 bits go up to 4000, so white is 4095 (12 bits)" in caplog.text
    assert "set contract.max_value in params.yaml" in caplog.text


def test_stated_range_holds_whatever_the_pictures_reach(tmp_path: Path) -> None:
    manifest = load(source(make(tmp_path / "deep", save_png, 900)), tmp_path / "data", PARAMS, 4095)
    assert contract_of(manifest, stated(4095)).max_value == 4095
    full = load(source(make(tmp_path / "full", save_png, 900)), tmp_path / "data", PARAMS, 65535)
    assert contract_of(full, stated(65535)).max_value == 65535


def test_picture_beyond_the_stated_range_is_refused_by_name(tmp_path: Path) -> None:
    root = make(tmp_path / "deep", save_png, 1023)
    save_png(root / "good" / "bright.png", eight(50).astype(np.uint16) * 16)
    with pytest.raises(ManifestError, match=r"good/bright\.png .*outside of 0 to 1023, the range by the contract's"):
        load(source(root), tmp_path / "data", PARAMS, 1023)


def test_request_beyond_the_models_range_is_refused_by_name(tmp_path: Path) -> None:
    manifest = load(source(make(tmp_path / "deep", save_tiff, 4095)), tmp_path / "data", PARAMS)
    contract = contract_of(manifest, stated())
    for save, name in ((save_tiff, "a.tif"), (save_png, "a.png")):
        save(tmp_path / name, np.full((SIZE, SIZE), 5000, np.uint16))
        with pytest.raises(ImageError, match="outside of 0 to 4095, the range by the contract's max_value"):
            read_for_model((tmp_path / name).read_bytes(), contract)


def test_one_picture_that_fills_16_bits_makes_them_the_range_and_dark_ones_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = make(tmp_path / "deep", save_png, 4095)
    save_png(root / "good" / "bright.png", eight(50).astype(np.uint16) * 257)
    load(source(root), tmp_path / "data", PARAMS)
    assert read_max_value(tmp_path / "data") is None
    assert "12 pictures have almost no grey levels left once 0 to 65535 are brought to 8 bits" in caplog.text
    assert "bad/0.png (1" in caplog.text
    assert "bright.png" not in caplog.text


def test_pictures_of_few_levels_are_not_reported_for_what_they_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_png(tmp_path / "mask.png", (eight(1) > 99).astype(np.uint16) * 65535)
    assert find_max_value({"mask": tmp_path / "mask.png"}) is None
    assert not caplog.text


def test_files_that_state_their_own_range_are_not_asked(tmp_path: Path) -> None:
    samples = np.rint(eight(1) * (4095 / 255)).astype(np.uint16)[..., None]
    tags: dict[int, Tag] = {281: (3, [4095])}
    (tmp_path / "stated.tif").write_bytes(write(samples, 1, 16, tags=tags))
    (tmp_path / "packed.tif").write_bytes(write(samples, 1, 12))
    (tmp_path / "shallow.tif").write_bytes(write(samples // 16, 1, 8))
    Image.fromarray(eight(1)).save(tmp_path / "shallow.png")
    Image.fromarray(eight(1)).save(tmp_path / "photo.jpg")
    assert find_max_value({path.name: path for path in tmp_path.iterdir()}) is None


def test_pictures_that_cannot_be_read_and_black_ones_say_nothing_of_the_range(tmp_path: Path) -> None:
    save_png(tmp_path / "black.png", np.zeros((SIZE, SIZE), np.uint16))
    assert find_max_value({"black": tmp_path / "black.png"}) is None
    save_png(tmp_path / "deep.png", eight(1).astype(np.uint16) * 4)
    whole = (tmp_path / "deep.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "cut.tif").write_bytes(write(np.zeros((9, 9, 1), np.uint16), 1, 16)[:100])
    files = {path.name: path for path in tmp_path.iterdir()} | {"gone": tmp_path / "gone.png"}
    assert find_max_value(files) == 1023


def test_another_range_than_the_pictures_were_loaded_with_is_refused(tmp_path: Path) -> None:
    manifest = load(source(make(tmp_path / "deep", save_png, 4095)), tmp_path / "data", PARAMS)
    with pytest.raises(
        ParamsError, match=r"max_value is 1023, but the pictures were loaded with 4095: load them again"
    ):
        input_of(manifest, stated(1023))
    (tmp_path / "data" / "description.json").write_text("{}")
    with pytest.raises(ManifestError, match=r"description\.json"):
        input_of(manifest, stated())


def test_pictures_that_nothing_describes_have_the_range_that_is_stated(tmp_path: Path) -> None:
    manifest = load(source(make(tmp_path / "deep", save_png, 4095)), tmp_path / "data", PARAMS)
    (tmp_path / "data" / "description.json").unlink()
    assert input_of(manifest, stated())["max_value"] is None
    assert input_of(manifest, stated(4095))["max_value"] == 4095


def test_description_of_other_pictures_is_what_it_was_before(tmp_path: Path) -> None:
    load(source(make(tmp_path / "plain", None)), tmp_path / "data", PARAMS)
    assert "max_value" not in json.loads((tmp_path / "data" / "description.json").read_text())
    assert DataDescription.read(tmp_path / "data").max_value is None


def test_command_reads_the_range_from_params(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make(tmp_path / "deep", save_png, 2000)
    (tmp_path / "source.yaml").write_text(f"source: folder\npath: {root}\n")
    arguments = ["--source", f"{tmp_path}/source.yaml", "--data", f"{tmp_path}/data", "--params", f"{tmp_path}/p.yaml"]
    params = "data: {near_duplicate_correlation: 0.9}\ncontract: {height: 8, max_value: %s}\n"
    for text, found in (("auto", 4095), ("2047", 2047)):
        (tmp_path / "p.yaml").write_text(params % text)
        assert main(arguments) == 0
        assert read_max_value(tmp_path / "data") == found
    for text in ("1", "-5", "bright"):
        (tmp_path / "p.yaml").write_text(params % text)
        assert main(arguments) == 2
        assert "contract.max_value" in capsys.readouterr().err


def test_kept_pictures_of_one_range_are_not_taken_for_those_of_another(tmp_path: Path) -> None:
    manifest = load(source(make(tmp_path / "deep", save_png, 900)), tmp_path / "data", PARAMS)
    first, row = manifest.table["path"][0], manifest.table["sha256"][0]
    for max_value in (1023, 4095, None):
        contract = contract_of(manifest, stated()).model_copy(update={"max_value": max_value})
        for zoom in (1.0, 1.5):
            (cache,) = open_caches(tmp_path / "cache", contract, [(manifest, zoom)], 2**28)
            kept = cache.read(manifest.root / first, row)
            expected = read_for_model((manifest.root / first).read_bytes(), contract)
            np.testing.assert_array_equal(kept, expected)
