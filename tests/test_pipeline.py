"""dvc.yaml of each task: what a stage reads is what makes it run again."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataset.data_source import DataSource
from dataset.outputs.tasks import ARTIFACTS, PIPELINES
from runtime.model.roles import Role
from tests.dataset.picture_files import make_folder
from tests.forking_python import forking_python

REPOSITORY = Path(__file__).parent.parent
TIMEOUT_S = 600  # far above what loading takes
STAGES: dict[Role, dict[str, Any]] = {
    task: yaml.safe_load((REPOSITORY / path).read_text(encoding="utf-8"))["stages"] for task, path in PIPELINES.items()
}
TASKS = pytest.mark.parametrize("task", STAGES)
# Each stage is loaded in a process of its own, forked from one that holds the large packages of others already.
# `__main__` is that one's.
PRINT_LOADED = """
import importlib, json, os, sys
import bentoml, cleanlab
for stage, modules in json.loads(sys.argv[1]).items():
    if os.fork() == 0:
        for module in modules:
            importlib.import_module(module)
        loaded = [module for name, module in list(sys.modules.items()) if name != "__main__"]
        files = [module.__file__ for module in loaded if getattr(module, "__file__", None)]
        print(json.dumps([stage, files]), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0, stage
"""


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


@TASKS
def test_every_stage_but_the_first_hangs_on_the_frozen_environment(task: Role) -> None:
    others = {name for name in STAGES[task] if name != "environment"}
    assert others == {name for name in others if "artifacts/environment.txt" in STAGES[task][name]["deps"]}


def _modules(stage: dict[str, Any]) -> list[str]:
    """The modules that a stage's command names: `.venv/bin/python -m RUNNER MODULE OPTIONS`."""
    words: list[str] = stage["cmd"].split()
    after = words[words.index("-m") + 1 :]
    options = [i for i, word in enumerate(after) if word.startswith("--")]
    return after[: options[0]] if options else after


@TASKS
def test_every_stage_depends_on_the_code_that_its_command_runs(task: Role) -> None:
    for name, stage in STAGES[task].items():
        for module in (f"{module.replace('.', '/')}.py" for module in _modules(stage)):
            assert (REPOSITORY / module).is_file(), name
            assert any(module == dep or module.startswith(dep + "/") for dep in stage["deps"]), name


@TASKS
def test_every_stage_says_what_it_does_and_takes(task: Role) -> None:
    for name, stage in STAGES[task].items():
        assert re.search(r"^[a-z].+; (some \d+|a few|a) (second|minute)s?\b", stage["desc"]), name


@TASKS
def test_dvc_removes_no_output_but_those_of_training(task: Role) -> None:
    """What it removes before a run is gone, a person's files among it; what is left is single files of large runs."""
    removed = set()
    for name, stage in STAGES[task].items():
        for out in [*stage["outs"], *stage.get("plots", ())]:
            if isinstance(out, str):
                removed.add(out)
                assert name in ("train", "predict")
            else:
                assert next(iter(out.values()))["persist"]
                assert "dataset.stage" in _modules(stage) or name == "compare"
    assert all(Path(out).suffix for out in removed)


@pytest.mark.parametrize("task", ["segmentation", "detection", "crop-classification"])
def test_what_another_task_reads_is_made_by_its_chain_or_by_the_part_that_all_share(task: Role) -> None:
    """And a stage of one task writes nothing of another's; what stands behind the detector reads what that found."""
    outs = {name: [_path(out) for stage in stages.values() for out in _outs(stage)] for name, stages in STAGES.items()}
    own = ARTIFACTS[task]
    assert all(out.is_relative_to(own) for out in outs[task])
    inner = [folder for folder in ARTIFACTS.values() if folder != own and folder.is_relative_to(own)]
    others = [out for name in outs if name != task for out in outs[name]]
    assert not [out for out in others if out.is_relative_to(own) and not any(map(out.is_relative_to, inner))]
    before = outs["detection"] if task == "crop-classification" else []
    shared = {_path(out) for name in ("environment", "load", "split", "inspect")
              for out in _outs(STAGES["classification"][name])}  # fmt: skip
    for name, stage in STAGES[task].items():
        assert (PIPELINES[task].parent / stage["wdir"]).resolve() == Path.cwd().resolve(), name
        made = [Path(dep) for dep in stage["deps"] if dep.startswith(("data/", "artifacts/"))]
        known = {*shared, *outs[task], *before}
        assert not [dep for dep in made if not any(dep.is_relative_to(out) for out in known)], name
        told = [Path(word) for word in stage["cmd"].split() if word.startswith("artifacts/")]
        assert not [word for word in told if not word.is_relative_to(own) and word not in before], name


def _outs(stage: dict[str, Any]) -> list[Any]:
    return [out for key in ("outs", "metrics", "plots") for out in stage.get(key, ())]


def _path(out: str | dict[str, Any]) -> Path:
    return Path(out if isinstance(out, str) else next(iter(out)))


@pytest.mark.slow
def test_a_stage_names_every_module_of_ours_that_it_loads() -> None:
    """A module that is loaded but no dependency would change results while DVC sees nothing to do."""
    stages = {f"{task} {name}": stage for task, own in STAGES.items() for name, stage in own.items()}
    modules = json.dumps({name: _modules(stage) for name, stage in stages.items()})
    done = forking_python().run(["-c", PRINT_LOADED, modules], REPOSITORY, os.environ, TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    found = dict(json.loads(line) for line in done.stdout.splitlines())
    assert found.keys() == stages.keys()
    for name, stage in stages.items():
        loaded = {Path(f).relative_to(REPOSITORY).as_posix() for f in found[name] if _is_ours(Path(f))}
        missing = {f for f in loaded if not any(f == dep or f.startswith(dep + "/") for dep in stage["deps"])}
        assert not missing, f"stage {name} loads {sorted(missing)}, which its dvc.yaml does not name"


@TASKS
def test_code_of_the_service_alone_reruns_no_stage_and_dependencies_on_code_are_folders(task: Role) -> None:
    dependencies = {dep for stage in STAGES[task].values() for dep in stage["deps"]}
    serving = {"service.py", "runtime", "runtime/serving"}
    assert not {dep for dep in dependencies if dep in serving or dep.startswith("runtime/serving/")}
    # Modules that only read and write what other rooms make: their folder would have training run again for a page.
    assert {dep for dep in dependencies if dep.endswith(".py")} <= {
        "evaluation/boxes/matching.py",
        "evaluation/document.py",
        "evaluation/predicted_boxes.py",
        "evaluation/predicted_maps.py",
        "evaluation/predictions.py",
    }


def _is_ours(path: Path) -> bool:
    return path.is_relative_to(REPOSITORY) and ".venv" not in path.parts and path.name != "__init__.py"


@TASKS
def test_every_stage_has_a_make_target(task: Role) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    reproduced = set(re.findall(r"dvc repro ?(?:\$\(PIPELINE\))?(\w*)$", makefile, re.M))
    of_both = set(re.findall(r"dvc repro \$\(PIPELINE\)(\w*)$", makefile, re.M))
    last = "card"  # `make card` runs the whole pipeline
    assert re.search(r"dvc repro \$\(PIPELINE:=card\)$", makefile, re.M)
    if task == "classification":
        assert set(STAGES[task]) - {"environment", last} == reproduced
    else:
        between = {"cut", "inspect", "behind"}  # of crops: what later ones need, and none asks for alone
        assert set(STAGES[task]) - {last, *between} == of_both


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["TASK=segment", "card"], "dvc repro segmentation/dvc.yaml:card"),
        (["TASK=segment", "predict"], "dvc repro segmentation/dvc.yaml:predict"),
        (["TASK=classify", "train"], "dvc repro train"),
        (["train"], "dvc repro train"),
        (["TASK=segment", "mlflow"], "training.log_evaluation --task segmentation"),
        (["TASK=both", "bento"], "export.bento --task both"),
        (["TASK=detect", "train"], "dvc repro detection/dvc.yaml:train"),
        (["TASK=detect", "register"], "export.register --task detection"),
        (["TASK=detect", "bento"], "export.bento --task detection"),
        (["TASK=detect", "demo"], "demo.py --task detection"),
        (["TASK=both", "demo"], "demo.py --task segmentation"),
        (["TASK=detect", "bench"], "TASK=detect is not for bench, but for help"),
        (["TASK=crops", "demo"], "TASK=crops is not for demo, but for help"),
        (["TASK=crops", "train"], "dvc repro detection/crops/dvc.yaml:train"),
        (["TASK=crops", "card"], "dvc repro detection/crops/dvc.yaml:card"),
        (["TASK=crops", "register"], "export.register --task crop-classification"),
        (["TASK=crops", "register"], "export.register --task detection"),
        (["TASK=crops", "bento"], "export.bento --task crop-classification"),
        (["TASK=segments", "train"], "TASK is segments, which is none of classify, segment, detect, crops and"),
        (["TASK=segment", "overfit", "train"], "TASK=segment is not for overfit, but for help"),
        (["TASK=both", "train"], "TASK=both is not for train, but for help"),
    ],
)
def test_the_task_counts_as_it_is_typed_and_never_passes_unheard(words: list[str], expected: str) -> None:
    command = ["make", "-n", "-C", str(REPOSITORY), *words]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "TYPED_"))}
    environment = inherited | {"TASK": "both"}  # of a container, say: not typed
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert expected in done.stdout + done.stderr
    assert (done.returncode == 0) == ("TASK" not in expected)


class Project:
    """A copy of this checkout without git, whose `data` is a link to another folder, and pictures beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        for name in (
            "dvc.yaml",
            "params.yaml",
            ".dvcignore",
            ".dvc/config",
            "project",
            "dataset",
            "runtime",
            "requirements/train.txt",
        ):
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy)(REPOSITORY / name, target)
        (self.folder / ".venv").symlink_to(sys.prefix)
        self.data = folder / "disk"
        self.data.mkdir()
        (self.folder / "data").symlink_to(self.data)
        # The riskiest way for DVC to save space: what lies in `data` is its cache's own file.
        (self.folder / ".dvc/config.local").write_text("[cache]\n    type = hardlink\n")
        self.photos = make_folder(folder / "photos", num_objects=5)
        stages = yaml.safe_load((self.folder / "dvc.yaml").read_text())["stages"]
        freeze = "mkdir -p artifacts && echo frozen > artifacts/environment.txt"
        stages["environment"] = {"cmd": freeze, "outs": ["artifacts/environment.txt"]}
        chosen = {name: stages[name] for name in ("environment", "load", "split")}
        (self.folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": chosen}))

    def source(self, path: Path) -> None:
        DataSource(source="folder", path=str(path), fingerprint=str(os.urandom(4))).write(self.data / "source.yaml")

    def repro(self) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dvc", "repro", "split"]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True)

    def state(self) -> dict[str, bytes]:
        files = [path for path in self.data.rglob("*") if path.is_file() and path.name != "source.yaml"]
        return {path.relative_to(self.data).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """With the pictures loaded, by the plain `dvc repro` that a user types."""
    project = Project(tmp_path_factory.mktemp("places"))
    make_folder(project.data / "pictures", num_objects=1)
    before = project.state()
    project.source(project.data / "pictures")
    refused = project.repro()
    assert refused.returncode
    assert "disk/pictures is data/pictures, and runs replace data/pictures" in refused.stderr
    assert project.state() == before
    shutil.rmtree(project.data / "pictures")
    project.source(project.photos)
    done = project.repro()
    assert done.returncode == 0, done.stderr
    assert len(list((project.data / "pictures").rglob("*.png"))) == 20
    assert (project.data / "pictures/images/bad/object0_shot0.png").stat().st_nlink == 2
    return project


@pytest.mark.slow
def test_dvc_repro_refuses_a_picture_added_to_the_copies_and_removes_nothing(project: Project) -> None:
    added = project.data / "pictures/images/bad/new.png"
    shutil.copy(project.data / "pictures/images/good/object0_shot0.png", added)
    before = project.state()
    refused = project.repro()
    assert refused.returncode
    assert "data/pictures/images/bad/new.png. Nothing was touched" in refused.stderr
    assert project.state() == before
    added.unlink()


@pytest.mark.slow
def test_a_refused_folder_an_edited_split_and_dvcs_cache_lose_nothing(project: Project, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(project.photos, tmp_path / "broken"))
    (broken / "bad" / "broken.png").write_text("no picture")
    before = project.state()
    cache = {path: path.read_bytes() for path in (project.folder / ".dvc/cache/files").rglob("*") if path.is_file()}
    project.source(broken)
    refused = project.repro()
    assert refused.returncode
    assert "broken.png" in refused.stderr
    assert project.state() == before
    project.source(project.photos)
    (project.data / "manifest.csv").unlink()  # and not through the link
    (project.data / "manifest.csv").write_text("my own split")
    assert project.repro().returncode == 0
    assert {path: path.read_bytes() for path in cache} == cache
    assert (project.photos / "bad/object0_shot0.png").stat().st_nlink == 1
    assert {name: text for name, text in project.state().items() if "kept" not in name} == before
    assert b"my own split" in project.state().values()
