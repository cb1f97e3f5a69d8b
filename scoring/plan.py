"""The plan of one scoring run: a frozen list of pictures in shards, and the one model that scores them all.

Everything of a run lies in one folder on a disk that all nodes share:

    plan.json            what is scored, with which model; `Plan`
    shards/00000.parquet the paths of one shard, in order
    results/00000.parquet  one row a path of that shard, in the same order
    scores.parquet, summary.json  all results together, written by scoring.merge
"""

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from project.write_whole import whole_file, write_whole
from runtime.model.contract import CONTRACT_FILE, ONNX_FILE, ModelContract, SegmentationContract, Task, read_contract
from runtime.model.hashing import file_sha256
from runtime.model.roles import role_of
from runtime.model.stated_filters import HookFilter, ImageFilter
from scoring.pictures import ScoringError, list_pictures, root_of

PLAN_FILE = "plan.json"
SHARDS_DIR, RESULTS_DIR = "shards", "results"
PATH_SCHEMA = pa.schema([pa.field("path", pa.string(), nullable=False)])


class Shard(BaseModel):
    """One part of the list. sha256: of its paths in order, see `paths_sha256`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_pictures: Annotated[int, Field(ge=1)]
    sha256: str


class Plan(BaseModel):
    """What is scored by what. root: folder of relative paths. model: tag or folder; model_dir holds the ONNX file.

    Version 1 said no task, for there was but classification.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[2] = 2
    source: str
    root: str
    task: Task
    model: str
    model_dir: str
    model_sha256: str
    num_pictures: int
    shards: tuple[Shard, ...]

    @model_validator(mode="before")
    @classmethod
    def _from_version_1(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and fields.get("schema_version") == 1 and "task" not in fields:
            return {**fields, "schema_version": 2, "task": "classification"}
        return fields

    @classmethod
    def read(cls, run_dir: Path) -> Self:
        """Read `plan.json` of a run. Raises ScoringError if there is none or it is none."""
        path = run_dir / PLAN_FILE
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except OSError as exc:
            raise ScoringError(f"cannot read {path}: {exc.strerror}; make it with python -m scoring.shard") from exc
        except ValidationError as exc:
            raise ScoringError(f"{path} is not a plan of a scoring run: {exc}") from exc


def shard_path(run_dir: Path, index: int) -> Path:
    return run_dir / SHARDS_DIR / f"{index:05d}.parquet"


def result_path(run_dir: Path, index: int) -> Path:
    return run_dir / RESULTS_DIR / f"{index:05d}.parquet"


def paths_sha256(paths: Iterable[str]) -> str:
    """Hash of paths in order; each ends with a zero byte, which no path holds."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.encode() + b"\0")
    return digest.hexdigest()


def read_shard(run_dir: Path, index: int, shard: Shard) -> list[str]:
    """Return the paths of one shard. Raises ScoringError if the file is not the one that the plan was made with."""
    path = shard_path(run_dir, index)
    try:
        paths: list[str] = pq.read_table(path, schema=PATH_SCHEMA)["path"].to_pylist()
    except (OSError, pa.ArrowInvalid) as exc:
        raise ScoringError(f"cannot read the shard {path}: {exc}") from exc
    if len(paths) != shard.num_pictures or paths_sha256(paths) != shard.sha256:
        raise ScoringError(f"{path} is not the shard of {run_dir / PLAN_FILE}: its list of pictures differs")
    return paths


def write_plan(source: Path, run_dir: Path, model: str, model_dir: Path, pictures_per_shard: int) -> Plan:
    """Freeze the list of pictures and the model; the plan itself comes last, so that half a plan is none.

    A run that was planned from the same list with the same model is left as it is.
    Raises ScoringError if the list is empty or names a picture twice, if `run_dir` holds another plan, or if the model
    cannot score pictures here, as `task_of` says; ContractError if it has no contract.
    """
    if not source.exists():
        raise ScoringError(f"there is no {source}")
    task = task_of(model, read_contract(model_dir / CONTRACT_FILE))
    (run_dir / SHARDS_DIR).mkdir(parents=True, exist_ok=True)
    (run_dir / RESULTS_DIR).mkdir(exist_ok=True)
    old = Plan.read(run_dir) if (run_dir / PLAN_FILE).is_file() else None
    shards = []
    for index, paths in enumerate(_cut(_unique(source), pictures_per_shard)):
        shards.append(Shard(num_pictures=len(paths), sha256=paths_sha256(paths)))
        if old is None:
            _write_shard(shard_path(run_dir, index), paths)
    if not shards:
        raise ScoringError(f"{source} holds no picture")
    plan = Plan(
        source=str(source.absolute()),
        root=str(root_of(source)),
        task=task,
        model=model,
        model_dir=str(model_dir.resolve()),
        model_sha256=file_sha256(model_dir / ONNX_FILE),
        num_pictures=sum(shard.num_pictures for shard in shards),
        shards=tuple(shards),
    )
    if old is not None and old != plan:
        differing = [name for name in Plan.model_fields if getattr(old, name) != getattr(plan, name)]
        raise ScoringError(
            f"{run_dir} holds the plan of another run: {', '.join(differing)} differ(s). Take another folder"
        )
    write_whole(run_dir / PLAN_FILE, plan.model_dump_json(indent=1) + "\n")
    return plan


def task_of(model: str, contract: ModelContract) -> Task:
    """Return the task of a model that scores pictures.

    Raises ScoringError for one that looks at crops or parts of pictures, for a detector with hooks, and for one with
    filters that look at pixels.
    """
    refuse_filters_of_pixels(model, contract)
    if contract.task == "detection" and any(isinstance(step, HookFilter) for step in contract.filters):
        raise ScoringError(
            f"the contract of {model} states a hook, which is given the answer of the served pipeline, and here the "
            "detector answers alone: export the model without it, or ask POST /detect_batch"
        )
    if role_of(contract) == "crop-classification":
        raise ScoringError(f"{model} classifies crops of what a detector found, and pictures are scored as wholes")
    if isinstance(contract, SegmentationContract) and (contract.tiles or contract.roi):
        raise ScoringError(
            f"the contract of {model} states tiles or a region of interest, and pictures are scored as wholes: export "
            "the model with neither"
        )
    return contract.task


def refuse_filters_of_pixels(model: str, contract: ModelContract) -> None:
    """Raise ScoringError for filters that may withhold an answer for what they see, as none of them is run here."""
    looking = [step.path for step in contract.filters if isinstance(step, ImageFilter) and step.when == "always"]
    if looking:
        raise ScoringError(
            f"the contract of {model} states filters that look at pixels ({', '.join(looking)}), and offline scoring "
            "runs none: export the model without them, or ask a service"
        )


def _write_shard(path: Path, paths: list[str]) -> None:
    with whole_file(path) as temporary:
        pq.write_table(pa.table({"path": paths}, schema=PATH_SCHEMA), temporary)


def _cut(names: Iterator[str], size: int) -> Iterator[list[str]]:
    part: list[str] = []
    for name in names:
        part.append(name)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def _unique(source: Path) -> Iterator[str]:
    """Yield all names and refuse doubles at the end: 8 bytes a name are kept, not the name."""
    hashes = array("Q")
    for name in list_pictures(source):
        hashes.append(_hash64(name))
        yield name
    values, counts = np.unique(np.frombuffer(hashes, np.uint64), return_counts=True)
    suspects = set(values[counts > 1].tolist())
    if not suspects:
        return
    # Two names may share a hash; only now are names compared, and only of the few suspects.
    found = Counter(name for name in list_pictures(source) if _hash64(name) in suspects)
    doubles = [name for name, number in found.items() if number > 1]
    if doubles:
        raise ScoringError(f"{source} lists {len(doubles)} picture(s) more than once, such as {doubles[0]}")


def _hash64(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
