"""Put a checkpoint and the model exported from it into BentoML's model store: both whole, or neither.

BentoML copies a new model file by file to its final place, so a killed process leaves a directory there that breaks
`bentoml models list`. Here both models are made in a store of their own beside the real one and moved in with one
rename each, the exported one last. What a killed registration left behind is cleared away by the next one.
"""

import fcntl
import filecmp
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bentoml
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.models import ModelStore
from bentoml.exceptions import NotFound

from runtime.model.roles import ROLE_NAMES, Role

CHECKPOINT_NAMES: dict[Role, str] = {
    "classification": "vision-checkpoint",
    "segmentation": "vision-segmenter-checkpoint",
    "detection": "vision-detector-checkpoint",
    "crop-classification": "vision-crop-classifier-checkpoint",
}
_STAGING_PREFIX = "vision-register-"


class StoreError(ValueError):
    """A model store that cannot be written."""


def check_store() -> None:
    """Raise StoreError naming BentoML's home if nothing can be written there."""
    home = os.environ.get("BENTOML_HOME") or Path.home() / "bentoml"
    try:
        _temporary_dir().mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=_temporary_dir(), prefix=_STAGING_PREFIX):
            pass
    except OSError as exc:
        raise StoreError(
            f"nothing can be written to BentoML's home {home} ({exc.strerror}): set BENTOML_HOME to a folder that can "
            "be written, or make this one so"
        ) from exc


@dataclass(frozen=True)
class ModelContent:
    """One model of a pair: its name in the store and its files, name in the model -> file to copy."""

    name: str
    files: Mapping[str, Path]
    metadata: Mapping[str, object]


@dataclass(frozen=True)
class Registered:
    """Tags of a pair in the model store, and whether this registration put it there."""

    checkpoint: str
    model: str
    is_new: bool


def register_pair(
    checkpoint: ModelContent,
    exported: ModelContent,
    labels: Mapping[str, str],
    admit: Callable[[], Mapping[str, str]],
) -> Registered:
    """Put both models into the store under one new version, unless the newest pair there is the same.

    admit: asked while nobody else can register; returns further labels, or raises to refuse the pair.
    An OSError, a BentoMLException or what `admit` raises leaves the store as it was.
    """
    with _only_one_at_a_time():
        _clear_leftovers()
        newest = _newest_version(exported.name)
        if newest and all(_is_same(content, newest, labels) for content in (checkpoint, exported)):
            return Registered(f"{checkpoint.name}:{newest}", f"{exported.name}:{newest}", is_new=False)
        labels = {**labels, **admit()}
        version = str(bentoml.Tag(exported.name, None).make_new_version().version)
        staging = _temporary_dir() / f"{_STAGING_PREFIX}{version}"
        try:
            for content in (checkpoint, exported):
                _stage(content, version, labels, staging)
            _move_in([checkpoint.name, exported.name], version, staging)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return Registered(f"{checkpoint.name}:{version}", f"{exported.name}:{version}", is_new=True)


def _stage(content: ModelContent, version: str, labels: Mapping[str, str], staging: Path) -> None:
    with bentoml.models.create(
        f"{content.name}:{version}",
        labels=dict(labels),
        metadata=_without_nulls(content.metadata),
        _model_store=ModelStore(staging),
    ) as model:
        for name, source in content.files.items():
            shutil.copyfile(source, model.path_of(name))


def _without_nulls(entries: Mapping[str, object]) -> dict[str, object]:
    """Leave out what has no value, such as the precision of a model that finds nothing: BentoML knows no null."""
    return {
        name: _without_nulls(value) if isinstance(value, Mapping) else value
        for name, value in entries.items()
        if value is not None
    }


def _move_in(names: list[str], version: str, staging: Path) -> None:
    """Rename the staged models into the store in order; the pair is there once the last one is."""
    try:
        for name in names:
            target = _store_dir() / name / version
            target.parent.mkdir(parents=True, exist_ok=True)
            (staging / name / version).rename(target)
    except BaseException:
        for name in names:
            _remove(name, version)
        raise
    for name in names:
        _point_latest_at(name, version)


def _clear_leftovers() -> None:
    """Finish or undo registrations that were killed: finished if the exported model had moved in, undone if not."""
    for staging in _temporary_dir().glob(f"{_STAGING_PREFIX}*"):
        if not staging.is_dir():
            continue
        version = staging.name.removeprefix(_STAGING_PREFIX)
        for role, model in ROLE_NAMES.items():  # a version is of one role, whose name it does not say
            has_moved_in = (_store_dir() / model / version).is_dir()
            for name in (CHECKPOINT_NAMES[role], model):
                if has_moved_in:
                    _point_latest_at(name, version)
                else:
                    _remove(name, version)
        shutil.rmtree(staging)


def _remove(name: str, version: str) -> None:
    # Not models.delete: it reads every version of the name, and an empty directory for the name stays an error there.
    shutil.rmtree(_store_dir() / name / version, ignore_errors=True)
    latest = _store_dir() / name / "latest"
    if latest.is_file() and latest.read_text() == version:
        latest.unlink()
    if (_store_dir() / name).is_dir() and not any((_store_dir() / name).iterdir()):
        (_store_dir() / name).rmdir()


def _point_latest_at(name: str, version: str) -> None:
    latest = _store_dir() / name / "latest"
    temporary = _temporary_dir() / f"{name}-latest"  # a rest beside it would keep the folder of a removed name
    temporary.write_text(version)
    temporary.replace(latest)


def _newest_version(name: str) -> str | None:
    try:
        return bentoml.models.get(f"{name}:latest").tag.version
    except (NotFound, FileNotFoundError):
        return None


def _is_same(content: ModelContent, version: str, labels: Mapping[str, str]) -> bool:
    try:
        model = bentoml.models.get(f"{content.name}:{version}")
    except NotFound:
        return False
    return labels.items() <= dict(model.info.labels).items() and all(
        Path(model.path_of(name)).is_file() and filecmp.cmp(source, model.path_of(name), shallow=False)
        for name, source in content.files.items()
    )


def _store_dir() -> Path:
    return Path(BentoMLContainer.model_store_dir.get())


def _temporary_dir() -> Path:
    """A directory on the store's own file system, so that a rename is one step; BentoML keeps it for such use."""
    return Path(BentoMLContainer.tmp_bento_store_dir.get())


@contextmanager
def _only_one_at_a_time() -> Iterator[None]:
    _temporary_dir().mkdir(parents=True, exist_ok=True)
    with (_temporary_dir() / "vision-register.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
