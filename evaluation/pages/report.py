"""The evaluation as one HTML file that needs nothing beside it: styles inline, pictures as data URIs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dataset.description import DataDescription
from dataset.manifest import Manifest
from evaluation.boxes.document import BoxResults
from evaluation.crops.document import BehindDetector
from evaluation.evaluation import Estimate, Evaluation, EvaluationError
from evaluation.model_review import ModelReview
from evaluation.outlines.document import Objects
from evaluation.pages.analysis_sections import calibration_section, detection_section, fairness_section
from evaluation.pages.box_sections import behind_sections, box_sections, box_tiles
from evaluation.pages.outline_sections import outline_sections, outline_tiles
from evaluation.pages.page import data_uri, render_page, thumbnail
from evaluation.pages.plots import HeadlinePlots
from evaluation.pages.result_sections import (
    classes_section,
    confusions_section,
    errors_section,
    fine_print_section,
    folds_section,
    method_section,
    overall_section,
)
from evaluation.pages.review_sections import labels_section, review_sections
from evaluation.pages.sections import Section
from evaluation.pages.slice_sections import slices_section
from evaluation.pages.wording import HEADLINE_NAMES, confidence, counted, figure, interval, percentage


@dataclass(frozen=True)
class Reviewed:
    """What is known once the model is exported: its review, the folder of the review's pictures, and its lineage.

    temperature: by which the contract divides logits. behind: of a classifier of crops, what it says of what a
    detector found.
    """

    review: ModelReview | None
    review_dir: Path
    lineage: Section
    temperature: float
    behind: BehindDetector | None = None


def sections_of(
    headline: Evaluation,
    by_image: Evaluation | None,
    description: DataDescription,
    manifest: Manifest,
    not_compared: str = "",
    reviewed: Reviewed | None = None,
    out_of_fold: Evaluation | None = None,
    plots: HeadlinePlots | None = None,
) -> list[Section]:
    """Return what report and card say of the measurements, in their order; see `render_report`."""
    hashes = dict(zip(manifest.table["path"], manifest.table["sha256"], strict=True))
    return [
        method_section(headline, description),
        *outline_sections(headline),
        *box_sections(headline),
        *behind_sections(reviewed.behind if reviewed else None),
        overall_section(headline, by_image, not_compared),
        *([folds_section(out_of_fold, headline, hashes)] if out_of_fold else []),
        classes_section(headline),
        confusions_section(headline, plots),
        errors_section(headline, hashes),
        calibration_section(headline, reviewed.temperature if reviewed else None),
        detection_section(headline),
        slices_section(headline, hashes, manifest.attributes),
        fairness_section(headline),
        labels_section(headline, hashes),
        *review_sections(headline, reviewed.review if reviewed else None),
        *([reviewed.lineage] if reviewed else []),
        fine_print_section(headline, description),
    ]


def render_report(
    headline: Evaluation,
    by_image: Evaluation | None,
    description: DataDescription,
    manifest: Manifest,
    not_compared: str = "",
    reviewed: Reviewed | None = None,
    out_of_fold: Evaluation | None = None,
    headline_plots: HeadlinePlots | None = None,
    drawings: Mapping[str, bytes] | None = None,
) -> str:
    """Return the report's HTML.

    manifest: of the pictures that are shown. not_compared: why `by_image` is None. reviewed: None before the export.
    out_of_fold: of `assess_out_of_fold`, if all folds were measured. headline_plots: if they are drawn already.
    drawings: PNGs of the worst outlines or boxes, by their files' names.
    Raises EvaluationError if the headline leaks or a picture to be shown cannot be read.
    """
    if headline.protocol != "group" or headline.leaking:
        raise EvaluationError("the headline must be an evaluation of a split by group without a leak")

    @lru_cache(maxsize=64)
    def show(source: str, file: str) -> str:
        if source == "review" and reviewed:
            return _map(reviewed.review_dir / file)
        if source == "drawn" and drawings:
            return data_uri(drawings[file], "png")
        return thumbnail(manifest.root / file, description.max_value)

    plots = headline_plots or HeadlinePlots.of(headline)
    sections = sections_of(headline, by_image, description, manifest, not_compared, reviewed, out_of_fold, plots)
    return render_page(description.title, "Evaluation", _lede(headline), sections, show, tiles=_tiles(headline))


def _lede(headline: Evaluation) -> str:
    found = _defects_found(headline.outlines.any_object) if headline.outlines else ""
    found += _objects_found(headline.boxes) if headline.boxes else ""
    return (
        f"{found}"
        f"{counted(headline.num_images - headline.num_wrong, 'image')} of {headline.num_images} are classified right. "
        f"They show {counted(headline.num_groups, 'group')}, none of which was seen in training. Always answering "
        f"“{headline.majority_class}” would be right in {percentage(headline.majority_share)}."
    )


def _defects_found(objects: Objects) -> str:
    verb = "is" if objects.num_found == 1 else "are"
    return f"Of {counted(objects.num_objects, 'marked defect')} {objects.num_found} {verb} found by an outline. "


def _objects_found(boxes: BoxResults) -> str:
    whole = boxes.any_object
    verb = "is" if whole.num_right == 1 else "are"
    return f"Of {counted(whole.num_objects, 'object')} {whole.num_right} {verb} found by a box. "


def _tiles(headline: Evaluation) -> list[tuple[str, Estimate, str, str]]:
    """Return the figures on top: title, figure, the figure and its interval in words."""
    named = [(title, getattr(headline, name)) for name, title in HEADLINE_NAMES.items()]
    if headline.outlines:
        named = [*outline_tiles(headline.outlines), named[0]]
    if headline.boxes:
        named = [*box_tiles(headline.boxes), named[0]]
    tiles = []
    for title, estimate in named:
        there_is = f"{confidence(headline)} interval: {interval(estimate)}"
        note = there_is if estimate.low is not None else "no interval: there is one group only"
        tiles.append((title, estimate, figure(estimate.value), note))
    return tiles


def _map(path: Path) -> str:
    """Return an occlusion map as it is. Raises EvaluationError if it is missing."""
    try:
        return data_uri(path.read_bytes(), "png" if path.suffix == ".png" else "jpeg")
    except OSError as exc:
        raise EvaluationError(f"cannot show the occlusion map {path}: {exc.strerror}; run `make card`") from exc
