"""Build the Bento of the newest registered model, unless the newest Bento is already made of the same things.

    python -m export.bento --record artifacts/bento.json

It is what `bentoml build` does, with a label `content_sha256` over code, requirements, card and model.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import bentoml
from bentoml import Bento
from bentoml.exceptions import BentoMLException, NotFound

from runtime.model_reference import find_model, wanted_tag

BENTO = "vision"
CONTENT_LABEL = "content_sha256"
PACKED = ("bentofile.yaml", "service.py", "requirements/serve.txt", "artifacts/MODEL_CARD.md")
CODE = ("runtime", "hooks")  # the latter is the user's own, if there is one


def build(project_dir: Path) -> tuple[Bento, bool]:
    """Return the Bento of what is in `project_dir` and in the model store, and whether it was built now.

    Raises BentoMLException if there is no model or the card is not of it, OSError if a file to pack is missing.
    """
    content = content_sha256(project_dir)
    newest = newest_bento()
    if newest is not None and newest.info.labels.get(CONTENT_LABEL) == content:
        return newest, False
    return bentoml.bentos.build_bentofile(build_ctx=str(project_dir), labels={CONTENT_LABEL: content}), True


def newest_bento() -> Bento | None:
    """Return the newest `vision` Bento in the store, if there is one."""
    try:
        return bentoml.bentos.get(f"{BENTO}:latest")
    except (NotFound, FileNotFoundError):
        return None


def content_sha256(project_dir: Path) -> str:
    """Hash of everything that makes a Bento: the packed files with their names, and the model's tag.

    Raises ModelUnavailable (a BentoMLException) if there is no model, OSError if a file is missing.
    """
    digest = hashlib.sha256(str(find_model(wanted_tag()).tag).encode())
    code = [path for folder in CODE for path in (project_dir / folder).rglob("*.py")]
    for name in (*PACKED, *sorted(path.relative_to(project_dir).as_posix() for path in code)):
        data = (project_dir / name).read_bytes()
        digest.update(f"\0{name}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build the Bento.")
    parser.add_argument("--record", type=Path, default=Path("artifacts/bento.json"), help="where to note the tag")
    args = parser.parse_args(argv)
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"  # BentoML takes no other word, "1" included
    try:
        bento, is_new = build(Path.cwd())
        models = [str(info.tag) for info in bento.info.all_models]
        record = {"tag": str(bento.tag), "path": bento.path, "models": models}
        args.record.parent.mkdir(parents=True, exist_ok=True)
        args.record.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    except (BentoMLException, OSError) as exc:
        sys.stderr.write(f"cannot build the Bento: {exc}\n")
        return 2
    what = "built" if is_new else "up to date:"
    sys.stdout.write(f"{what} {bento.tag} with {', '.join(models)}\n{bento.path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
