"""Build the Bento of the newest registered models, unless the newest Bento is already made of the same things.

    python -m export.bento --record artifacts/bento.json
    python -m export.bento --task both

A model that is worse than the one in the newest Bento, or than the newest registered one, is refused:
docs/COMPARISON.md. Otherwise it is what `bentoml build` does, with a label `content_sha256` over code, requirements,
card and models. `VISION_MODEL` may name other models than the newest.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from pathlib import Path

import bentoml
from bentoml import Bento
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml.exceptions import BentoMLException, NotFound

from dataset.outputs.tasks import DATA
from export.gate import (
    KNOWN_ERRORS,
    REASON_LABEL,
    Gate,
    GateError,
    add_gate_arguments,
    first_of_its_data,
    outcome_in_words,
    read_gate,
)
from export.measured_model import find_measured_model, registered_tags, with_pictures
from export.model_store import StoreError, check_store
from export.packed_models import MODEL_VARIABLE, TASKS, Models, bento_card, models_to_pack
from export.same_data import find_reference
from project.command import command
from project.write_whole import write_whole
from runtime.model.roles import ROLE_NAMES, Role

BENTO = "vision"
CONTENT_LABEL = "content_sha256"
CARD = "artifacts/MODEL_CARD.md"
REQUIREMENTS = tuple(f"requirements/{name}.txt" for name in ("serve", "serve-cpu", "serve-gpu"))
PACKED = ("bentofile.yaml", "service.py", "deploy/Dockerfile.j2", *REQUIREMENTS, CARD)
PAGE_FILES = "runtime/serving/page/files"
CODE = ("runtime", "hooks")  # the latter is the user's own, if there is one


def build(project_dir: Path, models: Models, gate: Gate) -> tuple[Bento, bool]:
    """Return the Bento of what is in `project_dir` and of these models, and whether it was built now.

    Raises BentoMLException if a card is not of its model, OSError if a file to pack is missing, GateError if a model is
    worse than what is there.
    """
    card = bento_card(project_dir, models)
    content = content_sha256(project_dir, models, card)
    newest = newest_bento()
    if newest is not None and newest.info.labels.get(CONTENT_LABEL) == content:
        return newest, False
    outcomes = {
        str(model.tag.name): admit_to_bento(model, role, newest, project_dir / DATA[role], gate)
        for role, model in models.items()
    }
    labels = {"task": " and ".join(models), CONTENT_LABEL: content, **_one_outcome(outcomes)}
    with _context(project_dir, card) as folder, _environment(MODEL_VARIABLE, _tags(models)):
        return bentoml.bentos.build_bentofile(build_ctx=str(folder), labels=labels), True


@contextmanager
def _context(project_dir: Path, card: str) -> Iterator[Path]:
    """Yield the folder to build from: the project, or a copy of what is packed, with this card instead of its own."""
    if (project_dir / CARD).is_file() and (project_dir / CARD).read_text(encoding="utf-8") == card:
        yield project_dir
        return
    with tempfile.TemporaryDirectory(prefix="vision-bento-") as folder:
        for name in (*PACKED, *_code(project_dir)):
            if name == CARD:
                continue
            (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(project_dir / name, Path(folder) / name)
        write_whole(Path(folder) / CARD, card)
        with chdir(folder):  # BentoML refuses to read anything outside the current directory
            yield Path(folder)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _tags(models: Models) -> str:
    return ",".join(str(model.tag) for model in models.values())


def _one_outcome(outcomes: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the labels of one model's outcome, or those of several, each with its model's name."""
    if len(outcomes) == 1:
        return dict(next(iter(outcomes.values())))
    keys = dict.fromkeys(key for labels in outcomes.values() for key in labels)
    return {
        key: "; ".join(f"{name}: {labels[key]}" for name, labels in outcomes.items() if key in labels) for key in keys
    }


def admit_to_bento(
    model: bentoml.Model, role: Role, newest: Bento | None, data_dir: Path, gate: Gate
) -> dict[str, str]:
    """Return the labels that record why the model may be packed. Raises GateError if it may not.

    A reason for which the model was registered although it is worse is taken over. data_dir: where the pictures are,
    if they must be looked at again.
    """
    if "accepted_worse" in model.info.labels:
        return {
            name: text for name, text in model.info.labels.items() if name in ("gate", REASON_LABEL, "accepted_worse")
        }
    tag = str(model.tag)
    measured, packed = find_measured_model(tag), _packed_tags(newest, role)
    others = [other for other in dict.fromkeys([*packed, *registered_tags(role)]) if other != tag]
    if not others:
        return {
            "gate": "first model: there is none to compare with",
            REASON_LABEL: "compared with none because no other model is registered",
        }
    if measured is None:
        raise GateError(f"{model.tag} was registered without its predictions: run `make register`, then build again")
    measured = with_pictures(measured, data_dir)
    # The one in the newest Bento, and the newest registered one: both must be passed.
    searches = [find_reference(measured, [other for other in packed if other != tag])] if set(packed) - {tag} else []
    searches.append(find_reference(measured, [other for other in others if other not in packed] or others))
    references = {found.reference.name: found for found in searches if found.reference is not None}
    if not references:
        return first_of_its_data(measured.data.name, searches[-1].reason)
    outcomes = [gate.admit(measured, found.reference, found.reason) for found in references.values() if found.reference]
    merged = {name: text for outcome in outcomes for name, text in outcome.items()}
    joined = {key: "; ".join(dict.fromkeys(outcome[key] for outcome in outcomes)) for key in ("gate", REASON_LABEL)}
    return {**merged, **joined}


def _packed_tags(newest: Bento | None, role: Role) -> list[str]:
    tags = [info.tag for info in newest.info.all_models] if newest else []
    return [str(tag) for tag in tags if tag.name == ROLE_NAMES[role]]


def newest_bento() -> Bento | None:
    """Return the newest `vision` Bento in the store, if there is one."""
    try:
        return bentoml.bentos.get(f"{BENTO}:latest")
    except (NotFound, FileNotFoundError):
        return None


def content_sha256(project_dir: Path, models: Models, card: str) -> str:
    """Hash of everything that makes a Bento: the packed files with their names, and the models' tags.

    Raises OSError if a file is missing.
    """
    digest = hashlib.sha256(_tags(models).encode())
    for name in (*PACKED, *_code(project_dir)):
        data = card.encode() if name == CARD else (project_dir / name).read_bytes()
        digest.update(f"\0{name}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()


def _code(project_dir: Path) -> list[str]:
    paths = [path for folder in CODE for path in (project_dir / folder).rglob("*.py")]
    paths += (project_dir / PAGE_FILES).glob("*")
    return sorted(path.relative_to(project_dir).as_posix() for path in paths)


def check_store_is_apart(project_dir: Path) -> None:
    """Raise StoreError if Bentos are made among the code that they are made of: each would be copied into itself."""
    home = Path(BentoMLContainer.bentoml_home.get())
    for folder in CODE:
        if home.resolve().is_relative_to((project_dir / folder).resolve()):
            raise StoreError(
                f"BentoML's home {home} lies in {folder}/, which goes into the Bento: set BENTOML_HOME to another "
                "folder and move what is there"
            )


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", choices=TASKS, default="classification", help="whose models it holds")
    parser.add_argument("--record", type=Path, default=Path("artifacts/bento.json"), help="where to note the tag")
    add_gate_arguments(parser)


@command(_arguments, known=(StoreError, *KNOWN_ERRORS, BentoMLException, OSError), speaker="cannot build the Bento")
def main(args: argparse.Namespace) -> None:
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"  # BentoML takes no other word, "1" included
    check_store()
    check_store_is_apart(Path.cwd())
    bento, is_new = build(Path.cwd(), models_to_pack(TASKS[args.task]), read_gate(args))
    models = [str(info.tag) for info in bento.info.all_models]
    record = {"tag": str(bento.tag), "path": bento.path, "models": models}
    write_whole(args.record, json.dumps(record, indent=2) + "\n")
    what = "built" if is_new else "up to date:"
    sys.stdout.write(f"{what} {bento.tag} with {', '.join(models)}\n")
    sys.stdout.write(f"{outcome_in_words(bento.info.labels)}\n{bento.path}\n")


if __name__ == "__main__":
    sys.exit(main())
