"""Sections of report and model card on a segmentation model's outlines."""

from functools import partial

from evaluation.document import Estimate
from evaluation.evaluation import Evaluation
from evaluation.outlines.document import Outlines, WorstOutline
from evaluation.outlines.parts import LEAST_IOU
from evaluation.outlines.picture_sums import TOLERANCE
from evaluation.pages import sections as s
from evaluation.pages.curves import draw_pixel_reliability
from evaluation.pages.found_blocks import ROWS_IN_CARD, FoundWords, found_blocks, shown
from evaluation.pages.wording import (
    confidence,
    counted,
    estimate_in_words,
    figure,
    gain,
    setting,
    signed_interval,
)

_SLICES_IN_CARD = 5
_ANY = "Any region"
_MEASURES = ("IoU", "Dice", "Boundary F")

_WORDS = FoundWords("Region", _ANY, "defect", "parts", "Area in pixels of the network's input")


def outline_sections(evaluation: Evaluation) -> tuple[s.Section, ...]:
    """Say what the outlines are worth, or why that was not measured; nothing for a model without outlines."""
    outlines = evaluation.outlines
    if outlines is None:
        told = (s.Paragraph(evaluation.no_outlines),)
        return (s.Section("outlines", "Outlines", told),) if evaluation.no_outlines else ()
    blocks = (*_overlaps(outlines, confidence(evaluation)), *_by_attribute(outlines, evaluation))
    return s.Section("outlines", "Outlines", blocks), _objects(outlines), _pixels(outlines), _worst(outlines)


def outline_tiles(outlines: Outlines) -> list[tuple[str, Estimate]]:
    """Return the figures on top of a report."""
    whole = outlines.any_region
    return [("Dice", whole.dice), ("IoU", whole.iou), ("Defects found", outlines.any_object.recall)]


def outline_figures(outlines: Outlines | None) -> dict[str, Estimate]:
    """Return the figures that stand beside those of other pictures or folds, by their titles."""
    if outlines is None:
        return {}
    named = {f"{title}, any region": estimate for title, estimate in outline_tiles(outlines)}
    for at in outlines.any_object.recall_at:
        named[f"Defects found at {setting(at.false_alarms)} false alarms an image, any region"] = at.recall
    if len(outlines.regions) > 1:
        named |= {f"Dice of {part.name}": part.dice for part in outlines.overlaps[1:]}
    return named


def threshold_in_words(threshold: float | None, min_region_px: int | None) -> str:
    """Say which pixels are outlined."""
    if threshold is None or min_region_px is None:
        return "Each fold's model has a threshold of its own, from which on a pixel is outlined."
    small = f"; a connected part of fewer than {min_region_px} pixels is left out" if min_region_px > 1 else ""
    return (
        "A pixel is outlined where its probability to be of any region reaches the contract's threshold, "
        f"{setting(threshold)}, as the region that it is then most likely of{small}."
    )


def _overlaps(outlines: Outlines, level: str) -> tuple[s.Block, ...]:
    unknown = outlines.num_unknown
    told = s.prose(
        f"The answers to {counted(outlines.num_images, 'test image')} of {counted(outlines.num_groups, 'group')}, "
        f"{outlines.num_marked} of them with a region, are compared with the masks, pixel by pixel.",
        threshold_in_words(outlines.threshold, outlines.min_region_px),
        f"Pixels are those of the network's input, {outlines.width} × {outlines.height} (width × height), where the "
        "picture fills it. What a mask leaves open does not count.",
        f"{counted(unknown, 'further test image')} {'was' if unknown == 1 else 'were'} left out: a defect is there and "
        "no pixel of it is marked."
        if unknown
        else "",
    )
    rows = shown(outlines.overlaps)
    header = s.Cell("Region", "all test images together"), *_MEASURES
    pooled: list[tuple[s.Line | s.Cell, ...]] = [
        (_region(part.name), *map(s.measured, (part.iou, part.dice, part.boundary_f))) for part in rows
    ]
    if len(rows) > 1:
        pooled.append(("Mean over regions", s.measured(outlines.mean_iou), s.measured(outlines.mean_dice), ""))
    by_picture = tuple(
        (
            s.Cell(_region(part.name), f"{counted(part.num_images, 'image')}, {counted(part.num_groups, 'group')}"),
            *map(s.measured, (part.picture_iou, part.picture_dice, part.picture_boundary_f)),
        )
        for part in rows
    )
    notes = (
        "IoU: intersection over union. Dice: twice the intersection over the sum of both areas. Boundary F: harmonic "
        f"mean of the shares of both outlines that lie within {outlines.tolerance_px:.1f} pixels of the other, "
        f"{100 * TOLERANCE:g}% of the diagonal (Csurka et al. 2013). Beside a figure: its {level} interval over "
        "groups; it is undefined for a region that no test image has."
    )
    return (
        s.Paragraph(told),
        s.Table(header, tuple(pooled), in_card=ROWS_IN_CARD),
        s.Table((s.Cell("Region", "mean over the test images that have it"), *_MEASURES), by_picture, ROWS_IN_CARD),
        s.Paragraph(notes, is_note=True),
    )


def _region(name: str) -> str:
    return name or _ANY


def _by_attribute(outlines: Outlines, evaluation: Evaluation) -> tuple[s.Block, ...]:
    if not outlines.slices:
        return ()
    rows = tuple(
        (
            s.Cell(
                f"{part.attribute}: {part.value or 'not stated'}",
                f"{counted(part.num_images, 'image')}, {counted(part.num_groups, 'group')}",
            ),
            s.measured(part.dice),
        )
        for part in outlines.slices
    )
    smaller = outlines.num_smaller_slices
    note = f"{counted(smaller, 'slice')} of fewer than {evaluation.min_slice_images} images left out."
    return (
        s.Heading("By attribute"),
        s.Table(("Test images with", "Dice of any region"), rows, in_card=_SLICES_IN_CARD),
        *((s.Paragraph(note, is_note=True),) if smaller else ()),
    )


def _objects(outlines: Outlines) -> s.Section:
    """Say which defects are found and how many false alarms are raised."""
    told = s.prose(
        "A defect is a connected part of a mask. A connected part of the answer finds it if the intersection over "
        f"union of both is at least {LEAST_IOU:g} or its centre lies on the defect; a part that finds none is a false "
        "alarm.",
        "A part must be of the defect's region to find it, but for the row of any region; each region has its own "
        "false alarms."
        if len(outlines.regions) > 1
        else "",
        "Its score is the mean probability of its pixels to be of any region.",
    )
    return s.Section("objects", "Defects found", (s.Paragraph(told), *found_blocks(outlines.objects, _WORDS)))


def _pixels(outlines: Outlines) -> s.Section:
    """Say whether the probabilities of pixels can be taken at their word."""
    calibration = outlines.calibration
    gap = calibration.overconfidence
    told = (
        f"Over {calibration.num_px:,} pixels the mean probability to be of any region minus the share of pixels that "
        f"are is {gain(gap.value)} ({signed_interval(gap)}). The mean gap over bins of equal width is "
        f"{estimate_in_words(calibration.expected_error)}. Most pixels are plain background: without the first and the "
        f"last bin it is {estimate_in_words(calibration.doubtful_error)}."
    )
    bins = "; ".join(f"{figure(part.stated)} stated, {figure(part.true)} true" for part in calibration.bins)
    alt = f"Share of pixels that are of a region over the stated probability; {bins}."
    blocks = (s.Paragraph(told), s.Plots((s.Plot(partial(draw_pixel_reliability, calibration), alt),)))
    return s.Section("pixels", "Are the pixels' probabilities calibrated?", blocks, "Pixel calibration")


def _worst(outlines: Outlines) -> s.Section:
    """Show the pictures that were outlined worst."""
    name, title = "worst", "Worst outlines"
    if not outlines.worst:
        return s.Section(name, title, (s.Paragraph("There is none."),), in_card=False)
    told = (
        "Left the network's input, right what became of it: ", s.Strong("green"), " is missed, ", s.Strong("orange"),
        " is outlined and should not be, ", s.Strong("yellow"), " is right, and what is hatched in grey nobody knows. "
        "First one picture of every group, then the next of every group.",
    )  # fmt: skip
    blocks: list[s.Block] = [s.Paragraph(told)]
    titles = {"miss": "Lowest Dice", "false_alarm": "Outlined where nothing is marked"}
    for kind, heading in titles.items():
        pictures = tuple(_picture(item) for item in outlines.worst if item.kind == kind)
        if pictures:
            blocks += [s.Heading(heading), s.Gallery(pictures, source="drawn", is_wide=True)]
    return s.Section(name, title, tuple(blocks), in_card=False)


def _picture(item: WorstOutline) -> s.Picture:
    missed, wrong = item.there_px - item.overlap_px, item.found_px - item.overlap_px
    counts = f"missed {missed} of {counted(item.there_px, 'pixel')}, {wrong} too many" if item.there_px else ""
    lines: tuple[s.Line, ...] = (
        ("is ", s.Strong(item.label), *((f", Dice {figure(item.dice)}",) if item.there_px else ())),
        counts or f"{counted(item.found_px, 'pixel')} outlined",
    )
    return s.Picture((item.picture,), lines, (s.Provenance(item.path, item.group, item.sha256),))
