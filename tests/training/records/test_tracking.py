"""A run that goes on in an MLflow run, where that is still there."""

from pathlib import Path
from typing import Any

import pytest

from training import train
from training.records.run_log import Run


def test_a_state_whose_mlflow_run_is_gone_is_an_error_that_says_what_to_do(
    tiny_tiles_dir: Path,
    params_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'another.db'}")
    monkeypatch.chdir(tmp_path)

    def resume(*_arguments: Any) -> None:
        with Run(tmp_path / "run", {}, {}, {"run_id": "a" * 32, "records": []}):
            pytest.fail("there is no such run")

    monkeypatch.setattr("training.fit.fit", resume)
    files = ["--manifest", str(tiny_tiles_dir / "manifest.csv"), "--params", str(params_file)]
    assert train.main([*files, "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert f"MLflow run '{'a' * 32}', which cannot be opened at sqlite:///{tmp_path / 'another.db'}" in said
    assert f"begin anew with --resume never or by removing {tmp_path / 'run/state'}" in said
