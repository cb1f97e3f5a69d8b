"""The links of the chain say what dvc.yaml says."""

import importlib
import shlex
from pathlib import Path

import pytest
import yaml

from project.params import ParamsError
from slurm.chain_commands import BENTO, LINKS, REGISTER, check_params, commands_of

REPOSITORY = Path(__file__).parents[2]
STAGES = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
OPTION = " --params params.yaml"


def command_of(stage: str) -> str:
    return str(STAGES[stage]["cmd"]) + (OPTION if "params" in STAGES[stage] else "")


def test_every_stage_but_training_and_what_it_needs_is_run_once() -> None:
    commands = commands_of(STAGES)
    listed = [command for link in LINKS for command in commands[link]]
    before = {"environment", "load", "split", "train"}
    assert set(listed) == {command_of(name) for name in STAGES if name not in before} | {
        REGISTER + OPTION,
        BENTO + OPTION,
    }
    assert len(listed) == len(set(listed))


def test_a_link_runs_after_what_it_needs() -> None:
    commands = commands_of(STAGES)
    assert commands["export"] == [command_of("export")]
    assert commands["register"][-2:] == [command_of("card"), REGISTER + OPTION]
    listed = commands["evaluate"]
    assert listed.index(command_of("predict")) < listed.index(command_of("evaluate"))


def test_exactly_what_takes_params_gets_the_file_that_the_model_was_trained_with(
    capsys: pytest.CaptureFixture[str],
) -> None:
    commands = commands_of(STAGES, Path("my params.yaml"))
    for command in (command for link in LINKS for command in commands[link]):
        words = shlex.split(command)
        module = words[-3] if "--params" in words else words[-1]
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
    stages = {"indirect": indirect, "late": {**late, "outs": ["artifacts/late"]}, **STAGES}
    register = commands_of(stages)["register"]
    assert register.index("late") < register.index("indirect") < register.index(REGISTER + OPTION)


@pytest.mark.parametrize("link", LINKS)
def test_no_link_is_empty(link: str) -> None:
    assert commands_of(STAGES)[link]
