"""The links of the chain after training: which commands each of them runs, one after the other.

Read from the task's dvc.yaml, so that jobs and `dvc repro` do the same: `export` is the stage of that name, `evaluate`
what needs no exported model, `register` what needs one, the card among it, and the registration itself. Stages that a
task shares with the first one's dvc.yaml, such as the inspection of pictures, are run with its own. DVC does not see
these runs.
"""

import logging
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

from dataset.outputs.tasks import PIPELINES
from dataset.params import DataParams
from evaluation.params import EvaluateParams, ReviewParams
from export.params import ExportParams, GateParams
from project.params import PARAMS_FILE, Section, read_section
from runtime.model.roles import Role

LINKS = ("evaluate", "export", "register", "bento")
TRAIN, EXPORT = "train", "export"
SHARED: Role = "classification"  # whose dvc.yaml has the stages that all tasks share
REGISTER, BENTO = (f".venv/bin/python -m export.{name}" for name in ("register", "bento"))
# What the links read of a params file, training's own sections apart.
SECTIONS: dict[str, type[Section]] = {
    "data": DataParams,
    "evaluate": EvaluateParams,
    "review": ReviewParams,
    "export": ExportParams,
    "gate": GateParams,
}
logger = logging.getLogger(__name__)


def stages_of(task: Role) -> dict[str, Any]:
    """Return the stages of a task's dvc.yaml, and those of the shared one that they need, directly or not."""
    stages, shared = _read_stages(PIPELINES[task]), _read_stages(PIPELINES[SHARED])
    waiting = list(stages)
    while waiting:
        for name in _needed_stages(waiting.pop(), {**shared, **stages}):
            if name not in stages:
                stages[name] = shared[name]
                waiting.append(name)
    return stages


def _read_stages(pipeline: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(pipeline.read_text(encoding="utf-8"))["stages"])


def commands_of(
    stages: Mapping[str, Any], params: Path = PARAMS_FILE, task: Role = "classification"
) -> dict[str, list[str]]:
    """Return link -> commands in order.

    stages: those of the task. params: handed to every stage that names `params` there, and to the registration and the
    Bento, which read the gate's.
    """
    option = f" --params {shlex.quote(str(params))}"
    of_task = f" --task {task}" if task != SHARED else ""
    needs = {name: set(_needed_stages(name, stages)) for name in stages}
    order = list(TopologicalSorter(needs).static_order())
    done = {TRAIN, *_before(TRAIN, needs)}
    commands: dict[str, list[str]] = {link: [] for link in LINKS}
    for name in order:
        if name == EXPORT:
            link = "export"
        else:
            link = "register" if EXPORT in _before(name, needs) else "evaluate"
        if name not in done:
            commands[link].append(stages[name]["cmd"] + (option if "params" in stages[name] else ""))
    commands["register"].append(REGISTER + of_task + option)
    commands["bento"].append(BENTO + of_task + option)
    return commands


def _needed_stages(name: str, stages: Mapping[str, Any]) -> Iterator[str]:
    for other, stage in stages.items():
        outs = [_path_of(entry) for key in ("outs", "metrics", "plots") for entry in stage.get(key, ())]
        deps = map(_path_of, stages[name].get("deps", ()))
        if other != name and any(dep.is_relative_to(out) or out.is_relative_to(dep) for dep in deps for out in outs):
            yield other


def _path_of(entry: str | Mapping[str, Any]) -> Path:
    return Path(entry if isinstance(entry, str) else next(iter(entry)))


def _before(name: str, needs: Mapping[str, set[str]]) -> set[str]:
    """Return all stages that `name` needs, directly or not."""
    return needs[name].union(*(_before(other, needs) for other in needs[name]))


def check_params(params: Path) -> None:
    """Raise ParamsError if the links would refuse a params file: better before hours of training than after."""
    for name, section in SECTIONS.items():
        read_section(params, name, section)


def status_of(command: Sequence[str]) -> int:
    return subprocess.run(command).returncode


def run_links(
    links: Sequence[str],
    params: Path = PARAMS_FILE,
    task: Role = "classification",
    status_of: Callable[[Sequence[str]], int] = status_of,
) -> int:
    """Run links in order and return the status of the first command that fails, or 0."""
    commands = commands_of(stages_of(task), params, task)
    for link in links:
        for line in commands[link]:
            logger.info("%s: %s", link, line)
            status = status_of(shlex.split(line))
            if status:
                logger.error("the chain stops at '%s': %s ended with status %d", link, line, status)
                return status
    return 0
