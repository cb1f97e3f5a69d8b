"""A value of a YAML file changes and nothing else does."""

from pathlib import Path

import pytest
import yaml

from project.params import ParamsError
from training.sweeps.yaml_edit import Value, edit_yaml

REPOSITORY = Path(__file__).parents[3]
TEXT = """\
# head
train:
  lr: 0.001 # the head's
  phases: # a list
    - trainable: head
      epochs: 2 # few
    - {trainable: all, epochs: 6}

  empty:
  sizes: [1, 7]
name: 'quoted # not a comment'
"""


def test_only_the_named_values_change_and_every_comment_stays() -> None:
    values: dict[str, Value] = {
        "train.phases.1.epochs": 9,
        "train.lr": 3e-05,
        "name": "on",
        "train.sizes.0": 22,
        "train.empty": True,
    }
    edited = edit_yaml(TEXT, values)
    assert edited == (
        TEXT.replace("0.001", "3.0e-05")
        .replace("epochs: 6", "epochs: 9")
        .replace("'quoted # not a comment'", "'on'")
        .replace("[1, 7]", "[22, 7]")
        .replace("empty:", "empty: true")
    )
    found = yaml.safe_load(edited)
    assert (found["name"], found["train"]["lr"], found["train"]["sizes"]) == ("on", 3e-05, [22, 7])


@pytest.mark.parametrize("value", [1e-7, 1e22, -0.5, 7, True, False, "no", "1.5", "a: b # c", "", "x" * 300, "ü"])
def test_what_is_written_is_what_is_read_back(value: object) -> None:
    edited = edit_yaml(TEXT, {"train.phases.0.epochs": value})  # type: ignore[dict-item]
    first, second = yaml.safe_load(edited)["train"]["phases"]
    assert first["epochs"] == value
    assert type(first["epochs"]) is type(value)
    assert second == {"trainable": "all", "epochs": 6}


def test_the_projects_own_params_survive_a_change_of_every_value_to_itself() -> None:
    text = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    values = {f"{section}.{key}": value for section, block in document.items() for key, value in block.items()}
    scalars = {key: value for key, value in values.items() if isinstance(value, str | int | float | bool)}
    assert len(scalars) > 20
    assert edit_yaml(text, scalars) == text


@pytest.mark.parametrize(("text", "message"), [("a: [1", "not YAML"), ("a: 1\na: 2\n", "duplicate key"), ("", "empty")])
def test_a_text_that_cannot_be_edited_is_refused(text: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        edit_yaml(text, {"a": 1})


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("train.rate", r"'train' has no key 'rate'"),
        ("test.lr", r"there is no section 'test'"),
        ("train.phases.2.epochs", r"'train\.phases' has no key '2'"),
        ("train.lr.x", r"'train\.lr' has no key 'x'"),
        ("train.phases", r"a block of several values"),
    ],
)
def test_a_key_that_is_not_one_value_is_refused_by_name(key: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        edit_yaml(TEXT, {key: 1})
