"""Bring pictures and suggestions into Label Studio: what is there already is not brought a second time."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.api import LabelStudio
from annotation.home import PICTURES
from annotation.pictures import TakenPicture, take_pictures
from annotation.suggesting import Suggester, find_suggester
from annotation.template import write_template
from dataset.checks import named
from dataset.label_studio.picture_files import find_picture
from runtime.label_studio.template import Template, TemplateError, read_template
from runtime.model.contract import Task

logger = logging.getLogger(__name__)

TITLES: dict[Task, str] = {
    "classification": "bento-vision: classes",
    "segmentation": "bento-vision: regions",
    "detection": "bento-vision: boxes",
}
"""Titles of the projects, one a task, by which they are found again."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What was brought. project: its number. left_out: pictures that cannot be labelled, with the reason."""

    project: int
    num_new: int
    num_suggested: int
    left_out: dict[str, str]


def push(server: LabelStudio, home: Path, task: Task, names: Sequence[str], pictures: Path | None) -> Pushed:
    """Make the project if it is not there, add what is new of `pictures`, and suggest what the newest model says.

    pictures: a folder, or None to bring suggestions alone. Tasks that are labelled, or have a suggestion of this model,
    get none. New pictures come in the order in which their labels help most: the least sure suggestion first. Raises
    LabelStudioError, ManifestError for the folder, ContractError for a model that cannot be loaded.
    """
    template = write_template(task, names)
    project = _project(server, task, template, home / PICTURES)
    tasks = list(server.tasks(project))
    taken, left_out = take_pictures(pictures, home, [one["data"] for one in tasks]) if pictures else ([], {})
    suggester = find_suggester(task, read_template(template))
    if suggester and (missing := suggester.unknown):
        logger.warning("the model knows %s, which people may not say here: never suggested", named(missing))
    num_old = _suggest_again(server, project, tasks, home, suggester)
    new = _with_suggestions(taken, suggester)
    server.add_tasks(project, new)
    if suggester:
        server.change_project(project, model_version=suggester.version)
    return Pushed(project, len(new), num_old + sum(bool(one["predictions"]) for one in new), left_out)


def _project(server: LabelStudio, task: Task, template: str, folder: Path) -> int:
    found = server.project(TITLES[task])
    if found is None:
        found = server.make_project(TITLES[task], template)
    elif not _asks_for_the_same(found["label_config"], template):
        logger.info("the project's names were others: its template is replaced")
        # Refused, with the reason, where annotations say what the new template does not have.
        server.change_project(found["id"], label_config=template)
    folder.mkdir(parents=True, exist_ok=True)
    number: int = found["id"]
    server.show_files(number, folder)
    return number


def _asks_for_the_same(theirs: str, ours: str) -> bool:
    """Tell whether a project's template has our controls and names: what a person added beside them then stays."""
    try:
        return _said_by(read_template(ours)) <= _said_by(read_template(theirs))
    except TemplateError:
        return False


def _said_by(template: Template) -> set[tuple[str, str, str, frozenset[str]]]:
    return {(one.kind, one.name, one.to_name, frozenset(one.values)) for one in template.controls}


def _with_suggestions(taken: Sequence[TakenPicture], suggester: Suggester | None) -> list[dict[str, Any]]:
    """Return the new tasks, the least sure first; those of which the model says nothing before all others."""
    if suggester is None:
        return [{"data": picture.data(), "predictions": []} for picture in taken]
    suggested = suggester.of([picture.file for picture in taken])
    pairs = [(picture, one.suggestion) for picture, one in zip(taken, suggested, strict=True)]
    pairs.sort(key=lambda pair: pair[1]["score"] if pair[1] else -1.0)
    return [{"data": picture.data(), "predictions": [one] if one else []} for picture, one in pairs]


def _suggest_again(
    server: LabelStudio, project: int, tasks: Sequence[dict[str, Any]], home: Path, suggester: Suggester | None
) -> int:
    """Suggest for tasks that are there, not labelled, and have no suggestion of this model; return for how many."""
    if suggester is None or not tasks:
        return 0
    done = server.suggested(project, suggester.version)
    waiting = {}
    for one in tasks:
        if not one["is_labeled"] and one["id"] not in done and (file := find_picture(one["data"]["image"], home)):
            waiting[one["id"]] = file
    suggested = suggester.of(list(waiting.values()))
    predictions = [
        {"task": number, **one.suggestion} for number, one in zip(waiting, suggested, strict=True) if one.suggestion
    ]
    server.add_predictions(project, predictions)
    return len(predictions)
