"""Read from each task's dvc.yaml which files and folders belong to the runs, and what a stage does."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dataset.outputs.tasks import PIPELINES

PICTURES_DIR, IMAGES_DIR, MASKS_DIR = "pictures", "images", "masks"
PICTURES_CSV = "pictures.csv"
STAGING_DIR = ".loading"
SKIPPED_CSV = "skipped.csv"  # what loading left out
UNREADABLE_CSV = "unreadable.csv"  # what it refused, where a message names only some
LISTS = (SKIPPED_CSV, UNREADABLE_CSV)
CACHE_DIR = "cache"  # of resized pictures: docs/INPUT_PIPELINE.md


def outputs_of(words: Sequence[str], pipelines: Iterable[Path] = PIPELINES.values()) -> list[Path]:
    """Return the outputs of the stage that a command runs; none if there is no such stage.

    words: the module and its options. Of the stages that run the module, it is the one whose options are all among
    these; of several, the one with the most: those of another task name its files.
    """
    return [output for _, stage in _stage_of(words, pipelines) for output in _outputs(stage)]


def announce(words: Sequence[str], runner: str, pipelines: Iterable[Path] = PIPELINES.values()) -> None:
    """Say on stdout what the stage that a command runs does and takes, as its `desc` has it.

    words: as of `outputs_of`. runner: the module that the stage starts; only this one says it.
    """
    for name, stage in _stage_of(words, pipelines):
        if "desc" in stage and _words_of(stage)[:1] == [runner]:
            sys.stdout.write(f"{name}: {stage['desc']}\n")
            sys.stdout.flush()  # before the stage's own output, which another process may write


def places_of_runs(data_dir: Path, pipelines: Iterable[Path] = PIPELINES.values()) -> list[Path]:
    """Return every path that a run replaces: all outputs of the stages, and what loading keeps in `data_dir`."""
    outputs = [output for file in pipelines for stage in _stages(file).values() for output in _outputs(stage)]
    own = [data_dir / name for name in (PICTURES_DIR, PICTURES_CSV, STAGING_DIR, CACHE_DIR, *LISTS)]
    return [*dict.fromkeys([*outputs, *own])]


def files_removed_by_dvc(pipeline: Path) -> list[Path]:
    """Return the outputs that are not marked `persist`: DVC removes them before it runs their stage."""
    return [
        output
        for stage in _stages(pipeline).values()
        for output, options in _entries(stage)
        if not (options or {}).get("persist")
    ]


def _stage_of(words: Sequence[str], pipelines: Iterable[Path]) -> list[tuple[str, Mapping[str, Any]]]:
    module, *given = _split(words)
    found: list[tuple[int, str, Mapping[str, Any]]] = []
    for name, stage in (item for file in pipelines for item in _stages(file).items()):
        own = _words_of(stage)
        options = own[own.index(module) + 1 :] if module in own else None
        if options is not None and set(options) <= set(given):
            found.append((len(options), name, stage))
    return [(name, stage) for _, name, stage in sorted(found, key=lambda item: -item[0])[:1]]


def _words_of(stage: Mapping[str, Any]) -> list[str]:
    """Return what follows `python -m` in a stage's command."""
    words = _split(str(stage.get("cmd", "")).split())
    return words[words.index("-m") + 1 :] if "-m" in words else []


def _split(words: Iterable[str]) -> list[str]:
    """Return the words with `--key=value` as two."""
    return [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]


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
