"""The links of the chain say what each task's dvc.yaml says."""

import importlib
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataset.outputs.tasks import PIPELINES
from project.params import ParamsError
from runtime.model.roles import Role
from slurm.chain_commands import BENTO, LINKS, REGISTER, check_params, commands_of, stages_of

REPOSITORY = Path(__file__).parents[2]
STAGES: dict[Role, dict[str, Any]] = {
    task: yaml.safe_load((REPOSITORY / path).read_text())["stages"] for task, path in PIPELINES.items()
}
OPTION = " --params params.yaml"
OWN: dict[Role, str] = {task: OPTION if task == "classification" else f" --task {task}{OPTION}" for task in PIPELINES}
RUNNERS = ("dataset.stage", "training.launch")  # they run the module that follows them
TASKS = pytest.mark.parametrize("task", STAGES)


def command_of(stage: dict[str, Any]) -> str:
    return str(stage["cmd"]) + (OPTION if "params" in stage else "")


@TASKS
def test_every_stage_but_training_and_what_it_needs_is_run_once(task: Role) -> None:
    commands = commands_of(stages_of(task), task=task)
    listed = [command for link in LINKS for command in commands[link]]
    before = {"environment", "load", "split", "cut", "train"}
    wanted = {command_of(stage) for name, stage in STAGES[task].items() if name not in before}
    # Evaluation reads what it finds, of any task of the pictures; crops have an inspection of their own.
    inspect = command_of({**STAGES["classification"], **STAGES[task]}["inspect"])
    assert set(listed) == wanted | {inspect, REGISTER + OWN[task], BENTO + OWN[task]}
    assert len(listed) == len(set(listed))


@TASKS
def test_a_link_runs_after_what_it_needs(task: Role) -> None:
    commands, stages = commands_of(stages_of(task), task=task), stages_of(task)
    assert commands["export"] == [command_of(stages["export"])]
    assert commands["register"][-2:] == [command_of(stages["card"]), REGISTER + OWN[task]]
    listed = commands["evaluate"]
    places = [listed.index(command_of(stages[name])) for name in ("inspect", "predict", "evaluate")]
    assert max(places[:2]) < places[2]


def test_segmentation_takes_no_stage_of_classification_s_own() -> None:
    own = {name: stage for name, stage in stages_of("segmentation").items() if name not in STAGES["segmentation"]}
    assert own == {name: STAGES["classification"][name] for name in ("environment", "load", "split", "inspect")}
    outputs = [Path(out) for stage in stages_of("segmentation").values() for out in outputs_of(stage)]
    needed = [dep for stage in stages_of("segmentation").values() for dep in map(Path, stage.get("deps", ()))]
    made = [dep for dep in needed if dep.parts[0] in ("artifacts", "data") and dep.name != "source.yaml"]
    assert [dep for dep in made if not any(dep.is_relative_to(out) or out.is_relative_to(dep) for out in outputs)] == []


def outputs_of(stage: dict[str, Any]) -> list[str]:
    entries = [entry for key in ("outs", "metrics", "plots") for entry in stage.get(key, ())]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


@TASKS
def test_exactly_what_takes_params_gets_the_file_that_the_model_was_trained_with(
    task: Role, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = commands_of(stages_of(task), Path("my params.yaml"), task)
    for command in (command for link in LINKS for command in commands[link]):
        words = shlex.split(command)
        module = next(word for word in words if "." in word[1:] and word not in RUNNERS and "/" not in word)
        with pytest.raises(SystemExit):
            importlib.import_module(module).main(["--help"])
        takes_params = "--params" in capsys.readouterr().out
        assert (words[-2:] == ["--params", "my params.yaml"]) == takes_params, command


def test_a_file_without_a_section_that_a_link_reads_is_refused(tmp_path: Path) -> None:
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    check_params(path)
    del params["gate"]
    path.write_text(yaml.safe_dump(params))
    with pytest.raises(ParamsError, match="no section 'gate'"):
        check_params(path)


def test_a_stage_that_needs_the_exported_model_waits_for_it() -> None:
    late = {"cmd": "late", "deps": ["artifacts/export/model.onnx"]}
    indirect = {"cmd": "indirect", "deps": ["artifacts/late"]}
    stages = {"indirect": indirect, "late": {**late, "outs": ["artifacts/late"]}, **STAGES["classification"]}
    register = commands_of(stages)["register"]
    assert register.index("late") < register.index("indirect") < register.index(REGISTER + OPTION)


@TASKS
@pytest.mark.parametrize("link", LINKS)
def test_no_link_is_empty(link: str, task: Role) -> None:
    assert commands_of(stages_of(task), task=task)[link]
