"""The links of the chain say what dvc.yaml says."""

from pathlib import Path

import pytest
import yaml

from slurm.links import LINKS, REGISTER, commands_of

STAGES = yaml.safe_load((Path(__file__).parents[2] / "dvc.yaml").read_text())["stages"]


def test_every_stage_but_training_and_what_it_needs_is_run_once() -> None:
    commands = commands_of(STAGES)
    listed = [command for link in LINKS for command in commands[link]]
    before = {"environment", "load", "split", "train"}
    assert set(listed) == {stage["cmd"] for name, stage in STAGES.items() if name not in before} | {
        REGISTER,
        ".venv/bin/python -m export.bento",
    }
    assert len(listed) == len(set(listed))


def test_a_link_runs_after_what_it_needs() -> None:
    commands = commands_of(STAGES)
    assert commands["export"] == [STAGES["export"]["cmd"]]
    assert commands["register"][-2:] == [STAGES["card"]["cmd"], REGISTER]
    listed = commands["evaluate"]
    assert listed.index(STAGES["predict"]["cmd"]) < listed.index(STAGES["evaluate"]["cmd"])


def test_a_stage_that_needs_the_exported_model_waits_for_it() -> None:
    late = {"cmd": "late", "deps": ["artifacts/export/model.onnx"]}
    indirect = {"cmd": "indirect", "deps": ["artifacts/late"]}
    stages = {"indirect": indirect, "late": {**late, "outs": ["artifacts/late"]}, **STAGES}
    register = commands_of(stages)["register"]
    assert register.index("late") < register.index("indirect") < register.index(REGISTER)


@pytest.mark.parametrize("link", LINKS)
def test_no_link_is_empty(link: str) -> None:
    assert commands_of(STAGES)[link]
