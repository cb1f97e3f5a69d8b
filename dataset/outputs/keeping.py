"""Keep what a person put in the place of an output that DVC itself removes before its stage runs.

Outputs of training and its predictions are not marked `persist`, so that DVC can fetch an earlier run from its cache.
What `dvc.lock` does not know there is moved to `kept/` beside the output before DVC is asked.
"""

import hashlib
import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from dataset.outputs.pipeline import files_removed_by_dvc
from dataset.outputs.tasks import PIPELINES
from dataset.outputs.written import KEPT_DIR

_RUN_STATE = "state"  # beside what an interrupted training wrote, which the same command goes on from

logger = logging.getLogger(__name__)


def keep_own(pipelines: Iterable[Path] = PIPELINES.values()) -> list[Path]:
    """Move to `kept/` the files that DVC would remove and that are not as its last run left them; return their places.

    What an interrupted training wrote stays: its state lies beside it.
    """
    known = {path: md5 for file in pipelines for path, md5 in _known(file.with_suffix(".lock")).items()}
    kept = []
    for output in (output for file in pipelines for output in files_removed_by_dvc(file)):
        if not output.is_file() or (output.parent / _RUN_STATE).is_dir() or _md5(output) == known.get(str(output)):
            continue
        place = output.parent / KEPT_DIR / f"{output.stem}-{time.strftime('%Y%m%d-%H%M%S')}{output.suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        output.rename(place)
        logger.warning(
            "%s is not what the last run left there, and training replaces it; it is kept: %s", output, place
        )
        kept.append(place)
    return kept


def _known(lock: Path) -> dict[str, str]:
    """Return path -> MD5 of the outputs of the last runs; nothing where there was none."""
    try:
        stages: dict[str, Any] = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]
        return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", ()) if "md5" in out}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return {}


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new("md5", usedforsecurity=False)).hexdigest()
