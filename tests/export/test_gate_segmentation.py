"""A segmentation model has its own place in the store, and one that outlines worse stays outside."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import bentoml
import numpy as np
import pytest

from dataset.annotations import read_mask, write_mask
from dataset.manifest import Manifest
from dataset.masks.hashes import with_mask_hashes
from evaluation.outlines.region_table import RegionTable
from export import register as entry_point
from export.gate import GateError
from export.register import RegistrationError, Sources, register
from runtime.model.contract import ONNX_FILE
from runtime.model.hashing import file_sha256
from tests.bentoml_home import bentoml_home
from tests.export.gate_settings import gate
from tests.onnx_fixture import card_text, write_sources
from tests.onnx_segmenter import SpottedData, segmentation_contract, write_segmenter, write_segmenter_sources

NOTHING_OUTLINED = 0.45  # a sensitivity at which no pixel reaches the threshold


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> Iterator[Path]:
    with bentoml_home(tmp_path / "home") as home:
        yield home


def newest(name: str = "vision-segmenter") -> bentoml.Model:
    return bentoml.models.get(f"{name}:latest")


def versions(home: Path) -> dict[str, int]:
    return {folder.name: len([*folder.glob("*/")]) for folder in (home / "models").iterdir()}


def test_both_models_of_the_task_are_stored_with_what_they_were_measured_on(tmp_path: Path, home: Path) -> None:
    sources = write_segmenter_sources(tmp_path)
    registered = register(sources, gate(tmp_path), "segmentation")
    model, checkpoint = newest(), newest("vision-segmenter-checkpoint")
    assert [registered.model, registered.checkpoint] == [str(model.tag), str(checkpoint.tag)]
    assert model.tag.version == checkpoint.tag.version
    assert model.info.labels["onnx_sha256"] == file_sha256(sources.export_dir / ONNX_FILE)
    parity = model.info.metadata["parity"]
    assert isinstance(parity, dict)
    assert parity["map_agreement"] == 1
    assert RegionTable.read(Path(checkpoint.path_of("regions.csv"))).regions == ("blue", "red")
    assert not register(sources, gate(tmp_path), "segmentation").is_new


def test_a_model_that_outlines_worse_is_refused_with_both_figures(tmp_path: Path) -> None:
    """It names every picture's class as before, so that its outlines alone are the reason."""
    first = register(write_segmenter_sources(tmp_path / "old"), gate(tmp_path), "segmentation")
    worse = write_segmenter_sources(tmp_path / "new", sensitivity=NOTHING_OUTLINED)
    with pytest.raises(GateError) as refused:
        register(worse, gate(tmp_path), "segmentation")
    said = str(refused.value)
    assert (
        f"worse than {first.model} on the same 12 test pictures: Dice of any region falls from 1.000 to 0.000" in said
    )
    assert "Dice of blue falls from 1.000 to 0.000 (by more than 0.05)" in said
    assert "macro-F1" not in said
    assert str(newest().tag) == first.model
    accepted = register(worse, gate(tmp_path, "only classes are wanted"), "segmentation")
    assert newest().info.labels["accepted_worse"] == "only classes are wanted"
    assert str(newest().tag) == accepted.model


def one_fewer(sources: Sources, region: int, num_px: int) -> None:
    """Take pixels of a region from what the model found in the first picture that has it, of any and of its own."""
    path = sources.evaluation_dir / "regions.csv"
    table = RegionTable.read(path)
    pixels = table.pixels.copy()
    row = pixels[:, region, 2].nonzero()[0][0]
    pixels[row, [[0], [region]], [0, 1]] -= num_px
    replace(table, pixels=pixels).write(path)


def test_one_region_alone_is_reason_enough_and_the_margin_is_the_params(tmp_path: Path) -> None:
    """A tenth of the pixels of blue is lost: its Dice falls by 0.05, and that of both together by half of it."""
    register(write_segmenter_sources(tmp_path / "old"), gate(tmp_path), "segmentation")
    nearly = write_segmenter_sources(tmp_path / "new", scale=40.0)
    there = RegionTable.read(nearly.evaluation_dir / "regions.csv").pixels[:, 1, 2].sum()
    one_fewer(nearly, 1, int(there) // 10)
    with pytest.raises(
        GateError, match=r"test pictures: Dice of blue falls from 1\.000 to 0\.94\d \(by more than 0\.05"
    ):
        register(nearly, gate(tmp_path), "segmentation")
    wide = gate(tmp_path)
    wide = replace(wide, margins=wide.margins.model_copy(update={"max_dice_drop": 0.06}))
    assert register(nearly, wide, "segmentation").is_new


def test_a_worse_label_of_the_picture_is_refused_as_a_classifiers_is(tmp_path: Path) -> None:
    register(write_segmenter_sources(tmp_path / "old"), gate(tmp_path), "segmentation")
    with pytest.raises(GateError, match=r"recall of blue falls from 1\.000 to 0\.000 \(by more than 0\.05\)\. Every"):
        register(write_segmenter_sources(tmp_path / "new", confused=True), gate(tmp_path), "segmentation")


def test_a_model_as_good_passes_and_says_against_what(tmp_path: Path) -> None:
    first = register(write_segmenter_sources(tmp_path / "old"), gate(tmp_path), "segmentation")
    register(write_segmenter_sources(tmp_path / "new", scale=40.0), gate(tmp_path), "segmentation")
    assert newest().info.labels["gate"] == f"no worse than {first.model} on 12 test pictures"


def test_with_new_pictures_the_registered_graph_is_asked_again_for_its_outlines(tmp_path: Path) -> None:
    """Its stored counts say that it outlines nothing, which is true of no picture of today: only the graph can tell."""
    old = write_segmenter_sources(tmp_path / "old")
    path = old.evaluation_dir / "regions.csv"
    table = RegionTable.read(path)
    replace(table, pixels=table.pixels * np.array([0, 0, 1])).write(path)
    register(old, gate(tmp_path), "segmentation")
    more = SpottedData(splits=("train", "val", "test", "test", "test"))
    worse = write_segmenter_sources(tmp_path / "new", more, sensitivity=NOTHING_OUTLINED)
    with pytest.raises(GateError, match=r"same 18 test pictures: Dice of any region falls from 1\.000 to 0\.000"):
        register(worse, gate(tmp_path), "segmentation")


def correct_a_mask(sources: Sources) -> str:
    """Mark one more pixel in a training picture; return what the data's hash is then."""
    manifest = Manifest.read(sources.data_dir / "manifest.csv")
    [name, *_] = [mask for mask in manifest.select("train").table["mask"] if mask]
    mask = read_mask(sources.data_dir / name).copy()
    mask[0, 0] = mask.max()
    write_mask(sources.data_dir / name, mask)
    corrected = Manifest(with_mask_hashes(manifest.table, sources.data_dir), sources.data_dir)
    corrected.write(sources.data_dir / "manifest.csv")
    return corrected.data_sha256("segmentation")


def state_data(sources: Sources, data_sha256: str) -> None:
    """Have the model say which data it was trained on, as training does."""
    contract = segmentation_contract(lineage={"data_sha256": data_sha256})
    write_segmenter(sources.export_dir, contract, scale=40.0)
    sources.card.write_text(card_text(sources.export_dir / ONNX_FILE))


def test_with_a_corrected_mask_the_registered_graph_is_asked_again(tmp_path: Path) -> None:
    """As above its stored counts say that it outlines nothing: they are of other masks, and are not compared."""
    old = write_segmenter_sources(tmp_path / "old")
    path = old.evaluation_dir / "regions.csv"
    table = RegionTable.read(path)
    replace(table, pixels=table.pixels * np.array([0, 0, 1])).write(path)
    register(old, gate(tmp_path), "segmentation")
    worse = write_segmenter_sources(tmp_path / "new", sensitivity=NOTHING_OUTLINED)
    correct_a_mask(worse)
    with pytest.raises(GateError, match=r"same 12 test pictures: Dice of any region falls from 1\.000 to 0\.000"):
        register(worse, gate(tmp_path), "segmentation")


def test_the_store_s_label_is_of_the_masks_and_a_model_of_other_masks_is_refused(tmp_path: Path) -> None:
    sources = write_segmenter_sources(tmp_path)
    before = Manifest.read(sources.data_dir / "manifest.csv").data_sha256("segmentation")
    state_data(sources, before)
    register(sources, gate(tmp_path), "segmentation")
    assert newest().info.labels["data_sha256"] == before
    after = correct_a_mask(sources)
    with pytest.raises(RegistrationError, match=f"was trained on data {before[:12]}, .* is {after[:12]}"):
        register(sources, gate(tmp_path), "segmentation")


def test_a_region_that_is_lost_cannot_be_compared(tmp_path: Path) -> None:
    """A model may keep a class and no longer outline it."""
    first = register(write_segmenter_sources(tmp_path / "old"), gate(tmp_path), "segmentation")
    lost = bentoml.models.get(first.checkpoint).path_of("regions.csv")
    text = Path(lost).read_text()
    Path(lost).write_text(text.replace("red.", "scratch."))
    with pytest.raises(GateError, match=f"{first.model} outlines scratch, which this model does not"):
        register(write_segmenter_sources(tmp_path / "new", scale=40.0), gate(tmp_path), "segmentation")


def test_the_two_tasks_are_never_compared_and_leave_each_other_alone(tmp_path: Path, home: Path) -> None:
    classifier = register(write_sources(tmp_path / "classifier"), gate(tmp_path))
    segmenter = register(write_segmenter_sources(tmp_path / "segmenter"), gate(tmp_path), "segmentation")
    assert newest().info.labels["gate"] == "first model of the data spots: there is none to compare with"
    assert [str(newest("vision-classifier").tag), str(newest().tag)] == [classifier.model, segmenter.model]
    one_each = dict.fromkeys(
        ("vision-classifier", "vision-checkpoint", "vision-segmenter", "vision-segmenter-checkpoint"), 1
    )
    assert versions(home) == one_each


@pytest.mark.parametrize("stage", ["moved", "half"])
def test_a_killed_registration_of_a_segmenter_is_cleared_up(tmp_path: Path, home: Path, stage: str) -> None:
    """What is left of a version: staging, and in the store both models or the checkpoint alone."""
    first = register(write_segmenter_sources(tmp_path / "old"), gate(tmp_path), "segmentation")
    version = first.model.partition(":")[2]
    (home / "tmp" / f"vision-register-{version}").mkdir()
    (home / "models/vision-segmenter/latest").unlink()
    if stage == "half":
        (home / "models/vision-segmenter" / version).rename(tmp_path / "aside")
    with pytest.raises(RegistrationError):
        register(tmp_path_sources(tmp_path), gate(tmp_path), "segmentation")
    register(write_sources(tmp_path / "classifier"), gate(tmp_path))  # of either task
    assert not [*(home / "tmp").glob("vision-register-*/")]
    found = versions(home)
    assert found.get("vision-segmenter", 0) == found.get("vision-segmenter-checkpoint", 0) == (stage == "moved")
    if stage == "moved":
        assert str(newest().tag) == first.model


def tmp_path_sources(tmp_path: Path) -> Sources:
    """Files that are not there."""
    return replace(Sources.of("segmentation"), export_dir=tmp_path / "none")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.take([0, 1, 2]), "regions.csv is not of the predictions' test pictures; run `make card`"),
        (lambda table: replace(table, regions=("blue", "green")), "regions.csv is of other regions than the model"),
    ],
)
def test_pixels_of_another_run_are_refused(tmp_path: Path, change: object, message: str) -> None:
    sources = write_segmenter_sources(tmp_path)
    path = sources.evaluation_dir / "regions.csv"
    change(RegionTable.read(path)).write(path)  # type: ignore[operator]
    with pytest.raises(RegistrationError, match=message):
        register(sources, gate(tmp_path), "segmentation")


def test_without_pixels_nothing_is_registered(tmp_path: Path, home: Path) -> None:
    sources = write_segmenter_sources(tmp_path)
    (sources.evaluation_dir / "regions.csv").unlink()
    with pytest.raises(RegistrationError, match=r"cannot read .*regions\.csv"):
        register(sources, gate(tmp_path), "segmentation")
    assert not (home / "models/vision-segmenter").exists()


def test_parity_of_pixels_must_have_been_measured(tmp_path: Path) -> None:
    sources = write_segmenter_sources(tmp_path)
    other = write_sources(tmp_path / "classifier").export_dir / "parity.json"
    (sources.export_dir / "parity.json").write_bytes(other.read_bytes())
    with pytest.raises(RegistrationError, match=r"parity\.json: parity was not measured pixel by pixel"):
        register(sources, gate(tmp_path), "segmentation")


def test_the_model_of_another_task_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = write_segmenter_sources(tmp_path)
    assert entry_point.main(["--export", str(sources.export_dir)]) == 2
    assert "is of segmentation: say --task segmentation" in capsys.readouterr().err
