"""The evaluation as one HTML file that needs nothing beside it: styles inline, pictures as data URIs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dataset.description import DataDescription
from dataset.manifest import Manifest
from evaluation.analyses.image_statistics import statistics_in_words
from evaluation.evaluation import Evaluation, EvaluationError
from evaluation.model_review import ModelReview
from evaluation.pages import wording
from evaluation.pages.curves import draw_reliability, draw_robustness, draw_threshold
from evaluation.pages.page import data_uri, render_page, thumbnail
from evaluation.pages.plots import HeadlinePlots

_MAX_SLICE_GALLERIES = 3  # weak slices whose errors are shown
_MAX_LISTED = 12  # label issues and outliers shown
_MAX_PAIRS = 6  # near-duplicates shown


@dataclass(frozen=True)
class Reviewed:
    """What is known once the model is exported: its review, the folder of the review's pictures, and its lineage."""

    review: ModelReview | None
    review_dir: Path
    lineage: Mapping[str, str]


def render_report(
    headline: Evaluation,
    by_image: Evaluation | None,
    description: DataDescription,
    manifest: Manifest,
    not_compared: str = "",
    reviewed: Reviewed | None = None,
    out_of_fold: Evaluation | None = None,
    headline_plots: HeadlinePlots | None = None,
) -> str:
    """Return the report's HTML.

    manifest: of the pictures that are shown. not_compared: why `by_image` is None. reviewed: None before the export.
    out_of_fold: of `assess_out_of_fold`, if all folds were measured. headline_plots: if they are drawn already.
    Raises EvaluationError if the headline leaks or a picture to be shown cannot be read.
    """
    if headline.protocol != "group" or headline.leaking:
        raise EvaluationError("the headline must be an evaluation of a split by group without a leak")

    @lru_cache(maxsize=64)
    def show(path: str) -> str:
        return thumbnail(manifest.root / path, description.max_value)

    review = reviewed.review if reviewed else None
    headline_plots = headline_plots or HeadlinePlots.of(headline)
    return render_page(
        "report.html.jinja",
        headline=headline,
        by_image=by_image,
        not_compared=not_compared.strip(),
        description=description,
        confusion_png=data_uri(headline_plots.confusion, "png"),
        per_class_f1_png=data_uri(headline_plots.per_class_f1, "png"),
        wrong=[(item, show(item.path)) for item in headline.wrong],
        has_average_precision=all(result.average_precision is not None for result in headline.per_class),
        out_of_fold=out_of_fold,
        contents=_contents(
            by_image is not None, bool(reviewed and reviewed.lineage), review is not None, out_of_fold is not None
        ),
        hashes=_hashes(headline, manifest) | (_hashes(out_of_fold, manifest) if out_of_fold else {}),
        statistics_in_words=statistics_in_words(
            headline.slice_search.attributes if headline.slice_search else (), manifest.attributes
        ),
        plots=_plots(headline, review),
        review=review,
        lineage=reviewed.lineage if reviewed else {},
        show=show,
        show_map=lambda name: _map(reviewed.review_dir / name) if reviewed else "",
        max_slice_galleries=_MAX_SLICE_GALLERIES,
        max_listed=_MAX_LISTED,
        max_pairs=_MAX_PAIRS,
        headline_names=wording.HEADLINE_NAMES,
        figure=wording.figure,
        interval=wording.interval,
        counted=wording.counted,
        confidence=wording.confidence,
        percentage=wording.percentage,
        confusion_in_words=wording.confusion_in_words,
    )


def _contents(
    has_both_protocols: bool, has_lineage: bool, has_review: bool, has_all_folds: bool
) -> list[tuple[str, str]]:
    """Anchors and titles of the sections that are there."""
    return [
        *([("protocols", "Both protocols")] if has_both_protocols else []),
        *([("folds", "All folds")] if has_all_folds else []),
        ("classes", "Classes"),
        ("confusions", "Confusions"),
        ("errors", "Worst errors"),
        ("calibration", "Calibration"),
        ("threshold", "Defect or not"),
        ("slices", "Weak slices"),
        ("fairness", "Fairness"),
        ("labels", "Labels to review"),
        ("robustness", "Robustness"),
        *([("attention", "Where it looks")] if has_review else []),
        *([("lineage", "Lineage")] if has_lineage else []),
        ("print", "Fine print"),
    ]


def _hashes(headline: Evaluation, manifest: Manifest) -> dict[str, str]:
    """Return path -> SHA-256 of every picture that the report may show."""
    shown = {item.path for item in headline.wrong}
    if headline.slice_search:
        shown |= {item.path for part in headline.slice_search.slices for item in part.wrong}
    if headline.label_review:
        pairs = (*headline.label_review.contradictions, *headline.label_review.near_duplicates)
        shown |= {path for pair in pairs for path in (pair.path, pair.other_path)}
    rows = manifest.table[manifest.table["path"].isin(shown)]
    return dict(zip(rows["path"], rows["sha256"], strict=True))


def _plots(headline: Evaluation, review: ModelReview | None) -> dict[str, object]:
    return {
        "reliability": data_uri(draw_reliability(headline.calibration), "png") if headline.calibration else "",
        "threshold": data_uri(draw_threshold(headline.detection), "png") if headline.detection else "",
        "robustness": [data_uri(draw_robustness(c, review.robustness), "png") for c in review.robustness.curves]
        if review
        else [],
    }


def _map(path: Path) -> str:
    """Return an occlusion map as it is. Raises EvaluationError if it is missing."""
    try:
        return data_uri(path.read_bytes(), "png" if path.suffix == ".png" else "jpeg")
    except OSError as exc:
        raise EvaluationError(f"cannot show the occlusion map {path}: {exc.strerror}; run `make card`") from exc
