"""A comparison as one HTML file that needs nothing beside it, and in one sentence."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dataset.description import read_max_value
from evaluation.comparison import Change, Comparison
from evaluation.pages import wording
from evaluation.pages.page import data_uri, render_page, thumbnail
from evaluation.pages.plots import draw_differences

PAGE_FILE = "comparison.html"
_MAX_SHOWN = 24  # pictures in each direction


@dataclass(frozen=True)
class Verdict:
    """What a gate made of a comparison, shown on top of its page."""

    title: str
    passed: bool
    reasons: tuple[str, ...]


def summarise_comparison(comparison: Comparison) -> str:
    """Say in one sentence what differs, with intervals."""
    return (
        f"On {wording.counted(comparison.num_images, f'{comparison.split} picture')} of "
        f"{wording.counted(comparison.num_groups, 'group')}, macro-F1 changes by "
        f"{wording.difference_in_words(comparison.macro_f1)} and accuracy by "
        f"{wording.difference_in_words(comparison.accuracy)}: {comparison.num_fixed} changed for the better, "
        f"{comparison.num_broken} for the worse."
    )


def render_comparison(comparison: Comparison, pictures_dir: Path | None, verdict: Verdict | None = None) -> str:
    """Return the page's HTML.

    pictures_dir: what paths are relative to; None leaves the pictures out. Raises EvaluationError if a picture to be
    shown cannot be read.
    """
    return render_page(
        "comparison.html.jinja",
        comparison=comparison,
        summary=summarise_comparison(comparison),
        verdict=verdict,
        confidence=wording.share_of_resamples(comparison.confidence),
        differences_png=data_uri(draw_differences(comparison), "png"),
        broken=_with_pictures(comparison.broken, pictures_dir),
        fixed=_with_pictures(comparison.fixed, pictures_dir),
    )


def _with_pictures(changes: Iterable[Change], pictures_dir: Path | None) -> list[tuple[Change, str]]:
    shown = list(changes)[:_MAX_SHOWN]
    max_value = read_max_value(pictures_dir) if pictures_dir else None
    return [(change, thumbnail(pictures_dir / change.path, max_value) if pictures_dir else "") for change in shown]
