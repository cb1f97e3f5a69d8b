"""What was measured goes into the run that trained the model, and nowhere else."""

import json
from pathlib import Path

import mlflow
import pytest

from runtime.model.contract import ClassificationContract, Lineage
from tests.training.records.mlflow_store import copy_empty_store
from training import log_evaluation
from training.records.run_log import Run


def arguments(root: Path, run_id: str) -> list[str]:
    """Write the files of a run and return where they are."""
    half = (0.5, 0.5, 0.5)
    lineage = Lineage(mlflow_run_id=run_id)
    contract = ClassificationContract(classes=("a", "b"), height=8, width=8, mean=half, std=half, lineage=lineage)
    (root / "evaluation").mkdir()
    (root / "contract.json").write_text(contract.to_json())
    figures = {"test": {"macro_f1": 0.75, "macro_f1_low": None, "f1": {"a": 1.0}}, "by_image": {"leaking": True}}
    (root / "evaluation/metrics.json").write_text(json.dumps(figures))
    (root / "evaluation/confusion.png").write_bytes(b"a picture")
    (root / "report.html").write_text("<p>measured</p>")
    (root / "MODEL_CARD.md").write_text("# A card")
    paths = {"contract": "contract.json", "evaluation": "evaluation", "report": "report.html", "card": "MODEL_CARD.md"}
    return [part for name, path in paths.items() for part in (f"--{name}", str(root / path))]


def test_figures_and_files_are_found_in_the_models_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", copy_empty_store(tmp_path / "mlflow.db"))
    monkeypatch.chdir(tmp_path)  # where MLflow puts files, if a store of its own says nothing else
    with Run(tmp_path / "training", {"lr": 0.1}, {}) as run:
        run.log_epoch(1, {"val_macro_f1": 0.5})
    assert log_evaluation.main(arguments(tmp_path, run.run_id)) == 0
    client = mlflow.MlflowClient()
    logged = client.get_run(run.run_id)
    assert logged.data.metrics == {"val_macro_f1": 0.5, "test.macro_f1": 0.75}
    assert logged.info.status == "FINISHED"
    names = {Path(item.path).name for item in client.list_artifacts(run.run_id, "evaluation")}
    assert names == {"report.html", "MODEL_CARD.md", "metrics.json", "confusion.png"}


def test_a_run_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert log_evaluation.main(arguments(tmp_path, "0" * 32)) == 2
    assert f"there is no MLflow run '{'0' * 32}'" in capsys.readouterr().err


def test_a_missing_report_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = arguments(tmp_path, "0" * 32)
    (tmp_path / "report.html").unlink()
    assert log_evaluation.main(argv) == 2
    assert "report.html; run `make card`" in capsys.readouterr().err
