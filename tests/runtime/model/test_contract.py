"""The contract: survives its JSON, and refuses what would bring an image to a model wrongly."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from runtime.model.contract import ClassificationContract, ContractError, Lineage, parse_contract, read_contract
from runtime.model.roles import role_of

CONTRACT = ClassificationContract(
    classes=("Blowhole", "Ärger", "Free"),
    height=224,
    width=192,
    resize="letterbox",
    interpolation="bicubic",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    temperature=1.7,
    lineage=Lineage(git_commit="abc", backbone="tf_efficientnet_lite0"),
)


def changed(**values: Any) -> str:
    return json.dumps({**json.loads(CONTRACT.to_json()), **values})


def test_json_and_back_gives_the_same_contract_and_hash(tmp_path: Path) -> None:
    path = tmp_path / "contract.json"
    path.write_text(CONTRACT.to_json(), encoding="utf-8")
    again = read_contract(path)
    assert again == CONTRACT
    assert again.sha256 == CONTRACT.sha256


def test_any_change_changes_the_hash() -> None:
    others = [
        CONTRACT.model_copy(update=change)
        for change in ({"width": 193}, {"classes": ("a", "b")}, {"temperature": 1.0}, {"lineage": Lineage()})
    ]
    assert len({contract.sha256 for contract in [CONTRACT, *others]}) == 5


def test_a_contract_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        CONTRACT.height = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ["a"]}, "classes"),
        ({"classes": ["a", "b", "a"]}, "class names must be unique"),
        ({"classes": ["a", ""]}, "not empty"),
        ({"std": [0.2, 0.0, 0.2]}, "std must be positive"),
        ({"mean": [0.5, 0.5]}, "mean"),
        ({"temperature": 0}, "temperature"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"mean": [float("inf"), 0, 0]}, "mean"),
        ({"height": 7}, "height"),
        ({"width": 5000}, "width"),
        ({"resize": "squash"}, "resize"),
        ({"colour": "bgr"}, "colour"),
        ({"schema_version": 2}, "schema_version"),
        ({"name": "Bad Name"}, "name"),
        ({"normalise": True}, "normalise"),
        ({"lineage": {"author": "x"}}, "author"),
        ({"filters": [{"kind": "refuse"}]}, "refuse"),
        ({"filters": [{"kind": "abstain", "below": 0}]}, "below"),
        ({"filters": [{"kind": "abstain", "below": 0.5}] * 2}, "one 'abstain'"),
        ({"filters": [{"kind": "hook", "path": "no_function"}]}, "path"),
        ({"filters": [{"kind": "hook", "path": "a:b", "below": 0.5}]}, "below"),
    ],
)
def test_a_contract_that_does_not_fit_is_refused_by_key(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=message) as caught:
        parse_contract(changed(**change), "models/x/contract.json")
    assert "models/x/contract.json" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"classes": ["a", "b"]}'])
def test_text_that_is_no_contract_is_refused(text: str) -> None:
    with pytest.raises(ContractError, match="here is not a valid model contract"):
        parse_contract(text, "here")


def test_a_missing_or_binary_file_is_a_contract_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"cannot read the model contract .*contract\.json: No such file"):
        read_contract(tmp_path / "contract.json")
    (tmp_path / "contract.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ContractError, match=r"contract\.json is not a valid model contract"):
        read_contract(tmp_path / "contract.json")


def test_filters_keep_their_order_and_kind_and_a_contract_from_before_them_has_none() -> None:
    filters = [{"kind": "hook", "path": "hooks.rules:check", "options": {"a": [1]}}, {"kind": "abstain", "below": 0.7}]
    contract = parse_contract(changed(filters=filters), "here")
    assert contract.model_dump(mode="json")["filters"] == filters
    before = json.loads(CONTRACT.to_json())
    del before["filters"]
    assert parse_contract(json.dumps(before), "here") == CONTRACT


def test_contract_without_a_range_is_what_it_was_before_there_was_one() -> None:
    assert "max_value" not in json.loads(CONTRACT.to_json())
    assert parse_contract(CONTRACT.to_json(), "c").max_value is None


def test_range_of_deep_pictures_survives_json_and_changes_the_hash() -> None:
    contract = CONTRACT.model_copy(update={"max_value": 4095})
    assert parse_contract(contract.to_json(), "c") == contract
    assert contract.sha256 != CONTRACT.sha256


@pytest.mark.parametrize("max_value", [0, 1, -1, 2**32, 4095.5])
def test_range_that_no_samples_have_is_refused(max_value: float) -> None:
    with pytest.raises(ContractError, match="max_value"):
        parse_contract(changed(max_value=max_value), "c")


# As it lies in ONNX files and in model stores.
STORED = """{
  "schema_version": 1,
  "name": "vision-classifier",
  "task": "classification",
  "classes": [
    "Blowhole",
    "Ärger",
    "Free"
  ],
  "height": 224,
  "width": 192,
  "resize": "letterbox",
  "interpolation": "bicubic",
  "colour": "rgb",
  "mean": [
    0.485,
    0.456,
    0.406
  ],
  "std": [
    0.229,
    0.224,
    0.225
  ],
  "temperature": 1.7,
  "filters": [],
  "lineage": {
    "git_commit": "abc",
    "data_sha256": "",
    "mlflow_run_id": "",
    "backbone": "tf_efficientnet_lite0",
    "weights": ""
  }
}
"""


def test_contracts_that_were_written_are_read_and_written_again_byte_for_byte() -> None:
    assert parse_contract(STORED, "c") == CONTRACT
    assert CONTRACT.to_json() == STORED
    ranged = STORED.replace('"rgb",\n', '"rgb",\n  "max_value": 4095,\n')
    assert parse_contract(ranged, "c").to_json() == ranged


@pytest.mark.parametrize("task", [None, "", "depth"])
def test_contract_of_a_task_that_is_not_known_is_refused_by_its_name(task: str | None) -> None:
    with pytest.raises(ContractError, match=r"Input tag .* found using 'task' does not match|valid string"):
        parse_contract(changed(task=task), "c")


def test_what_a_classifier_looks_at_is_left_out_where_it_is_a_picture() -> None:
    assert not {"subject", "crop_margin"} & json.loads(CONTRACT.to_json()).keys()
    of_crops = parse_contract(changed(subject="crop", crop_margin=0.1), "here")
    assert [role_of(contract) for contract in (CONTRACT, of_crops)] == ["classification", "crop-classification"]
    assert parse_contract(of_crops.to_json(), "here") == of_crops
    assert '"crop_margin": 0.1' in of_crops.to_json()
    with pytest.raises(ContractError, match="crop_margin is of a classifier whose subject is 'crop'"):
        parse_contract(changed(crop_margin=0.1), "here")
