"""The Makefile hands on what a user typed, and finds what would fail before the work begins."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
# Stands for Python and DVC: notes how it was called, and fails as asked.
NOTING = """#!/bin/bash
printf '%s\\0' "$(basename "$0")" "$@" >> calls
printf '\\n\\0' >> calls
[ -z "${FAILING:-}" ] || case " $* " in *" $FAILING "*) exit 2;; esac
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    (tmp_path / "requirements").mkdir()
    for name in ("install.sh", "train.txt", "uv.txt"):
        (tmp_path / "requirements" / name).write_text("")
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").write_text(NOTING)
    (tmp_path / ".venv/bin/python").chmod(0o755)
    (tmp_path / ".venv/train.stamp").write_text("")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/source.yaml").write_text("")
    return tmp_path


def make(project: Path, *words: str, status: int = 0, environment: dict[str, str] | None = None) -> list[list[str]]:
    """Run make and return the calls it made, each a list of words."""
    (project / "calls").unlink(missing_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    done = subprocess.run(
        ["make", *words], cwd=project, capture_output=True, text=True, env={**kept, **(environment or {})}
    )
    assert done.returncode == status, done.stdout + done.stderr
    sys.stderr.write(done.stderr)
    lines = (project / "calls").read_text().removesuffix("\n\0").split("\n\0")
    return [line.removesuffix("\0").split("\0") for line in lines]


ODD = [
    "a b", "a$b", "$HOME/x", "a$$b", "$(shell touch made)", "`touch made`", 'say "x"', "it's", "a&b", "a;touch made",
    "a#b", "a\\b", "-x", "--out", "ä ö", "*", "a=b", "a:b", "  padded  ", "a|b>c<d", "!x", "a\tb", "(x)", "{a,b}", "~",
]  # fmt: skip


def test_a_path_may_hold_any_character(project: Path) -> None:
    for odd in ODD:
        calls = make(project, "source", f"DATA={odd}", f"GROUPS={odd}.csv", f"NORMAL=of {odd}")
        # make itself drops blanks before a value
        expected = [f"--groups={odd.lstrip()}.csv", f"--normal=of {odd}", "--out", "data/source.yaml", "--"]
        assert calls[-1] == ["python", "-m", "dataset.stage", "dataset.source", *expected, odd.lstrip()], odd
        assert not (project / "made").exists()


def test_what_the_environment_holds_for_another_purpose_is_not_taken_but_named(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Many a shell exports DATA or GROUPS; only what is typed after `make` is meant for it."""
    names = ("DATA", "GROUPS", "NORMAL", "LABELS", "SKIP", "CLASSES", "SPLIT", "ACCEPT_WORSE", "PICTURES", "DEVICE")
    bare = make(project, "bento")
    assert make(project, "bento", environment=dict.fromkeys(names, "/elsewhere")) == bare
    hints = capfd.readouterr().err
    assert all(
        f"{name} of the environment is not taken; type it to take it: make bento {name}=" in hints for name in names
    )
    (project / "requirements/labels.txt").write_text("")
    (project / ".venv-labels").mkdir()
    (project / ".venv-labels/labels.stamp").write_text("")
    make(project, "labels", environment={"PICTURES": "/elsewhere"})
    assert "PICTURES of the environment is not taken; type it to take it: make labels" in capfd.readouterr().err
    typed = make(project, "source", "DATA=mine", environment={"DATA": "/elsewhere", "GROUPS": ""})
    assert typed == make(project, "source", "DATA=mine")
    assert "is not taken" not in capfd.readouterr().err


def test_without_a_word_nothing_is_named(project: Path) -> None:
    words = ["--groups=", "--normal=", "--out", "data/source.yaml", "--", ""]
    assert make(project, "source")[-1] == ["python", "-m", "dataset.stage", "dataset.source", *words]


def test_how_pictures_are_divided_reaches_the_source(project: Path) -> None:
    assert "--split=new" in make(project, "data", "SPLIT=new")[-2]
    call = make(project, "data", "DATA=flat", "SPLIT=given", "LABELS=my labels.csv")[-2]
    assert {"--split=given", "--labels=my labels.csv"} <= set(call)


def test_why_a_worse_model_is_taken_reaches_both_steps_word_for_word(project: Path) -> None:
    reason = 'it costs $5 & a "half", doesn\'t it?'
    calls = make(project, "bento", f"ACCEPT_WORSE={reason}")
    for module in ("export.register", "export.bento"):
        assert ["python", "-m", module, f"--accept-worse={reason}"] in calls
    assert ["python", "-m", "export.register"] in make(project, "bento")


@pytest.mark.parametrize("target", ["register", "bento", "demo", "serve"])
def test_a_store_that_cannot_be_written_is_found_before_any_stage_runs(project: Path, target: str) -> None:
    calls = make(project, target, status=2, environment={"FAILING": "export.store"})
    assert ["python", "-m", "export.store"] in calls
    assert not [call for call in calls if {"dvc", "bentoml"} & set(call)]


@pytest.mark.parametrize("target", ["data", "card", "serve"])
def test_a_checkout_that_was_moved_still_starts_dvc_and_bentoml(project: Path, target: str) -> None:
    """Scripts of an environment that cannot be moved begin with the path of its Python: there they do not start."""
    for name in ("dvc", "bentoml"):
        (project / ".venv/bin" / name).write_text("#!/former/place/.venv/bin/python\n")
        (project / ".venv/bin" / name).chmod(0o755)
    calls = make(project, target)
    assert {"data": "dvc", "card": "dvc", "serve": "bentoml"}[target] in {call[2] for call in calls}


@pytest.mark.parametrize("target", ["data", "train", "card"])
def test_what_stores_no_model_needs_no_store(project: Path, target: str) -> None:
    assert ["python", "-m", "export.store"] not in make(project, target)


def test_who_has_no_name_gets_one(project: Path) -> None:
    """DVC asks for the user's name, and a container may run under a number that nobody has."""
    (project / ".venv/bin/python").write_text("#!/bin/bash\nprintf '%s\\0' \"$USER\" > calls\n")
    assert make(project, "source") == [[str(os.geteuid())]]
    assert make(project, "source", environment={"USER": "ada"}) == [["ada"]]


def test_what_may_be_left_out_and_which_folders_are_classes_are_handed_on_where_they_are_said(project: Path) -> None:
    calls = make(project, "source", "DATA=x", "SKIP=unreadable, $rare", "CLASSES=$(top)")
    assert calls[-1] == [
        "python", "-m", "dataset.stage", "dataset.source", "--groups=", "--normal=", "--skip=unreadable, $rare",
        "--classes=$(top)", "--out", "data/source.yaml", "--", "x",
    ]  # fmt: skip


def test_the_image_is_for_cpus_unless_a_gpu_is_asked_for(project: Path) -> None:
    here = {"TMPDIR": str(project)}  # where the command runs, and so notes its words
    for words, device in ((), "cpu"), (("DEVICE=",), "cpu"), (("DEVICE=gpu",), "gpu"):
        call = make(project, "containerize", *words, environment=here)[-1]
        assert call[:5] == ["python", "-m", "bentoml", "containerize", "vision:latest"]
        assert call[5:] == ["--backend", "docker", "--opt", f"build-arg=DEVICE={device}", "-t", f"vision:{device}"]
    # Docker's format has a health check, podman's own has none.
    assert "format=docker" in make(project, "containerize", "ENGINE=podman", environment=here)[-1]
    bare = make(project, "containerize", environment=here)
    assert make(project, "containerize", environment={**here, "DEVICE": "gpu"}) == bare
    done = subprocess.run(["make", "containerize", "DEVICE=cuda"], cwd=project, capture_output=True, text=True)
    assert done.returncode == 2
    assert "DEVICE is cuda, which is neither cpu nor gpu" in done.stderr
