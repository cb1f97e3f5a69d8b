"""The project's own params.yaml is valid, and a wrong key is named."""

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from project.params import ParamsError
from runtime.model.contract import Task
from tests.training.detection_section import detection_section
from tests.training.segmentation_section import segmentation_section
from training.params import Params

REPOSITORY = Path(__file__).parent.parent.parent


def test_the_projects_own_params_are_valid_and_flatten_to_dotted_names() -> None:
    flat = Params.read(REPOSITORY / "params.yaml").flat()
    document = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    assert flat["train.phases.1.lr"] == document["train"]["phases"][1]["lr"]
    assert flat["train.weight_decay"] == document["train"]["weight_decay"]
    assert flat["model.backbone"] == document["model"]["backbone"]


def test_filters_are_no_setting_of_training(tmp_path: Path, tiny_params: dict[str, Any]) -> None:
    """Else another threshold would start another run and pass over the state of an interrupted one."""
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(tiny_params), encoding="utf-8")
    before = Params.read(path)
    tiny_params["contract"]["filters"] = [{"kind": "abstain", "below": 0.7}]
    path.write_text(yaml.safe_dump(tiny_params), encoding="utf-8")
    after = Params.read(path)
    assert after.contract.filters
    assert after.flat() == before.flat()
    assert after.model_dump(mode="json") == before.model_dump(mode="json")


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("train", "weight_decay", -1, r"train\.weight_decay: .*greater than or equal to 0"),
        ("train", "phases", [], r"train\.phases: .*at least 1 item"),
        ("train", "phases", [{"trainable": "last_blocks(0)", "epochs": 1, "lr": 1}], r"train\.phases\.0\.trainable: "),
        ("train", "phases", [{"trainable": "all", "epochs": 1, "lr": 0}], r"train\.phases\.0\.lr: .*greater than 0"),
        ("train", "phases", [{"trainable": "all", "lr": 1}], r"train\.phases\.0: .*either epochs or steps"),
        ("train", "phases", [{"trainable": "all", "lr": 1, "epochs": 1, "steps": 1}], r"phases\.0: .*epochs or steps"),
        ("train", "precision", "fp8", r"train\.precision: .*'fp32', 'bf16' or 'fp16'"),
        ("train", "ema_decay", 1, r"train\.ema_decay: .*less than 1"),
        ("train", "learning_rate", 0.1, r"train\.learning_rate: .*not permitted"),
        ("model", "pretrained", "random", r"model\.pretrained: .*'package', 'hub' or 'none'"),
        ("augment", "crop_min_area", 0, r"augment\.crop_min_area"),
    ],
)
def test_a_wrong_value_is_refused_by_name(
    tmp_path: Path, tiny_params: dict[str, Any], section: str, key: str, value: object, message: str
) -> None:
    tiny_params[section][key] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(tiny_params), encoding="utf-8")
    with pytest.raises(ParamsError, match=message):
        Params.read(path)


def test_no_epochs_at_all_is_refused(tmp_path: Path, tiny_params: dict[str, Any]) -> None:
    for phase in tiny_params["train"]["phases"]:
        phase["epochs"] = 0
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(tiny_params), encoding="utf-8")
    with pytest.raises(ParamsError, match="nothing would be trained"):
        Params.read(path)


@pytest.mark.parametrize("task", get_args(Task))
def test_what_named_the_task_before_is_refused_with_what_to_do(
    tmp_path: Path, tiny_params: dict[str, Any], task: Task
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump({**tiny_params, "mask": {}}), encoding="utf-8")
    with pytest.raises(ParamsError, match=r"the section 'mask' is called 'segmentation' now"):
        Params.read(path, task)
    tiny_params["model"]["head"] = "linear"
    tiny_params |= {"segmentation": segmentation_section({"steps": 1}), "detection": detection_section({"steps": 1})}
    path.write_text(yaml.safe_dump(tiny_params), encoding="utf-8")
    with pytest.raises(ParamsError, match="'head' is no key any more: take it out, and say --task segmentation"):
        Params.read(path, task)


def test_segmentation_needs_its_section_and_classification_does_not_read_it(params_file: Path) -> None:
    assert Params.read(params_file).task == "classification"
    with pytest.raises(ParamsError, match="has no section 'segmentation'"):
        Params.read(params_file, "segmentation")
    document = yaml.safe_load(params_file.read_text()) | {"segmentation": "nonsense"}
    params_file.write_text(yaml.safe_dump(document))
    assert Params.read(params_file).segmentation is None
