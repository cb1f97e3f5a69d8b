"""Build the Bento of the newest registered model, unless the newest Bento is already made of the same things.

    python -m export.bento --record artifacts/bento.json

A model that is worse than the one in the newest Bento, or than the newest registered one, is refused:
docs/COMPARISON.md. Otherwise it is what `bentoml build` does, with a label `content_sha256` over code, requirements,
card and model.
"""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

import bentoml
from bentoml import Bento
from bentoml.exceptions import BentoMLException, NotFound

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
from export.same_data import find_reference
from project.command import command
from project.write_whole import write_whole
from runtime.model.contract import CONTRACT_FILE, MODEL_NAMES, Task, read_contract
from runtime.serving.model_reference import find_models

BENTO = "vision"
CONTENT_LABEL = "content_sha256"
PACKED = ("bentofile.yaml", "service.py", "requirements/serve.txt", "artifacts/MODEL_CARD.md")
CODE = ("runtime", "hooks")  # the latter is the user's own, if there is one


def build(project_dir: Path, gate: Gate) -> tuple[Bento, bool]:
    """Return the Bento of what is in `project_dir` and in the model store, and whether it was built now.

    Raises BentoMLException if there is no model or the card is not of it, OSError if a file to pack is missing,
    GateError if the model is worse than what is there.
    """
    content = content_sha256(project_dir)
    newest = newest_bento()
    if newest is not None and newest.info.labels.get(CONTENT_LABEL) == content:
        return newest, False
    labels = {CONTENT_LABEL: content}
    for model in find_models().values():
        for name, text in admit_to_bento(model, newest, project_dir / "data", gate).items():
            labels[name] = f"{labels[name]}; {text}" if name in labels else text
    return bentoml.bentos.build_bentofile(build_ctx=str(project_dir), labels=labels), True


def admit_to_bento(model: bentoml.Model, newest: Bento | None, data_dir: Path, gate: Gate) -> dict[str, str]:
    """Return the labels that record why the model may be packed. Raises GateError if it may not.

    A reason for which the model was registered although it is worse is taken over. data_dir: where the pictures are,
    if they must be looked at again.
    """
    if "accepted_worse" in model.info.labels:
        return {
            name: text for name, text in model.info.labels.items() if name in ("gate", REASON_LABEL, "accepted_worse")
        }
    tag, task = str(model.tag), read_contract(Path(model.path_of(CONTRACT_FILE))).task
    measured, packed = find_measured_model(tag), _packed_tags(newest, task)
    others = [other for other in dict.fromkeys([*packed, *registered_tags(task)]) if other != tag]
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


def _packed_tags(newest: Bento | None, task: Task) -> list[str]:
    tags = [info.tag for info in newest.info.all_models] if newest else []
    return [str(tag) for tag in tags if tag.name == MODEL_NAMES[task]]


def newest_bento() -> Bento | None:
    """Return the newest `vision` Bento in the store, if there is one."""
    try:
        return bentoml.bentos.get(f"{BENTO}:latest")
    except (NotFound, FileNotFoundError):
        return None


def content_sha256(project_dir: Path) -> str:
    """Hash of everything that makes a Bento: the packed files with their names, and the models' tags.

    Raises ModelUnavailable (a BentoMLException) if there is no model, OSError if a file is missing.
    """
    digest = hashlib.sha256(" ".join(str(model.tag) for model in find_models().values()).encode())
    code = [path for folder in CODE for path in (project_dir / folder).rglob("*.py")]
    for name in (*PACKED, *sorted(path.relative_to(project_dir).as_posix() for path in code)):
        data = (project_dir / name).read_bytes()
        digest.update(f"\0{name}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--record", type=Path, default=Path("artifacts/bento.json"), help="where to note the tag")
    add_gate_arguments(parser)


@command(_arguments, known=(StoreError, *KNOWN_ERRORS, BentoMLException, OSError), speaker="cannot build the Bento")
def main(args: argparse.Namespace) -> None:
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"  # BentoML takes no other word, "1" included
    check_store()
    bento, is_new = build(Path.cwd(), read_gate(args))
    models = [str(info.tag) for info in bento.info.all_models]
    record = {"tag": str(bento.tag), "path": bento.path, "models": models}
    write_whole(args.record, json.dumps(record, indent=2) + "\n")
    what = "built" if is_new else "up to date:"
    sys.stdout.write(f"{what} {bento.tag} with {', '.join(models)}\n")
    sys.stdout.write(f"{outcome_in_words(bento.info.labels)}\n{bento.path}\n")


if __name__ == "__main__":
    sys.exit(main())
