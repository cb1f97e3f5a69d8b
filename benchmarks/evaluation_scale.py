"""CPU time and memory of `evaluation.evaluate` over the number of predictions: `python -m benchmarks.evaluation_scale`.

Predictions, manifest and image statistics are drawn: classes of unequal size, objects with several pictures each that
are right or wrong together, one attribute that is weak. The command runs in a process of its own, whose CPU time and
highest resident memory the kernel counts (`getrusage`); drawing the data is not in the figures. All pictures are links
to one drawn file, for the report shows some. Writes `evaluation_scale.json` to `--out`.
"""

import argparse
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.machine import describe
from dataset.description import DataDescription
from dataset.manifest import Manifest
from project.command import command
from project.params import add_params_option
from project.write_whole import write_whole

CLASSES = ("Blowhole", "Break", "Crack", "Fray", "Free", "Uneven")
FREQUENCIES = (0.09, 0.06, 0.04, 0.03, 0.7, 0.08)  # about those of the reference data
PER_GROUP = 4
ACCURACY, WEAK_ACCURACY = 0.9, 0.8
SIZES = (1_344, 10_000, 100_000)
QUICK_SIZES = (400,)
STATISTICS = ("brightness", "contrast", "sharpness", "colourfulness", "aspect", "megapixels", "defect area")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cost:
    """What one evaluation took; `report_bytes` is the size of its `report.html`."""

    num_predictions: int
    num_groups: int
    cpu_s: float
    highest_memory_mib: float
    report_bytes: int


def draw_project(root: Path, num_predictions: int, seed: int = 0) -> int:
    """Write predictions, manifest, statistics and pictures below `root`; return the number of groups."""
    rng = np.random.default_rng(seed)
    group_ids = np.arange(num_predictions) // PER_GROUP
    num_groups = int(group_ids[-1]) + 1
    labels = rng.choice(len(CLASSES), num_groups, p=FREQUENCIES)[group_ids]
    exposures = rng.integers(1, 7, num_predictions)
    splits = rng.choice(["val", "test"], num_groups, p=[0.2, 0.8])[group_ids]
    table = pd.DataFrame(
        {
            "path": [f"pictures/{index:07d}.jpg" for index in range(num_predictions)],
            "label": np.asarray(CLASSES)[labels],
            "group": [f"g{group:06d}" for group in group_ids],
            "split": splits,
        }
    )
    probs = _probabilities(rng, labels, group_ids, exposures == 6)
    _write_predictions(root / "predictions.csv", table, probs, exposures)
    hashes = [f"{index:064x}" for index in range(num_predictions)]
    manifest = table.assign(split_by_image=splits, sha256=hashes, width=64, height=64, mask="")
    manifest["attributes.exposure"] = exposures
    Manifest(manifest, root / "data").write(root / "data" / "manifest.csv")
    statistics = pd.DataFrame(rng.lognormal(4, 0.3, (num_predictions, len(STATISTICS))), columns=list(STATISTICS))
    (root / "inspection").mkdir()
    table[["path"]].assign(sha256=hashes).join(statistics).to_csv(root / "inspection" / "statistics.csv", index=False)
    (root / "inspection" / "near_duplicates.csv").write_text("path,other_path,correlation\n", encoding="utf-8")
    (root / "by_image").mkdir()
    (root / "by_image" / "not_compared.txt").write_text("drawn predictions\n", encoding="utf-8")
    _write_pictures(root / "data", list(table["path"]))
    return num_groups


def _probabilities(
    rng: np.random.Generator, labels: np.ndarray, group_ids: np.ndarray, is_weak: np.ndarray
) -> np.ndarray:
    """Return `(N, C)` probabilities; pictures of one group share most of their luck."""
    luck = 0.7 * rng.random(group_ids[-1] + 1)[group_ids] + 0.3 * rng.random(len(labels))
    is_right = luck < np.where(is_weak, WEAK_ACCURACY, ACCURACY)
    others = (labels + rng.integers(1, len(CLASSES), len(labels))) % len(CLASSES)
    logits = rng.normal(0, 1, (len(labels), len(CLASSES)))
    logits[np.arange(len(labels)), np.where(is_right, labels, others)] += 4
    likelihoods = np.exp(logits)
    return np.asarray(likelihoods / likelihoods.sum(axis=1, keepdims=True))


def _write_predictions(path: Path, table: pd.DataFrame, probs: np.ndarray, exposures: np.ndarray) -> None:
    columns = pd.DataFrame(probs, columns=[f"probability.{name}" for name in CLASSES])
    predicted = np.asarray(CLASSES)[probs.argmax(axis=1)]
    whole = pd.concat([table.assign(predicted=predicted), columns], axis=1)
    whole.assign(**{"attributes.exposure": exposures}).to_csv(path, index=False)


def _write_pictures(data_dir: Path, paths: list[str]) -> None:
    """Draw one picture and link the others to it; describe them."""
    (data_dir / "pictures").mkdir()
    drawn = data_dir / "drawn.jpg"
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(drawn, quality=90)
    for path in paths:
        (data_dir / path).symlink_to(drawn)
    DataDescription(
        name="drawn", title="Drawn predictions", summary="No real picture.", group_meaning="drawn", normal_class="Free"
    ).write(data_dir)


def measure(num_predictions: int, params_path: Path) -> Cost:
    """Draw so many predictions, evaluate them in another process and return what that took."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        # Drawn in another process, too: what this one holds when it forks would count as the evaluation's memory.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            num_groups = pool.submit(draw_project, root, num_predictions).result()
        names = {"predictions": "predictions.csv", "by-image": "by_image", "inspection": "inspection", "out": "out"}
        options = [text for option, name in names.items() for text in (f"--{option}", str(root / name))]
        command = [sys.executable, "-m", "evaluation.evaluate", "--data", str(root / "data"), *options]
        process = subprocess.Popen([*command, "--params", str(params_path)], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"evaluation.evaluate of {num_predictions} predictions ended with {process.returncode}")
        return _cost(num_predictions, num_groups, usage, (root / "out" / "report.html").stat().st_size)


def _cost(num_predictions: int, num_groups: int, usage: resource.struct_rusage, report_bytes: int) -> Cost:
    return Cost(
        num_predictions=num_predictions,
        num_groups=num_groups,
        cpu_s=round(usage.ru_utime + usage.ru_stime, 1),
        highest_memory_mib=round(usage.ru_maxrss / 1024, 1),  # Linux counts KiB
        report_bytes=report_bytes,
    )


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="few predictions, to see that it works")
    parser.add_argument("--sizes", type=int, nargs="+", help=f"numbers of predictions; {SIZES} if not given")
    add_params_option(parser)
    parser.add_argument("--out", type=Path, default=Path("artifacts/benchmarks"))


@command(_arguments)
def main(arguments: argparse.Namespace) -> None:
    cores = os.sched_getaffinity(0)
    machine = describe(cores, cores)
    costs = []
    for size in arguments.sizes or (QUICK_SIZES if arguments.quick else SIZES):
        cost = measure(size, arguments.params)
        costs.append(asdict(cost))
        logger.info(
            "%d predictions of %d groups: %.1f s of CPU, at most %.0f MiB, report of %.1f MB",
            size, cost.num_groups, cost.cpu_s, cost.highest_memory_mib, cost.report_bytes / 1e6,
        )  # fmt: skip
    written = json.dumps({"machine": asdict(machine), "costs": costs}, indent=2)
    write_whole(arguments.out / "evaluation_scale.json", written + "\n")


if __name__ == "__main__":
    sys.exit(main())
