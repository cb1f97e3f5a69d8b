"""Read from dvc.yaml which files and folders belong to the runs, and what a stage does."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

PIPELINE_FILE = Path("dvc.yaml")
PICTURES_DIR, IMAGES_DIR, MASKS_DIR = "pictures", "images", "masks"
PICTURES_CSV = "pictures.csv"
STAGING_DIR = ".loading"
SKIPPED_CSV = "skipped.csv"  # what loading left out
UNREADABLE_CSV = "unreadable.csv"  # what it refused, where a message names only some
LISTS = (SKIPPED_CSV, UNREADABLE_CSV)
CACHE_DIR = "cache"  # of resized pictures: docs/INPUT_PIPELINE.md


def outputs_of(module: str, pipeline: Path = PIPELINE_FILE) -> list[Path]:
    """Return the outputs of the stage whose command runs `module`; none if there is no such stage."""
    return [output for stage in _stages_of(module, pipeline).values() for output in _outputs(stage)]


def announce(module: str, pipeline: Path = PIPELINE_FILE) -> None:
    """Say on stdout what the stage whose command runs `module` does and takes, as its `desc` has it."""
    for name, stage in _stages_of(module, pipeline).items():
        if "desc" in stage:
            sys.stdout.write(f"{name}: {stage['desc']}\n")
            sys.stdout.flush()  # before the stage's own output, which another process may write


def places_of_runs(data_dir: Path, pipeline: Path = PIPELINE_FILE) -> list[Path]:
    """Return every path that a run replaces: all outputs of the stages, and what loading keeps in `data_dir`."""
    outputs = [output for stage in _stages(pipeline).values() for output in _outputs(stage)]
    own = [data_dir / name for name in (PICTURES_DIR, PICTURES_CSV, STAGING_DIR, CACHE_DIR, *LISTS)]
    return [*dict.fromkeys([*outputs, *own])]


def files_removed_by_dvc(pipeline: Path = PIPELINE_FILE) -> list[Path]:
    """Return the outputs that are not marked `persist`: DVC removes them before it runs their stage."""
    return [
        output
        for stage in _stages(pipeline).values()
        for output, options in _entries(stage)
        if not (options or {}).get("persist")
    ]


def _stages_of(module: str, pipeline: Path) -> dict[str, Mapping[str, Any]]:
    return {name: stage for name, stage in _stages(pipeline).items() if module in str(stage.get("cmd", "")).split()}


def _stages(pipeline: Path) -> dict[str, Mapping[str, Any]]:
    try:
        return dict(yaml.safe_load(pipeline.read_text(encoding="utf-8"))["stages"])
    except FileNotFoundError:
        return {}


def _outputs(stage: Mapping[str, Any]) -> Iterator[Path]:
    yield from (output for output, _ in _entries(stage))


def _entries(stage: Mapping[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any] | None]]:
    """Yield each output with its options."""
    for key in ("outs", "metrics", "plots"):
        for entry in stage.get(key, ()):
            path, options = (entry, None) if isinstance(entry, str) else next(iter(entry.items()))
            yield Path(path), options
