"""The small project of evaluation's tests with masks, predicted maps and a contract of segmentation.

Pictures are as large as the network's input, so that every pixel can be counted by hand. A blowhole is a square of 36
pixels, a crack a line of 40. In every test picture of the tile number 4 both are outlined exactly, in those of number 5
the blowhole two columns beside (24 of 36 pixels) and the crack not at all. Of the normal tiles' pictures those of
exposure 1 raise a false alarm of 9 pixels. A speck of one pixel and one of a low probability are in every map.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dataset.description import DataDescription
from dataset.manifest import Manifest
from dataset.masks.hashes import with_mask_hashes
from evaluation.predicted_maps import write_map
from evaluation.predictions import Predictions
from runtime.model.contract import SegmentationContract, read_contract
from tests.evaluation.project import Project

REGIONS = ("Blowhole", "Crack")
HEIGHT, WIDTH = 24, 32
BLOWHOLE, CRACK = np.s_[4:10, 4:10], np.s_[15:17, 6:26]
BESIDE, ALARM = np.s_[4:10, 6:12], np.s_[18:21, 2:5]


def maps_dir(project: Project) -> Path:
    return project.root / "artifacts" / "maps"


def outline_arguments(project: Project) -> list[str]:
    """Return the arguments of `evaluation.evaluate` for a segmentation model."""
    arguments = project.evaluate_arguments
    place = arguments.index("--by-image")
    return [*arguments[:place], *arguments[place + 2 :], "--maps", str(maps_dir(project))]


def add_outlines(project: Project, **changes: object) -> Project:
    """Write masks, maps and contracts beside what is there; changes: of the contract."""
    table = project.manifest.table
    table["mask"] = [_write_mask(project.data_dir, row) for _, row in table.iterrows()]
    Manifest(with_mask_hashes(table, project.data_dir), project.data_dir).write(project.data_dir / "manifest.csv")
    description = DataDescription.read(project.data_dir)
    description.model_copy(update={"regions": REGIONS}).write(project.data_dir)
    project.inspect()
    write_contracts(project, **changes)
    write_maps(project, Predictions.read(project.predictions_path), maps_dir(project))
    return project


def write_contracts(project: Project, **changes: object) -> None:
    """Write the contract of segmentation beside the maps and into the export."""
    old = read_contract(project.export_dir / "contract.json")
    fields = old.model_dump(include={"classes", "mean", "std", "lineage"})
    fields["lineage"]["data_sha256"] = project.manifest.data_sha256("segmentation")
    contract = SegmentationContract(
        **fields,
        **{"regions": REGIONS, "height": HEIGHT, "width": WIDTH, "threshold": 0.6, "min_region_px": 2, **changes},
    )
    maps_dir(project).mkdir(exist_ok=True)
    for folder in (maps_dir(project), project.export_dir):
        (folder / "contract.json").write_text(contract.to_json(), encoding="utf-8")


def write_maps(project: Project, predictions: Predictions, folder: Path) -> None:
    """Write the map of every row of the predictions."""
    table = project.manifest.table.set_index("path")
    for number, path in enumerate(predictions.paths):
        row = table.loc[path]
        write_map(folder, number, *_answer(row["label"], row["group"], row["attributes.exposure"]))


def add_folds(project: Project) -> Path:
    """Write two folds' predictions and maps, every second picture each, and return their pooled table."""
    table = project.manifest.table.assign(split="test")
    pooled = Predictions.from_table(table, _right(table["label"], project.classes), project.classes)
    path = project.root / "artifacts/cross_validation/seed0/group.csv"
    pooled.write(path)
    for fold in range(2):
        folder = path.parent / f"group{fold}"
        predictions = pooled.take(np.arange(fold, len(pooled.paths), 2))
        predictions.write(folder / "predictions.csv")
        write_maps(project, predictions, folder / "maps")
        contract = read_contract(maps_dir(project) / "contract.json").model_copy(
            update={"threshold": 0.6 + 0.01 * fold}
        )
        (folder / "maps/contract.json").write_text(contract.to_json(), encoding="utf-8")
    return path


def _right(labels: pd.Series, classes: tuple[str, ...]) -> np.ndarray:
    """Return `(N, C)`: each picture's label with 0.8."""
    probs = np.full((len(labels), len(classes)), 0.2 / (len(classes) - 1))
    probs[np.arange(len(labels)), [classes.index(label) for label in labels]] = 0.8
    return probs


def _answer(label: str, group: str, exposure: str) -> tuple[np.ndarray, np.ndarray]:
    regions, foreground = np.ones((HEIGHT, WIDTH), np.uint8), np.full((HEIGHT, WIDTH), 0.05, np.float32)
    is_exact = not group.endswith("-5")
    regions[CRACK] = 2
    if label == "Blowhole":
        foreground[BLOWHOLE if is_exact else BESIDE] = 0.9
    elif label == "Crack" and is_exact:
        foreground[CRACK] = 0.8
    elif label == "Free" and exposure == "1":
        foreground[ALARM] = 0.7
    foreground[0, 31], foreground[22:24, 20:24] = 0.95, 0.55
    return regions, foreground


def _write_mask(data_dir: Path, row: pd.Series) -> str:
    """Write the mask of one picture; a normal one has none."""
    if row["label"] not in REGIONS:
        return ""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[BLOWHOLE if row["label"] == "Blowhole" else CRACK] = REGIONS.index(row["label"]) + 1
    path = Path("masks") / Path(row["path"]).relative_to("pictures")
    (data_dir / path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(data_dir / path)
    return path.as_posix()
