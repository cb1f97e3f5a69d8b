"""dvc.yaml: what a stage reads is what makes it run again."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parent.parent
PRINT_LOADED = "print(*[m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)])"


@pytest.fixture
def environment_project(tmp_path: Path) -> Path:
    """A DVC project with this one's .dvcignore and a stage that depends on what is installed, as ours does."""
    shutil.copy2(REPOSITORY / ".dvcignore", tmp_path)
    (site_packages := tmp_path / ".venv/lib/python3.11/site-packages").mkdir(parents=True)
    for name in ("torch-2.0", "timm-1.0"):
        (site_packages / f"{name}.dist-info").mkdir()
        (site_packages / f"{name}.dist-info/METADATA").write_text(name)
    (site_packages / "torch").mkdir()
    (site_packages / "torch/__init__.py").write_text("")
    ours = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]["environment"]
    packages = ".venv/lib/python3.11/site-packages"
    assert packages in ours["deps"]
    stage = {"cmd": f"ls {packages} > frozen.txt", "deps": [packages], "outs": ["frozen.txt"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"environment": stage}}))
    _run(tmp_path, "git", "init", "-q")
    _run(tmp_path, "dvc", "init", "-q")
    _run(tmp_path, "dvc", "repro")
    return tmp_path


def _run(folder: Path, *command: str) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_installed_upgraded_or_removed_package_makes_the_frozen_list_stale(environment_project: Path) -> None:
    site_packages = environment_project / ".venv/lib/python3.11/site-packages"
    assert "up to date" in _run(environment_project, "dvc", "status")
    (site_packages / "torch/__pycache__").mkdir()
    (site_packages / "torch/__pycache__/x.pyc").write_text("compiled")
    (site_packages / "torch/__init__.py").write_text("# bytes of a package are pip's business")
    assert "up to date" in _run(environment_project, "dvc", "status")
    (site_packages / "new-1.0.dist-info").mkdir()
    (site_packages / "new-1.0.dist-info/METADATA").write_text("new")
    assert "environment" in _run(environment_project, "dvc", "status")
    _run(environment_project, "dvc", "repro")
    (site_packages / "timm-1.0.dist-info/METADATA").write_text("timm-1.1")
    assert "environment" in _run(environment_project, "dvc", "status")
    _run(environment_project, "dvc", "repro")
    shutil.rmtree(site_packages / "new-1.0.dist-info")
    assert "environment" in _run(environment_project, "dvc", "status")


def test_an_interrupted_comparison_finds_its_state_when_the_stage_runs_again(environment_project: Path) -> None:
    outs = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]["compare"]["outs"]
    command = "if [ -e artifacts/by_image/state ]; then echo resumed > artifacts/by_image/predictions.csv; else "
    command += "mkdir -p artifacts/by_image && touch artifacts/by_image/state && exit 1; fi"
    pipeline = {"stages": {"compare": {"cmd": command, "outs": outs}}}
    (environment_project / "dvc.yaml").write_text(yaml.safe_dump(pipeline))
    with pytest.raises(AssertionError):
        _run(environment_project, "dvc", "repro")
    _run(environment_project, "dvc", "repro")
    assert (environment_project / "artifacts/by_image/predictions.csv").read_text() == "resumed\n"


def test_every_stage_but_the_first_hangs_on_the_frozen_environment() -> None:
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    others = {name for name in stages if name != "environment"}
    assert others == {name for name in others if "artifacts/environment.txt" in stages[name]["deps"]}


def test_every_stage_depends_on_the_code_that_its_command_runs() -> None:
    for name, stage in yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"].items():
        module = stage["cmd"].split()[-1].replace(".", "/") + ".py"
        assert (REPOSITORY / module).is_file(), name
        assert any(module == dep or module.startswith(dep + "/") for dep in stage["deps"]), name


def test_a_stage_names_every_module_of_ours_that_it_loads() -> None:
    """A module that is loaded but no dependency would change results while DVC sees nothing to do."""
    for name, stage in yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"].items():
        module = stage["cmd"].split()[-1]
        command = [sys.executable, "-c", f"import {module}, sys; {PRINT_LOADED}"]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
        loaded = {Path(f).relative_to(REPOSITORY).as_posix() for f in done.stdout.split() if _is_ours(Path(f))}
        missing = {f for f in loaded if not any(f == dep or f.startswith(dep + "/") for dep in stage["deps"])}
        assert not missing, f"stage {name} loads {sorted(missing)}, which dvc.yaml does not name"


def _is_ours(path: Path) -> bool:
    return path.is_relative_to(REPOSITORY) and ".venv" not in path.parts and path.name != "__init__.py"


def test_every_stage_has_a_make_target() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    reproduced = set(re.findall(r"dvc repro ?(\w*)$", makefile, re.M))
    last = "card"  # `make card` runs the whole pipeline
    stages = set(yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"])
    assert stages - {"environment", last} == reproduced - {""}
    assert "" in reproduced
