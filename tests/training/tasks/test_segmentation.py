"""Training a segmentation for real: it finds a planted defect, and its checkpoint is one like any other."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from dataset.annotations import Masks
from dataset.description import DataDescription
from dataset.manifest import COLUMNS, Manifest
from evaluation.predicted_maps import read_map, refuse_other_maps, write_map
from evaluation.predictions import Predictions
from runtime.model.contract import ClassificationContract, Lineage, SegmentationContract, read_contract
from tests.training.pyramid_section import write_params
from tests.training.records.mlflow_files import assert_files_in_mlflow
from tests.training.segmentation_section import segmentation_section
from training import predict, train
from training.engine_params import PhaseParams
from training.network.backbones import BackboneError
from training.network.classifier import Classifier, create_backbone, load_classifier
from training.network.optimiser import trainable_parameters
from training.network.pyramid import PyramidNetwork, mask_network, pyramid_levels, region_outputs
from training.params import ModelParams
from training.run.checkpoint import Checkpoint

pytestmark = pytest.mark.usefixtures("own_tracking")

SIZE_PX = 64
OF_TASK = ("--task", "segmentation")
MASK = segmentation_section(
    {"view": 0.5, "steps": 25}, {"view": 1.0, "steps": 15, "lr": 0.005}, channels=16, coarsest_stride=16, batch_size=8
)


@pytest.fixture
def mask_params(tmp_path: Path, tiny_params: dict[str, Any]) -> Path:
    """A params file for a small network."""
    return write_params(tmp_path / "params.yaml", tiny_params, segmentation=MASK)


@pytest.fixture
def blots(tmp_path: Path) -> Path:
    """A manifest of noise: a third with a bright blot of 8 pixels, a third with a dark one, a third with none."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(54):
        label = ("bright", "dark", "good")[i % 3]
        pixels = rng.normal(110, 15, (SIZE_PX, SIZE_PX))
        marked = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
        top, left = rng.integers(SIZE_PX - 8, size=2)
        if label != "good":
            marked[top : top + 8, left : left + 8] = 1 if label == "bright" else 2
            pixels[marked > 0] += 70 if label == "bright" else -70
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / f"{i}.png")
        Image.fromarray(marked).save(tmp_path / f"{i}.mask.png")
        split = ("train", "train", "train", "train", "val", "test")[i // 9]
        rows.append(
            {"path": f"{i}.png", "label": label, "group": f"g{i}", "split": split, "split_by_image": split,
             "sha256": str(i), "width": SIZE_PX, "height": SIZE_PX, "mask": f"{i}.mask.png"}
        )  # fmt: skip
    Manifest(pd.DataFrame(rows, columns=COLUMNS), tmp_path).write(tmp_path / "manifest.csv")
    described = {"name": "blots", "title": "Blots", "summary": "", "group_meaning": "blot"}
    DataDescription(**described, regions=("bright", "dark")).write(tmp_path)
    return tmp_path / "manifest.csv"


def _train(manifest: Path, params: Path, out: Path) -> int:
    return train.main([*OF_TASK, "--manifest", str(manifest), "--params", str(params), "--out", str(out)])


def _assert_dice_is_what_the_contract_gives(manifest: Path, checkpoint: Checkpoint, maps: Path, dice: float) -> None:
    """The figure that chose the threshold is that of answers as they are made of the maps, within their steps."""
    contract = checkpoint.contract
    assert contract.task == "segmentation"
    val = Manifest.read(manifest).select("val")
    masks = Masks(val, contract)
    both = sizes = 0
    for row in range(9):
        region_map, foreground = read_map(maps, row)
        answer, mask = np.where(foreground >= contract.threshold, region_map, 0), masks.read(row)
        both += int(((answer == mask) & (mask > 0)).sum())
        sizes += int((answer > 0).sum() + (mask > 0).sum())
    assert 2 * both / sizes == pytest.approx(dice, abs=0.01)


@pytest.mark.slow
def test_a_planted_defect_is_found_where_it_is_and_the_checkpoint_predicts(
    blots: Path, mask_params: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert _train(blots, mask_params, out) == 0
    with Image.open(out / "contact_sheet.png") as sheet:
        assert sheet.size[1] == 30 + 3 * 100
    checkpoint = Checkpoint.load(out / "checkpoint.pt")
    assert checkpoint.metrics["val_accuracy"] >= 7 / 9
    assert_files_in_mlflow(checkpoint.contract.lineage.mlflow_run_id, tmp_path)

    files = ["--manifest", str(blots), "--checkpoint", str(out / "checkpoint.pt"), "--out", str(tmp_path / "p.csv")]
    maps = tmp_path / "maps"
    write_map(maps, 18, np.ones((SIZE_PX, SIZE_PX), np.uint8), np.zeros((SIZE_PX, SIZE_PX)))
    assert predict.main([*OF_TASK, *files]) == 0
    test = Predictions.read(tmp_path / "p.csv").select("test")
    assert (test.predicted == test.labels).mean() >= 7 / 9

    assert checkpoint.contract.task == "segmentation"
    assert checkpoint.contract.regions == ("bright", "dark")
    assert read_contract(maps / "contract.json") == checkpoint.contract
    history = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    names = {f"val_{name}{part}" for name in ("dice", "iou") for part in ("", ".bright", ".dark")}
    assert [names <= set(record) for record in history] == [True, True]  # the end of each phase
    assert history[1]["val_dice"] > 0.4
    assert "val_accuracy" not in history[0]
    _assert_dice_is_what_the_contract_gives(blots, checkpoint, maps, history[1]["val_dice"])
    refuse_other_maps(maps, 18)  # the map of an earlier run is gone
    model = load_classifier(checkpoint.contract, checkpoint.state_dict)
    network = model.backbone
    assert isinstance(network, PyramidNetwork)
    for row, i in enumerate((45, 46), start=9):  # test pictures: a bright blot, a dark one
        region_map, foreground = read_map(maps, row)
        marked = np.asarray(Image.open(tmp_path / f"{i}.mask.png")) > 0
        top = np.unravel_index(foreground.argmax(), foreground.shape)
        assert marked[top]
        assert region_map[top] == 1 + i % 3
        image = torch.from_numpy(np.stack([np.asarray(Image.open(tmp_path / f"{i}.png"))] * 3, axis=-1)[None].copy())
        with torch.inference_mode():
            regions, expected = region_outputs(network.cell_outputs(model.normalise(image)), (SIZE_PX, SIZE_PX))
        assert np.abs(expected[0].numpy() - foreground).max() <= 0.5 / 255 + 1e-5
        assert (regions[0].numpy() == region_map).mean() > 0.999


@pytest.mark.slow
def test_same_seed_gives_the_same_weights_and_another_seed_does_not(
    blots: Path, mask_params: Path, tmp_path: Path
) -> None:
    states = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        document = yaml.safe_load(mask_params.read_text())
        document["train"]["seed"] = seed
        document["segmentation"] = segmentation_section({"view": 0.5, "steps": 2})
        mask_params.write_text(yaml.safe_dump(document))
        out = tmp_path / name
        assert _train(blots, mask_params, out) == 0
        states.append(Checkpoint.load(out / "checkpoint.pt").state_dict)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])
    # BatchNorm stays as it was, whatever the number of processes
    means = [name for name in states[0] if name.endswith("running_mean")]
    assert means
    assert not any(states[0][name].any() for name in means)


def test_first_layers_count_from_the_stem_and_the_readout_is_never_trained() -> None:
    params = ModelParams(backbone="test_resnet", pretrained="none", drop_rate=0.0)
    backbone, mean, std, _ = create_backbone(params, 3)
    model = Classifier(mask_network(backbone, pyramid_levels(backbone, 16), 8, 2, 3), mean, std)

    def trained(words: str) -> set[str]:
        ids = {id(p) for p in trainable_parameters(model, PhaseParams(trainable=words, epochs=1, lr=1.0))}
        return {name for name, parameter in model.named_parameters() if id(parameter) in ids}

    rest = trained("all_but_first(2)")
    assert not any(name.startswith(("backbone.readout", "backbone.pyramid.conv1")) for name in rest)
    assert not any(name.startswith("backbone.pyramid.layer1") for name in rest)
    assert any(name.startswith("backbone.pyramid.layer2") for name in rest)
    assert any(name.startswith("backbone.decoder") for name in rest)
    assert trained("all") == {name for name, _ in model.named_parameters() if "readout" not in name}
    assert trained("head") == {name for name in trained("all") if "decoder" in name}


def test_a_params_file_without_the_section_is_refused(
    blots: Path, mask_params: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = yaml.safe_load(mask_params.read_text())
    del document["segmentation"]
    mask_params.write_text(yaml.safe_dump(document))
    assert _train(blots, mask_params, tmp_path / "run") == 2
    assert "no section 'segmentation'" in capsys.readouterr().err


def test_a_backbone_without_a_pyramid_is_an_error_to_mend(
    blots: Path, mask_params: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = yaml.safe_load(mask_params.read_text())
    document["model"]["backbone"] = "test_vit"
    mask_params.write_text(yaml.safe_dump(document))
    assert _train(blots, mask_params, tmp_path / "run") == 2
    assert "choose another model.backbone" in capsys.readouterr().err


@pytest.mark.slow
def test_settings_that_are_stated_hold_and_merged_regions_are_one(
    blots: Path, mask_params: Path, tmp_path: Path
) -> None:
    document = yaml.safe_load(mask_params.read_text())
    document["segmentation"] = segmentation_section({"steps": 2}) | {
        "threshold": 0.123, "min_region_px": 7, "regions": "merged", "merged_name": "blot",
    }  # fmt: skip
    mask_params.write_text(yaml.safe_dump(document))
    assert _train(blots, mask_params, tmp_path / "run") == 0
    checkpoint = Checkpoint.load(tmp_path / "run/checkpoint.pt")
    contract = checkpoint.contract
    assert contract.task == "segmentation"
    assert (contract.threshold, contract.min_region_px) == (0.123, 7)
    assert (contract.regions, contract.merged) == (("blot",), True)
    assert {"val_dice.blot", "val_dice"} <= set(checkpoint.metrics)
    masks = Masks(Manifest.read(blots), contract)
    assert [sorted(set(masks.read(row).ravel().tolist())) for row in range(3)] == [[0, 1], [0, 1], [0]]


def test_an_early_stop_needs_validation_pictures_with_marks(
    blots: Path, mask_params: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = yaml.safe_load(mask_params.read_text())
    document["train"]["early_stopping_epochs"] = 1
    mask_params.write_text(yaml.safe_dump(document))
    table = Manifest.read(blots).table.copy()
    table.loc[(table["split"] == "val") & (table["label"] != "good"), "split"] = "test"
    Manifest(table, tmp_path).write(blots)
    assert _train(blots, mask_params, tmp_path / "run") == 2
    assert "no validation picture has a mask that marks a region, and train.early_st" in capsys.readouterr().err


def test_data_whose_masks_mark_nothing_are_refused(
    blots: Path, mask_params: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    description = DataDescription.read(tmp_path)
    description.model_copy(update={"regions": ()}).write(tmp_path)
    assert _train(blots, mask_params, tmp_path / "run") == 2
    assert "no picture has a mask that marks a region: give masks" in capsys.readouterr().err


def test_a_checkpoint_of_another_task_and_one_of_before_there_were_tasks_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = ModelParams(backbone="test_resnet", pretrained="none", drop_rate=0.0)
    backbone, mean, std, _ = create_backbone(params, 3)
    model = Classifier(mask_network(backbone, pyramid_levels(backbone, 16), 8, 2, 3), mean, std)
    contract = ClassificationContract(
        classes=("a", "b", "c"), height=64, width=64, mean=mean, std=std, lineage=Lineage(backbone="test_resnet")
    )
    path = tmp_path / "checkpoint.pt"
    Checkpoint(model.state_dict(), contract, {}, 1, {}).save(path)
    with pytest.raises(SystemExit):
        predict.main([*OF_TASK, "--checkpoint", str(path)])
    assert "checkpoint.pt is of classification: say --task classification" in capsys.readouterr().err
    with pytest.raises(BackboneError, match="are not those of 'test_resnet' for classification: train it again"):
        load_classifier(contract, model.state_dict())
    plain, _, _, _ = create_backbone(params, 3)
    outlines = SegmentationContract(**contract.model_dump(exclude={"task", "name"}), regions=("b", "c"))
    with pytest.raises(BackboneError, match="the contract of a segmentation, but not its weights: train it again"):
        load_classifier(outlines, Classifier(plain, mean, std).state_dict())
