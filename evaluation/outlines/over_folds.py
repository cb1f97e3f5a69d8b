"""Measure outlines over all folds: every picture's, by the model that never saw its group.

Each fold of `training.cross_validate` has its predictions, its maps and their contract in a folder of its own beside
the pooled table: `group0/` to `group4/` beside `group.csv`. Several seeds answer the same pictures; pooled, each answer
counts once, and intervals draw groups, with all answers to their pictures.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from dataset.checks import named
from dataset.manifest import Manifest
from evaluation.document import EvaluationError
from evaluation.outlines.map_folder import MapFolder
from evaluation.outlines.measure import MeasuredOutlines, Subject, measured_of
from evaluation.outlines.picture_sums import PictureSums
from evaluation.params import EvaluateParams
from evaluation.predicted_maps import MAPS_DIR
from evaluation.predictions import PREDICTIONS_FILE, Predictions, pool
from project.progress import progress
from runtime.model.contract import ModelContract, SegmentationContract, Task

Sums = TypeVar("Sums")
Contract = TypeVar("Contract", bound=ModelContract)


@dataclass(frozen=True)
class FoldSums:
    """What the N pictures of a pooled table add to all figures, and the contracts of the models that answered them."""

    pooled: Predictions
    sums: list[PictureSums]
    contracts: tuple[SegmentationContract, ...]

    def measure(self, params: EvaluateParams) -> MeasuredOutlines:
        """Return the figures; nothing is drawn."""
        return measured_of(self.pooled, self.sums, self.contracts, params)


def read_folds(pooled_path: Path, pooled: Predictions, manifest: Manifest) -> FoldSums:
    """Compare the maps of all pictures of a pooled table with their masks.

    Raises EvaluationError if a picture has no map in exactly one fold or folds outline other regions, ManifestError for
    a mask and PredictionsError for a map that cannot be used.
    """

    def measure(folder: Path, predictions: Predictions) -> tuple[SegmentationContract, Iterator[PictureSums]]:
        subject = Subject(MapFolder.open(folder / MAPS_DIR, predictions), manifest, predictions)
        rows = progress(range(len(predictions.paths)), f"measuring outlines of {folder.name}", unit=" pictures")
        return subject.maps.contract, (subject.measure(row) for row in rows)

    sums, contracts = over_folds(pooled_path, pooled, measure, "a map", "segmentation")
    _refuse_other_regions(contracts, f"the folds beside {pooled_path}")
    return FoldSums(pooled, sums, contracts)


def over_folds(
    pooled_path: Path,
    pooled: Predictions,
    measure: Callable[[Path, Predictions], tuple[Contract, Iterable[Sums]]],
    what: str,
    task: Task,
) -> tuple[list[Sums], tuple[Contract, ...]]:
    """Return what `measure` gives of each picture of a pooled table, in its order, and the contract of each fold.

    measure: given a fold's folder and its predictions, returns its contract and one result a row. what: is missing
    where a picture is in no fold of the task. Raises EvaluationError if a picture is not in exactly one.
    """
    found: dict[str, Sums] = {}
    contracts: list[Contract] = []
    for folder in _fold_folders(pooled_path):
        predictions = Predictions.read(folder / PREDICTIONS_FILE)
        contract, results = measure(folder, predictions)
        contracts.append(contract)
        twice = sorted(set(predictions.paths) & found.keys())
        if twice:
            raise EvaluationError(f"{folder} and an earlier fold both hold {what} of {named(twice)}")
        found |= zip(predictions.paths, results, strict=True)
    missing = [path for path in pooled.paths if path not in found]
    if missing:
        raise EvaluationError(
            f"no fold beside {pooled_path} holds {what} of {named(missing)}; run python -m training.cross_validate "
            f"--task {task}"
        )
    return [found[path] for path in pooled.paths], tuple(contracts)


def pool_seeds(seeds: Mapping[int, FoldSums]) -> FoldSums:
    """Join the answers of several seeds; a path begins with its seed's number then. Raises EvaluationError as above."""
    contracts = tuple(contract for one in seeds.values() for contract in one.contracts)
    _refuse_other_regions(contracts, "the seeds")
    pooled = pooled_of_seeds({seed: one.pooled for seed, one in seeds.items()})
    return FoldSums(pooled, [sums for one in seeds.values() for sums in one.sums], contracts)


def pooled_of_seeds(seeds: Mapping[int, Predictions]) -> Predictions:
    """Put the pooled tables of several seeds one below the other; a path begins with its seed's number then."""
    return pool([replace(one, paths=f"seed{seed}/" + one.paths) for seed, one in seeds.items()])


def _refuse_other_regions(contracts: Sequence[SegmentationContract], of: str) -> None:
    if len({(contract.regions, contract.height, contract.width) for contract in contracts}) > 1:
        raise EvaluationError(f"{of} outline other regions, or at other sizes, than each other")


def _fold_folders(pooled_path: Path) -> list[Path]:
    """Return the folders of the folds that were pooled into a table, in their order."""
    name = re.compile(rf"{re.escape(pooled_path.stem)}(\d+)")
    found = [(int(match[1]), path) for path in pooled_path.parent.iterdir() if (match := name.fullmatch(path.name))]
    return [path for _, path in sorted(found) if (path / PREDICTIONS_FILE).is_file()]
