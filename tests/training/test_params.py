"""The project's own params.yaml is valid, and a wrong key is named."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from dataset.params import ParamsError
from training.params import Params

REPOSITORY = Path(__file__).parent.parent.parent


def test_the_projects_own_params_are_valid_and_flatten_to_dotted_names() -> None:
    flat = Params.read(REPOSITORY / "params.yaml").flat()
    document = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    assert flat["train.lr"] == document["train"]["lr"]
    assert flat["model.backbone"] == document["model"]["backbone"]


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("train", "lr", -1, r"train\.lr: .*greater than 0"),
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
    tiny_params["train"] |= {"epochs": 0, "head_epochs": 0}
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(tiny_params), encoding="utf-8")
    with pytest.raises(ParamsError, match="nothing would be trained"):
        Params.read(path)
