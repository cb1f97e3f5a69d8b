"""Registration is all or nothing, and only for files of one model."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import bentoml
import pytest
from bentoml.exceptions import NotFound

from evaluation.asked_model import AskedModel, write_asked_model
from export import bento
from export.register import RegistrationError, main, register
from runtime.model.contract import ONNX_FILE
from runtime.model.hashing import file_sha256
from tests.bentoml_home import bentoml_home
from tests.export.gate_settings import gate
from tests.onnx_fixture import card_text, write_sources


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with bentoml_home(tmp_path / "home") as home:
        yield home


def models(home: Path) -> list[str]:
    """Everything under the store that is not an empty directory, as `name/version`."""
    return sorted(f"{path.parent.name}/{path.name}" for path in (home / "models").glob("*/*") if path.is_dir())


def test_both_models_get_one_version_labels_and_files(tmp_path: Path, home: Path) -> None:
    sources = write_sources(tmp_path)
    registered = register(sources, gate(tmp_path))
    classifier = bentoml.models.get("vision-classifier:latest")
    checkpoint = bentoml.models.get("vision-checkpoint:latest")
    assert [registered.model, registered.checkpoint] == [str(classifier.tag), str(checkpoint.tag)]
    assert classifier.tag.version == checkpoint.tag.version
    assert classifier.info.labels["onnx_sha256"] == file_sha256(sources.export_dir / ONNX_FILE)
    gate_labels = {"gate", "gate_reason"}
    assert set(classifier.info.labels) == {"git_commit", "data_sha256", "mlflow_run_id", "onnx_sha256", *gate_labels}
    assert classifier.info.metadata["metrics"] == {"accuracy": 1.0, "macro_f1": {"value": 1.0}}
    for name in (ONNX_FILE, "contract.json", "evaluation.json", "MODEL_CARD.md"):
        assert Path(classifier.path_of(name)).stat().st_size > 0
    for name in ("predictions.csv", "manifest.csv", "description.json"):
        assert Path(checkpoint.path_of(name)).stat().st_size > 0
    assert Path(checkpoint.path_of("checkpoint.pt")).read_bytes() == b"weights"
    assert not list((home / "tmp").glob("vision-register-*/"))


def test_a_figure_that_is_undefined_is_left_out_of_the_metadata(tmp_path: Path, home: Path) -> None:
    sources = write_sources(tmp_path)
    figures = {"accuracy": 1.0, "test": {"boxes": {"precision": None, "recall": 0.0}}}
    (sources.evaluation_dir / "metrics.json").write_text(json.dumps(figures))
    register(sources, gate(tmp_path))
    metadata = bentoml.models.get("vision-classifier:latest").info.metadata
    assert metadata["metrics"] == {"accuracy": 1.0, "test": {"boxes": {"recall": 0.0}}}


def test_registering_the_same_again_changes_nothing_and_says_so(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = write_sources(tmp_path)
    argv = ["--checkpoint", str(sources.checkpoint), "--export", str(sources.export_dir)]
    argv += ["--evaluation", str(sources.evaluation_dir), "--card", str(sources.card)]
    argv += ["--predictions", str(sources.predictions), "--data", str(sources.data_dir)]
    assert main(argv) == 0
    before = models(home)
    assert main(argv) == 0
    assert models(home) == before
    assert len(before) == 2
    assert "already registered: vision-classifier:" in capsys.readouterr().out


def test_another_card_of_the_same_model_is_a_new_version(tmp_path: Path, home: Path) -> None:
    sources = write_sources(tmp_path)
    first = register(sources, gate(tmp_path))
    sources.card.write_text(sources.card.read_text() + "More was measured.\n")
    second = register(sources, gate(tmp_path))
    assert second.is_new
    assert str(bentoml.models.get("vision-classifier:latest").tag) == second.model != first.model


def test_an_earlier_model_becomes_the_latest_when_registered_again(tmp_path: Path, home: Path) -> None:
    old, new = write_sources(tmp_path / "old"), write_sources(tmp_path / "new", scale=4.0)
    register(old, gate(tmp_path))
    register(new, gate(tmp_path))
    again = register(old, gate(tmp_path))
    assert again.is_new
    assert str(bentoml.models.get("vision-classifier:latest").tag) == again.model


def test_failure_in_the_second_model_removes_the_first(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = register(write_sources(tmp_path / "old"), gate(tmp_path))
    before = models(home)
    # Real failure of the second rename: a file where the store's directory for the classifier's versions must be.
    (home / "models" / "vision-classifier").rename(tmp_path / "aside")
    (home / "models" / "vision-classifier").write_text("in the way")
    with pytest.raises(OSError, match="vision-classifier"):
        register(write_sources(tmp_path / "new", scale=4.0), gate(tmp_path))
    (home / "models" / "vision-classifier").unlink()
    (tmp_path / "aside").rename(home / "models" / "vision-classifier")
    assert models(home) == before
    assert str(bentoml.models.get("vision-checkpoint:latest").tag) == first.checkpoint


KILLED_BEFORE_RENAME = """
import os, pathlib, signal
from tests.export.gate_settings import gate
from export.register import register
from tests.onnx_fixture import write_sources
sources = write_sources(pathlib.Path({directory!r}))
rename = pathlib.Path.rename
def rename_or_die(self, target):
    if pathlib.Path(target).parent.name == {name!r}:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)
pathlib.Path.rename = rename_or_die
register(sources, gate(sources.card.parent))
"""


@pytest.mark.parametrize("name", ["vision-checkpoint", "vision-classifier"])
def test_killed_registration_leaves_no_half_model_and_the_next_one_clears_up(
    tmp_path: Path, home: Path, name: str
) -> None:
    code = KILLED_BEFORE_RENAME.format(directory=str(tmp_path / "killed"), name=name)
    killed = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(NotFound):
        bentoml.models.get("vision-classifier:latest")
    for model in models(home):  # whatever is there is whole
        assert bentoml.models.get(model.replace("/", ":")).info.labels["onnx_sha256"]
    registered = register(write_sources(tmp_path / "next"), gate(tmp_path))
    version = registered.model.partition(":")[2]
    assert models(home) == [f"vision-checkpoint/{version}", f"vision-classifier/{version}"]
    assert not list((home / "tmp").glob("vision-register-*/"))


def test_card_of_another_model_is_refused(tmp_path: Path, home: Path) -> None:
    other = write_sources(tmp_path / "other", scale=4.0)
    sources = replace(write_sources(tmp_path), card=other.card)
    with pytest.raises(RegistrationError, match=r"card of another model: it describes the ONNX file [0-9a-f]{12}, but"):
        register(sources, gate(tmp_path))
    assert models(home) == []


def test_failed_parity_is_refused(tmp_path: Path, home: Path) -> None:
    with pytest.raises(RegistrationError, match=r"parity\.json: the ONNX graph differs"):
        register(write_sources(tmp_path, limit=1e-9), gate(tmp_path))
    assert models(home) == []


def test_answers_of_another_model_are_not_registered_as_this_ones(tmp_path: Path, home: Path) -> None:
    sources = write_sources(tmp_path)
    write_asked_model(sources.predictions, AskedModel(asked="http://elsewhere:3000", onnx_sha256="f" * 64))
    with pytest.raises(RegistrationError, match="holds the answers of http://elsewhere:3000"):
        register(sources, gate(tmp_path))
    assert models(home) == []


@pytest.mark.parametrize(
    ("missing", "command"),
    [
        ("export/parity.json", "make export"),
        ("export/model.onnx", "make export"),
        ("export/contract.json", "make export"),
        ("evaluation/evaluation.json", "make eval"),
        ("evaluation/metrics.json", "make eval"),
        ("MODEL_CARD.md", "make card"),
        ("predictions.csv", "make card"),
        ("data/manifest.csv", "make card"),
        ("data/description.json", "make card"),
        ("checkpoint.pt", "make train"),
    ],
)
def test_missing_file_is_named_with_the_command_that_makes_it(
    tmp_path: Path, home: Path, missing: str, command: str
) -> None:
    sources = write_sources(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(RegistrationError, match=rf"{missing}.*{command}"):
        register(sources, gate(tmp_path))
    assert models(home) == []


def test_entry_point_says_what_is_wrong_in_one_line(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--export", str(tmp_path / "nothing")]) == 2
    assert capsys.readouterr().err.startswith("cannot register: cannot read the model contract")


def test_card_text_of_the_fixture_is_of_its_model(tmp_path: Path) -> None:
    sources = write_sources(tmp_path)
    assert sources.card.read_text() == card_text(sources.export_dir / ONNX_FILE)


def test_a_home_that_cannot_be_written_is_one_line_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    with bentoml_home(home):
        (home / "tmp").rmdir()
        (home / "tmp").touch()  # root may write everywhere, but not below a file
        for command in (main, bento.main):
            assert command([]) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert f"nothing can be written to BentoML's home {home} (File exists): set BENTOML_HOME" in line
