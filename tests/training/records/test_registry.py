"""The registry's version of a run and the models in BentoML's store name each other."""

from pathlib import Path

import pytest

from runtime.model.contract import MODEL_NAME
from training.records.registry import register_version
from training.records.run_log import Run
from training.records.tracking import TrackingError, client_and_errors


@pytest.fixture
def run_id(tmp_path: Path) -> str:
    (tmp_path / "checkpoint.pt").write_bytes(b"weights")
    with Run(tmp_path / "run", {}, {}) as run:
        run.log_artifact(tmp_path / "checkpoint.pt")
    return run.run_id


def test_a_run_is_registered_once_and_its_version_and_run_carry_the_stores_tags(run_id: str) -> None:
    first = register_version(run_id, "vision-classifier:abc", "vision-checkpoint:abc")
    again = register_version(run_id, "vision-classifier:def", "vision-checkpoint:def")
    assert first == again
    client, _ = client_and_errors()
    version = client.get_model_version(MODEL_NAME, first)
    assert version.run_id == run_id
    assert version.source.endswith("/checkpoint.pt")
    tags = {"bentoml_model": "vision-classifier:def", "bentoml_checkpoint": "vision-checkpoint:def"}
    assert version.tags == tags
    assert tags.items() <= client.get_run(run_id).data.tags.items()


def test_a_run_that_is_not_there_is_named() -> None:
    with pytest.raises(TrackingError, match="there is no MLflow run 'nobody'"):
        register_version("nobody", "a:b", "c:d")
