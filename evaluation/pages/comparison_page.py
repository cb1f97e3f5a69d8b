"""A comparison as one HTML file that needs nothing beside it, and in one sentence."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dataset.description import read_max_value
from evaluation.comparison import COMPARISON_FILE, Change, Comparison, Difference
from evaluation.pages import sections as s
from evaluation.pages.page import render_page, thumbnail
from evaluation.pages.plots import draw_differences
from evaluation.pages.wording import (
    HEADLINE_NAMES,
    counted,
    difference_in_words,
    figure,
    gain,
    p_value,
    share_of_resamples,
    signed_interval,
)
from project.write_whole import write_whole

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
    outlined = f"Dice changes by {difference_in_words(comparison.outlines[0].dice)}, " if comparison.outlines else ""
    boxed = f"AP changes by {difference_in_words(comparison.boxes[0].ap)}, " if comparison.boxes else ""
    return (
        f"On {counted(comparison.num_images, f'{comparison.split} picture')} of "
        f"{counted(comparison.num_groups, 'group')}, {outlined}{boxed}"
        f"macro-F1 changes by {difference_in_words(comparison.macro_f1)} "
        f"and accuracy by {difference_in_words(comparison.accuracy)}: {comparison.num_fixed} changed for the better, "
        f"{comparison.num_broken} for the worse."
    )


def render_comparison(comparison: Comparison, pictures_dir: Path | None, verdict: Verdict | None = None) -> str:
    """Return the page's HTML.

    pictures_dir: what paths are relative to; None leaves the pictures out. Raises EvaluationError if a picture to be
    shown cannot be read.
    """
    max_value = read_max_value(pictures_dir) if pictures_dir else None
    sections = [
        *([_verdict(verdict)] if verdict else []),
        _figures(comparison),
        _chance(comparison),
        _changed("broken", "worse", comparison.broken, comparison.num_broken),
        _changed("fixed", "better", comparison.fixed, comparison.num_fixed, comparison.num_wrong_otherwise),
    ]
    return render_page(
        comparison.second,
        "Comparison of two models on the same pictures",
        summarise_comparison(comparison),
        sections,
        lambda _, file: thumbnail(pictures_dir / file, max_value) if pictures_dir else "",
        subtitle=f"against {comparison.first}",
    )


def write_comparison(
    comparison: Comparison, out_dir: Path, pictures_dir: Path | None, verdict: Verdict | None = None
) -> None:
    """Write `comparison.json` and `comparison.html`. Raises EvaluationError if a picture to be shown is missing."""
    page = render_comparison(comparison, pictures_dir, verdict)
    comparison.write(out_dir / COMPARISON_FILE)
    write_whole(out_dir / PAGE_FILE, page)


def _verdict(verdict: Verdict) -> s.Section:
    return s.Section("verdict", "Gate", (s.Box(verdict.title, verdict.reasons, is_warning=not verdict.passed),))


def _figures(comparison: Comparison) -> s.Section:
    named = [(s.Cell(title), getattr(comparison, name)) for name, title in HEADLINE_NAMES.items()]
    named += _located_rows(comparison)
    for part in comparison.per_class:
        counts = f"{counted(part.num_images, 'image')}, {counted(part.num_groups, 'group')}"
        named.append((s.Cell(f"Recall of {part.name}", counts), part.recall))
    header = (
        "Figure",
        "First",
        "Second",
        s.Cell("Difference", f"{share_of_resamples(comparison.confidence)} interval"),
    )
    told = (
        f"First: {comparison.first}. Second: {comparison.second}. A difference is the second's figure minus the "
        f"first's; its interval is of {comparison.bootstrap_samples} paired resamples of the "
        f"{counted(comparison.num_groups, 'group')}, seed {comparison.seed}. There is none where fewer than two groups "
        "contribute to the figure."
    )
    blocks: tuple[s.Block, ...] = (
        *(s.Paragraph(note) for note in comparison.notes),
        s.Table(header, tuple((title, *_difference(part)) for title, part in named)),
        s.Paragraph(told, is_note=True),
    )
    return s.Section("figures", "Figures", blocks)


def _located_rows(comparison: Comparison) -> list[tuple[s.Cell, Difference]]:
    """Return the differences of outlines and boxes with their titles."""
    rows = []
    for box in comparison.shown_boxes:
        counts = f"{counted(box.num_objects, 'object')}, {counted(box.num_groups, 'group')}"
        of = f"of {box.name}" if box.name else "as mean over objects"
        rows += [
            (s.Cell(f"{title} {of}", counts), difference)
            for title, difference in (("AP", box.ap), ("AP 0.50", box.ap50))
        ]
    for part in comparison.shown_outlines:
        counts = f"{counted(part.num_images, 'image')}, {counted(part.num_groups, 'group')}"
        rows += [
            (s.Cell(f"{title} of {part.name or 'any region'}", counts), difference)
            for title, difference in (("Dice", part.dice), ("IoU", part.iou))
        ]
    return rows


def _difference(part: Difference) -> tuple[s.Line | s.Cell, ...]:
    ends = signed_interval(part) if part.low is not None else ""
    return figure(part.first), figure(part.second), s.Cell(gain(part.difference), ends)


def _chance(comparison: Comparison) -> s.Section:
    by_picture, by_group = comparison.mcnemar, comparison.by_group
    tests = (
        f"By picture (McNemar, exact): {counted(by_picture.num_second, 'picture')} only the second gets right, "
        f"{by_picture.num_first} only the first; p = {p_value(by_picture.p_value)}. The test takes pictures as "
        "independent, which pictures of one group are not, so that its p is too small.",
        f"By group (sign test): the second is right on more pictures of {counted(by_group.num_second, 'group')}, the "
        f"first of {by_group.num_first}; p = {p_value(by_group.p_value)}.",
    )
    alt = "Differences with their intervals; the table above holds the numbers."
    return s.Section(
        "chance",
        "Is the difference chance?",
        (s.Plots((s.Plot(partial(draw_differences, comparison), alt),)), s.Bullets(tests)),
    )


def _changed(
    name: str, way: str, changes: tuple[Change, ...], number: int, num_otherwise: int | None = None
) -> s.Section:
    """Show the pictures that one model gets right and the other does not."""
    shown = tuple(map(_picture, changes[:_MAX_SHOWN]))
    blocks: list[s.Block] = [s.Gallery(shown)] if shown else [s.Paragraph("There is none.")]
    if 0 < len(shown) < number:
        blocks.insert(0, s.Paragraph(f"The {len(shown)} of {number} whose probability changed most."))
    if num_otherwise is not None:
        note = f"{counted(num_otherwise, 'further picture')}: wrong by both, as different classes."
        blocks.append(s.Paragraph(note, is_note=True))
    return s.Section(name, f"Changed for the {way}: {number}", tuple(blocks))


def _picture(change: Change) -> s.Picture:
    answers = (
        ("first", change.first_predicted, change.first_probability),
        ("second", change.second_predicted, change.second_probability),
    )
    told = (
        (f"{which}: ", s.Strong(predicted), f" ({change.label} {figure(probability)})")
        for which, predicted, probability in answers
    )
    provenance = s.Provenance(change.path, change.group, change.sha256)
    return s.Picture((change.path,), (("is ", s.Strong(change.label)), *told), (provenance,))
