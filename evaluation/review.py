"""Ask the exported model again: how robust is it, and where does it look? `python -m evaluation.review`.

Writes to `--out`: `review.json` and `maps/`, a picture for every occlusion map: the model's input beside what its
answer hangs on, the defect's mask outlined.
"""

import argparse
import logging
import shutil
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from dataset.annotations import Masks, marked
from dataset.manifest import Manifest, ManifestError
from evaluation.analyses.attention import (
    Attention,
    OcclusionMap,
    mask_agreement,
    occlusion_map,
    patch_and_stride,
    share_inside,
)
from evaluation.analyses.leakage import refuse_other_images
from evaluation.analyses.robustness import draw_images, measure_robustness
from evaluation.analyses.worst_errors import worst_errors_by_class
from evaluation.document import EvaluationError
from evaluation.model_review import REVIEW_FILE, ModelReview, ReviewError
from evaluation.pages.occlusion_picture import draw_occlusion
from evaluation.params import EvaluateParams, ReviewParams
from evaluation.picture_files import read_picture
from evaluation.predictions import Predictions, PredictionsError
from evaluation.statistics.bootstrap import Resampling
from project.command import command
from project.params import ParamsError, add_params_option, read_section
from project.progress import progress
from runtime.model.contract import PROBABILITIES, ContractError
from runtime.model.image import ImageArray
from runtime.model.preprocess import preprocess, sufficient_size
from runtime.model.session import Predictor

MAPS_DIR = "maps"
_DRAWN_FOR_ONE = 4

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subject:
    """The model with the pictures of one manifest."""

    predictor: Predictor
    manifest: Manifest

    @cached_property
    def masks(self) -> Masks:
        return Masks(self.manifest, self.predictor.contract)

    def read(self, path: str) -> ImageArray:
        """Return a decoded picture, not below twice the model's input."""
        contract = self.predictor.contract
        return read_picture(self.manifest.root / path, sufficient_size(contract), contract.max_value)

    def read_reduced(self, path: str) -> ImageArray:
        """Return a picture to be changed: a large one at an n-th of its size, not below twice the model's input.

        So a large PNG costs no more than a JPEG, which is decoded at reduced scale. Smaller pictures stay as they are.
        """
        image_hwc = self.read(path)
        least = sufficient_size(self.predictor.contract)
        factor = min(side // needed for side, needed in zip(image_hwc.shape[:2], least, strict=True))
        return np.asarray(Image.fromarray(image_hwc).reduce(factor)) if factor > 1 else image_hwc

    def preprocess(self, image_hwc: ImageArray) -> ImageArray:
        return preprocess(image_hwc, self.predictor.contract)

    def predict(self, images_nhwc: ImageArray) -> npt.NDArray[np.floating]:
        """Return `(N, C)` probabilities. Raises ReviewError for NaN, which argmax would take for the first class."""
        probs = self.predictor.predict(images_nhwc)[PROBABILITIES]
        if not np.isfinite(probs).all():
            raise ReviewError(
                f"the model's probabilities are not finite for {(~np.isfinite(probs)).any(axis=1).sum()} of "
                f"{len(probs)} changed test pictures; export it in float32 (`make export`)"
            )
        return probs

    def mask(self, path: str) -> npt.NDArray[np.bool_] | None:
        """Return the defect's mask as the model's input has it; None without one or if it is empty."""
        inside = marked(self.masks.read(int(np.flatnonzero(self.manifest.table["path"] == path)[0])))
        return inside if inside.any() else None


def review(
    model_dir: Path, predictions: Predictions, manifest: Manifest, params: ReviewParams, evaluate: EvaluateParams,
    out_dir: Path,
) -> ModelReview:  # fmt: skip
    """Measure robustness and attention on the test split and write both to `out_dir`.

    predictions: of this model; they say which test images it gets wrong. Raises ReviewError if classes differ,
    EvaluationError if a picture cannot be read, ManifestError if a mask cannot, ContractError for a broken model,
    PredictionsError for predictions of other images.
    """
    refuse_other_images(predictions, manifest, "group")
    subject = Subject(Predictor.load(model_dir), manifest)
    if subject.predictor.contract.classes != predictions.classes:
        raise ReviewError(
            f"the model in {model_dir} has the classes {', '.join(subject.predictor.contract.classes)}, but the "
            f"predictions {', '.join(predictions.classes)}; predict again with this model"
        )
    test = predictions.select("test")
    shutil.rmtree(out_dir / MAPS_DIR, ignore_errors=True)
    (out_dir / MAPS_DIR).mkdir(parents=True)
    document = ModelReview(
        onnx_sha256=subject.predictor.sha256,
        data_sha256=manifest.data_sha256(subject.predictor.contract.task),
        robustness=measure_robustness(
            draw_images(test, params.max_robustness_images, params.seed),
            subject.read_reduced, subject.preprocess, subject.predict, evaluate, params.seed,
        ),
        attention=_attention(subject, test, params, evaluate, out_dir),
    )  # fmt: skip
    document.write(out_dir / REVIEW_FILE)
    return document


def _attention(
    subject: Subject, test: Predictions, params: ReviewParams, evaluate: EvaluateParams, out_dir: Path
) -> Attention:
    errors = worst_errors_by_class(test, params.maps_per_class, params.max_maps)
    maps = [
        _map_error(subject, test, int(row), out_dir / MAPS_DIR / f"{number:03d}.png")
        for number, row in enumerate(progress(errors, "mapping errors"))
    ]
    right = draw_images_with_masks(subject, test, params)
    shares, mask_shares, rows = [], [], []
    for row, mask in progress(right, "comparing with masks"):
        image = subject.preprocess(subject.read(test.paths[row]))
        share = share_inside(occlusion_map(image, subject.predict, int(test.predicted[row])), mask)
        if share is not None:
            shares.append(share)
            mask_shares.append(float(mask.mean()))
            rows.append(row)
    contract = subject.predictor.contract
    patch_px, stride_px = patch_and_stride(contract.height, contract.width)
    agreement = None
    if shares:
        agreement = mask_agreement(np.array(shares), np.array(mask_shares), Resampling(test.groups[rows], evaluate))
    return Attention(
        patch_px=patch_px,
        stride_px=stride_px,
        maps=tuple(maps),
        mask_agreement=agreement,
        no_masks="" if agreement else "No correctly recognised test picture has a mask that marks a defect.",
    )


def draw_images_with_masks(
    subject: Subject, test: Predictions, params: ReviewParams
) -> list[tuple[int, npt.NDArray[np.bool_]]]:
    """Return correctly recognised test images whose mask marks a defect, drawn one of each class in turn."""
    table = subject.manifest.table
    masked = set(table.loc[table["mask"] != "", "path"])
    rows = np.flatnonzero((test.predicted == test.labels) & np.isin(test.paths.astype(str), list(masked)))
    position = {path: row for row, path in enumerate(test.paths)}
    found: list[tuple[int, npt.NDArray[np.bool_]]] = []
    if not rows.size or not params.max_mask_images:
        return found
    # More are drawn than are wanted, since pictures without a defect may have a mask as well, an empty one.
    for path in draw_images(test.take(rows), _DRAWN_FOR_ONE * params.max_mask_images, params.seed).paths:
        mask = subject.mask(path)
        if mask is not None:
            found.append((position[path], mask))
    if len(found) <= params.max_mask_images:
        return found
    sample = draw_images(test.take(np.array([row for row, _ in found])), params.max_mask_images, params.seed)
    wanted = set(sample.paths)
    return [(row, mask) for row, mask in found if test.paths[row] in wanted]


def _map_error(subject: Subject, test: Predictions, row: int, picture_path: Path) -> OcclusionMap:
    path = str(test.paths[row])
    image = subject.preprocess(subject.read(path))
    predicted = int(test.predicted[row])
    attribution = occlusion_map(image, subject.predict, predicted)
    mask = subject.mask(path)
    picture_path.write_bytes(draw_occlusion(image, attribution, mask))
    table = subject.manifest.table
    return OcclusionMap(
        path=path,
        sha256=str(table.loc[table["path"] == path, "sha256"].iloc[0]),
        label=test.classes[test.labels[row]],
        predicted=test.classes[predicted],
        probability=float(np.clip(test.probs[row, predicted], 0, 1)),
        is_error=True,
        picture=f"{MAPS_DIR}/{picture_path.name}",
        share_in_mask=None if mask is None else share_inside(attribution, mask),
        mask_share=None if mask is None else float(mask.mean()),
    )


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, default=Path("artifacts/export"), help="holds model.onnx, contract.json")
    parser.add_argument("--predictions", type=Path, default=Path("artifacts/predictions.csv"))
    parser.add_argument("--manifest", type=Path, default=Path("data/manifest.csv"))
    parser.add_argument("--out", type=Path, default=Path("artifacts/review"))
    add_params_option(parser)


@command(_arguments, known=(ContractError, EvaluationError, ManifestError, ParamsError, PredictionsError, ReviewError))
def main(arguments: argparse.Namespace) -> None:
    params = read_section(arguments.params, "review", ReviewParams)
    evaluate = read_section(arguments.params, "evaluate", EvaluateParams)
    predictions, manifest = Predictions.read(arguments.predictions), Manifest.read(arguments.manifest)
    document = review(arguments.model, predictions, manifest, params, evaluate, arguments.out)
    _log(document)


def _log(document: ModelReview) -> None:
    for curve in document.robustness.curves:
        points = ", ".join(f"{p.level:g}: {p.accuracy.value:.3f}" for p in curve.points)
        logger.info("accuracy by %s (%s): %s", curve.change, curve.unit, points)
    agreement = document.attention.mask_agreement
    if agreement:
        logger.info(
            "%.0f%% of the attribution lies inside the mask, %.0f%% by chance",
            100 * (agreement.share_in_mask.value or 0), 100 * (agreement.chance.value or 0),
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
