"""Each ablation changes what its rows say and nothing else; the small network is a backbone like any other."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml
from timm.models import group_parameters

from project.params import ParamsError
from training.network import small_cnn
from training.network.classifier import create_backbone, load_classifier
from training.params import ModelParams, Params
from training.sweeps.ablation_table import NOT_MEASURED, Row, write_tables
from training.sweeps.ablations import ABLATIONS

REPOSITORY = Path(__file__).parents[3]
OWN = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
SECTIONS = {"augmentation": {"augment"}, "training": {"model", "train"}, "backbones": {"model"}}


def _params(tmp_path: Path, document: dict[str, Any]) -> Params:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return Params.read(path)


def _epochs(params: Params) -> int:
    return sum(phase.epochs or 0 for phase in params.train.phases)


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_row_is_valid_differs_only_where_it_should_and_trains_equally_long(name: str, tmp_path: Path) -> None:
    own = _params(tmp_path, OWN)
    seen = []
    for arm in ABLATIONS[name]:
        document = arm.params(OWN, seed=own.train.seed)
        changed = _params(tmp_path, document)
        assert {key for key in document if document[key] != OWN[key]} <= SECTIONS[name]
        assert _epochs(changed) == _epochs(own)
        assert arm.params(OWN, seed=7)["train"]["seed"] == 7
        seen.append(changed)
    assert all(seen.count(params) == 1 for params in seen)
    assert len({arm.folder for arm in ABLATIONS[name]}) == len(seen)


def test_no_augmentation_turns_everything_off_and_each_row_adds_to_the_one_before(tmp_path: Path) -> None:
    document = {**OWN, "augment": {**OWN["augment"], "exposure_stops": 1.0, "erasing_probability": 0.5}}
    rows = [_params(tmp_path, arm.params(document, 0)).augment for arm in ABLATIONS["augmentation"]]
    neutral = {"crop_min_area": 1.0, "crop_max_aspect": 1.0, "gamma": 1.0}
    kept = {"randaugment_magnitude", "erasing_max_area", "mix_probability", "off_last_epochs"}  # of things that are off
    for key, value in rows[0].model_dump().items():
        assert key in kept or value == neutral.get(key, 0), key
    for before, after in pairwise(rows):
        on = {key for key, value in before.model_dump().items() if value != getattr(rows[0], key)}
        assert all(getattr(after, key) == getattr(before, key) for key in on)
    assert [row.mixes for row in rows] == [False, False, False, True]


def test_an_ablation_that_the_params_cannot_answer_is_refused() -> None:
    head_only = {**OWN, "train": {**OWN["train"], "phases": [{"trainable": "head", "epochs": 1, "lr": 0.1}]}}
    no_head = {**OWN, "train": {**OWN["train"], "phases": [{"trainable": "all", "epochs": 1, "lr": 0.1}]}}
    _, features_only, full = ABLATIONS["training"]
    with pytest.raises(ParamsError, match="no full fine-tuning"):
        full.params(head_only, 0)
    with pytest.raises(ParamsError, match="trains the head alone"):
        features_only.params(no_head, 0)


def test_the_two_layer_network_is_two_convolutions_that_timm_can_count() -> None:
    model = timm.create_model("two_layer_cnn", num_classes=6)
    assert [type(module).__name__ for module in model.modules()].count("Conv2d") == 2
    images = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    assert model(images).shape == (2, 6)
    model(images).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    for coarse in (False, True):
        layers = group_parameters(model, model.group_matcher(coarse=coarse))
        assert [sorted({name.split(".")[0] for name in layers[i]}) for i in sorted(layers)] == [
            ["conv1"], ["conv2"], ["head"],
        ]  # fmt: skip
    assert model.get_classifier() is model.head


def test_the_two_layer_network_comes_back_from_a_checkpoints_weights() -> None:
    from runtime.model.contract import ClassificationContract, Lineage

    params = ModelParams(backbone="two_layer_cnn", pretrained="none", drop_rate=0.1)
    backbone, mean, std, origin = create_backbone(params, 2)
    assert isinstance(backbone, small_cnn.TwoLayerCnn)
    assert "random" in origin
    lineage = Lineage(git_commit="", data_sha256="0" * 64, backbone="two_layer_cnn", weights=origin)
    contract = ClassificationContract(
        classes=("a", "b"), height=32, width=32, resize="stretch", interpolation="bilinear", mean=mean, std=std,
        lineage=lineage,
    )  # fmt: skip
    state = {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}
    again = load_classifier(contract, state)
    images = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    scaled = (images.permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    assert torch.allclose(again(images), backbone.eval()(scaled), atol=1e-5)


def test_the_table_gives_mean_and_spread_and_says_what_was_not_measured(tmp_path: Path) -> None:
    row, other = Row("a | b"), Row("c", reason="no weights: " + "x" * 300)
    for value in (0.5, 0.7, 0.9):
        row.add({"val_macro_f1": value, "seconds": 12.0})
    markdown = write_tables("training", [row, other], tmp_path)
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == markdown
    head, _, first, second = markdown.splitlines()
    assert head == "|  | seeds | macro-F1, val | seconds a run | why not |"
    assert first == "| a \\| b | 3 | 0.700 ± 0.200 | 12 ± 0 |  |"
    assert second.startswith(f"| c | 0 | {NOT_MEASURED} | {NOT_MEASURED} | no weights: xxx")
    assert len(second) < 260
    lines = (tmp_path / "table.csv").read_text(encoding="utf-8").splitlines()
    assert lines[1].startswith("a | b,val_macro_f1,0.7,0.2")
    assert lines[1].endswith(",0.5,0.9,0.5 0.7 0.9,")
    assert lines[3].endswith("x" * 300)
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
