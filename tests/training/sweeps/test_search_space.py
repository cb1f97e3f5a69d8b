"""search.yaml is read and tried on the params file before a trial is spent."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from project.params import ParamsError
from runtime.model.contract import Task
from training.params import Params
from training.sweeps.search_space import SearchConfig

REPOSITORY = Path(__file__).parents[3]
PARAMS_TEXT = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")


def _document(**space: dict[str, Any]) -> dict[str, Any]:
    return {
        "trials": 3,
        "sampler": {"name": "random"},
        "pruner": {"name": "none"},
        "space": {key.replace("__", "."): domain for key, domain in space.items()},
    }


def _read(tmp_path: Path, document: dict[str, Any]) -> SearchConfig:
    path = tmp_path / "search.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return SearchConfig.read(path)


def test_the_projects_own_space_fits_its_params() -> None:
    config = SearchConfig.read(REPOSITORY / "search.yaml")
    config.check(PARAMS_TEXT)
    assert set(config.distributions()) == set(config.space) <= set(Params.read(REPOSITORY / "params.yaml").flat())


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ({"type": "float", "low": 0.0, "high": 1.0, "log": True}, "`low > 0` must hold for `log=True`"),
        ({"type": "float", "low": 1.0, "high": 0.1}, "`low <= high` must hold"),
        ({"type": "int", "low": 1, "high": 9, "step": 2, "log": True}, "only accept step is 1"),
        ({"type": "int", "low": 4, "high": 1}, "`low <= high` must hold"),
        ({"type": "int", "low": 1, "high": 4, "step": 2}, "not a whole number of steps"),
        ({"type": "categorical", "choices": [1]}, "at least 2"),
        ({"type": "categorical", "choices": ["1e-4", 0.1]}, "write it with a dot"),
        ({"type": "uniform", "low": 0, "high": 1}, "'float', 'int', 'categorical'"),
        ({"type": "float", "low": 0, "hihg": 1}, "hihg"),
    ],
)
def test_a_wrong_domain_is_refused_by_its_key(tmp_path: Path, domain: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message) as caught:
        _read(tmp_path, _document(train__weight_decay=domain))
    assert "space.train.weight_decay" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "domain", "message"),
    [
        ("train__decay", {"type": "float", "low": 0.1, "high": 1}, r"no key 'train\.decay'"),
        ("train__label_smoothing", {"type": "float", "low": 0.0, "high": 1.0}, r"label_smoothing.*1\.0.*less than 1"),
        ("model__pretrained", {"type": "categorical", "choices": ["none", "web"]}, r"'web'.*model\.pretrained"),
        ("train__batch_size", {"type": "int", "low": 0, "high": 8}, r"batch_size.* 0, .*greater than or equal to 1"),
    ],
)
def test_an_end_of_a_range_that_training_would_refuse_is_named_with_its_key(
    tmp_path: Path, key: str, domain: dict[str, Any], message: str
) -> None:
    config = _read(tmp_path, _document(**{key: domain}))
    with pytest.raises(ParamsError, match=message):
        config.check(PARAMS_TEXT)


@pytest.mark.parametrize(
    ("key", "task", "message"),
    [
        ("segmentation__channels", "classification", "which classification does not read"),
        ("train__batch_size", "segmentation", r"does not read: .* Keys of segmentation\.train replace others"),
        ("evaluate__seed", "classification", "which classification does not read"),
    ],
)
def test_a_key_that_would_change_nothing_is_refused(tmp_path: Path, key: str, task: Task, message: str) -> None:
    domain = {"type": "int", "low": 8, "high": 16}
    with pytest.raises(ParamsError, match=message):
        _read(tmp_path, _document(**{key: domain})).check(PARAMS_TEXT, task)
    _read(tmp_path, _document(segmentation__train__batch_size=domain)).check(PARAMS_TEXT, "segmentation")


def test_a_search_may_not_look_at_anything_but_the_validation_split(tmp_path: Path) -> None:
    document = _document(model__drop_rate={"type": "float", "low": 0, "high": 0.5}) | {"metric": "test_macro_f1"}
    with pytest.raises(ParamsError, match="validation split"):
        _read(tmp_path, document).check(PARAMS_TEXT)
