"""Sections of report and model card on a detection model's boxes."""

from evaluation.boxes.document import BoxResult, BoxResults, Precisions, SizeResult, WorstBoxes
from evaluation.boxes.figures import NAMES
from evaluation.crops.document import BehindDetector, NamedObjects
from evaluation.document import Estimate
from evaluation.evaluation import Evaluation
from evaluation.outlines.document import Kind
from evaluation.pages import sections as s
from evaluation.pages.found_blocks import (
    ROWS_IN_CARD,
    FoundWords,
    attribute_blocks,
    found_blocks,
    shown,
    slice_cell,
    worst_section,
)
from evaluation.pages.wording import confidence, counted, figure, setting

_ANY = "Any object"
_MEAN = "Mean over objects"
_TITLES = dict(zip(NAMES, ("AP", "AP 0.50", "AP 0.75", "AR 1", "AR 10", "AR 100"), strict=True))
_WORDS = FoundWords("Object", _ANY, "object", "candidates", "Area in square pixels of the image")
_RULES = {"coco": "COCO's sizes", "thirds": "a third of the objects each"}


def box_sections(evaluation: Evaluation) -> tuple[s.Section, ...]:
    """Say what the boxes are worth, or why that was not measured; nothing for a model without boxes."""
    boxes = evaluation.boxes
    if boxes is None:
        told = (s.Paragraph(evaluation.no_boxes),)
        return (s.Section("boxes", "Boxes", told),) if evaluation.no_boxes else ()
    blocks = (*_precisions(boxes, confidence(evaluation)), *_by_size(boxes), *_by_attribute(boxes, evaluation))
    return s.Section("boxes", "Boxes", blocks), _answered(boxes), _worst(boxes)


def behind_sections(behind: BehindDetector | None) -> tuple[s.Section, ...]:
    """Say what a classifier of crops is worth behind a detector; nothing where that was not measured."""
    if behind is None:
        return ()
    small = behind.num_too_small
    told = s.prose(
        f"The boxes that the detector answers in {counted(behind.num_images, 'test image')} of "
        f"{counted(behind.num_groups, 'group')} were cut out and named as the service does it. An object is found if a "
        "box overlaps it by an intersection over union of at least 0.5, whatever the detector calls it. The figures of "
        "all other sections are of crops of true boxes.",
        f"{_boxes(small)} that {'finds' if small == 1 else 'find'} an object {'is' if small == 1 else 'are'} too small "
        "to be named, which counts as a wrong name."
        if small
        else "",
    )
    has_own = any(one.detector_right_of_found for one in behind.results)
    header = ("Object", "Found", "Named right, of those found", "Found and named right, of all")
    rows = tuple(
        (
            _name(one),
            f"{one.num_found}",
            s.measured(one.right_of_found),
            s.measured(one.right_of_all),
            *((s.measured(one.detector_right_of_found),) if one.detector_right_of_found else ()),
        )
        for one in behind.results
    )
    own = ("Named right by the detector itself, of those found",) if has_own else ()
    blocks = (s.Paragraph(told), s.Table((*header, *own), rows, in_card=ROWS_IN_CARD))
    return (s.Section("behind", "Behind the detector", blocks),)


def box_tiles(boxes: BoxResults) -> list[tuple[str, Estimate]]:
    """Return the figures on top of a report."""
    return [("AP", boxes.mean.ap), ("AP at IoU 0.50", boxes.mean.ap50), ("Objects found", boxes.any_object.recall)]


def box_figures(boxes: BoxResults | None) -> dict[str, Estimate]:
    """Return the figures that stand beside those of other pictures or folds, by their titles."""
    if boxes is None:
        return {}
    whole = boxes.any_object
    named = {f"{_TITLES[name]}, mean over objects": getattr(boxes.mean, name) for name in ("ap", "ap50", "ar100")}
    named |= {f"{title}, any object": getattr(whole, title.lower()) for title in ("Precision", "Recall", "F1")}
    for at in boxes.any_found.recall_at:
        named[f"Objects found at {setting(at.false_alarms)} false alarms an image, any object"] = at.recall
    if len(boxes.objects) > 1:
        named |= {f"{_TITLES['ap50']} of {one.name}": one.precisions.ap50 for one in boxes.results[1:]}
    return named


def score_in_words(threshold: float | None) -> str:
    """Say which boxes are answered."""
    if threshold is None:
        return "Each fold's model has a threshold of its own, from which on a box is answered."
    return f"A box is answered where its score reaches the contract's threshold, {setting(threshold)}."


def _precisions(boxes: BoxResults, level: str) -> tuple[s.Block, ...]:
    unknown, ignored = boxes.num_unknown, boxes.num_ignored
    told = s.prose(
        f"The boxes in {counted(boxes.num_images, 'test image')} of {counted(boxes.num_groups, 'group')}, "
        f"{boxes.num_marked} of them with an object, are compared with the true ones in the images' own pixels, as "
        "COCO does. For AP all candidates count, whatever their score.",
        f"{counted(unknown, 'further test image')} {'was' if unknown == 1 else 'were'} left out: an object is there "
        "and nobody has said where."
        if unknown
        else "",
        f"{_boxes(ignored)} of the data {'is' if ignored == 1 else 'are'} ignored: what lies there is neither right "
        "nor wrong."
        if ignored
        else "",
    )
    rows: list[tuple[s.Line | s.Cell, ...]] = [_row(one) for one in shown(boxes.results)]
    if len(boxes.objects) > 1:
        rows.append((_MEAN, *_cells(boxes.mean)))
    notes = (
        "AP: average precision, the mean of precision over recall, read at 101 recalls, as mean over intersections "
        "over union of 0.50 to 0.95 in steps of 0.05, and at 0.50 and 0.75 alone. AR: recall as mean over the same, of "
        "the 1, 10 and 100 best boxes of each image. "
        + ("Any object: whatever it was called. " if len(boxes.objects) > 1 else "")
        + f"Beside a figure: its {level} interval over groups; it is undefined for an object that no test image has."
    )
    return (
        s.Paragraph(told),
        s.Table(("Object", *_TITLES.values()), tuple(rows), in_card=ROWS_IN_CARD),
        s.Paragraph(notes, is_note=True),
    )


def _boxes(number: int) -> str:
    return "1 box" if number == 1 else f"{number} boxes"


def _row(one: BoxResult) -> tuple[s.Line | s.Cell, ...]:
    return _name(one), *_cells(one.precisions)


def _name(one: BoxResult | NamedObjects) -> s.Cell:
    counts = f"{counted(one.num_objects, 'object')}, {counted(one.num_groups, 'group')}"
    return s.Cell(one.name or _ANY, counts)


def _cells(precisions: Precisions) -> tuple[s.Cell, ...]:
    return tuple(s.measured(getattr(precisions, name)) for name in NAMES)


def _by_size(boxes: BoxResults) -> tuple[s.Block, ...]:
    rows = tuple(
        (
            s.Cell(f"{_RULES[one.rule]}: {_range(one)}", counted(one.num_objects, "object")),
            s.measured(one.ap),
            s.measured(one.ar100),
        )
        for one in boxes.sizes
    )
    header = s.Cell("Area in square pixels of the image", "mean over objects"), _TITLES["ap"], _TITLES["ar100"]
    return s.Heading("By size"), s.Table(header, rows)


def _range(one: SizeResult) -> str:
    if one.high_px is None:
        return f"{setting(one.low_px)} and more"
    to = "to" if one.rule == "coco" else "to below"  # COCO's sizes share their ends
    return f"{setting(one.low_px)} {to} {setting(one.high_px)}"


def _by_attribute(boxes: BoxResults, evaluation: Evaluation) -> tuple[s.Block, ...]:
    rows = tuple(
        (slice_cell(part, counted(part.num_objects, "object")), s.measured(part.ap50), s.measured(part.f1))
        for part in boxes.slices
    )
    header = "Test images with", f"{_TITLES['ap50']} of any object", "F1 of any object"
    return attribute_blocks(header, rows, boxes.num_smaller_slices, evaluation)


def _answered(boxes: BoxResults) -> s.Section:
    """Say which objects are found and how many false alarms are raised."""
    told = s.prose(
        score_in_words(boxes.threshold),
        "It is right if it is the surest one on an object, and the intersection over union of both is at least 0.5; a "
        "second box on one object is a false alarm.",
        "It must be called as the object is, but for the row of any object." if len(boxes.objects) > 1 else "",
    )
    rows = tuple(
        (
            s.Cell(one.name or _ANY, f"{one.num_right} of {_boxes(one.num_boxes)} right"),
            *(s.measured(estimate) for estimate in (one.precision, one.recall, one.f1)),
        )
        for one in shown(boxes.results)
    )
    blocks = (
        s.Paragraph(told),
        s.Table(("Object", "Precision", "Recall", "F1"), rows, in_card=ROWS_IN_CARD),
        s.Paragraph("Below, what is found at a number of false alarms may score less than the threshold."),
        *found_blocks(boxes.found, _WORDS),
    )
    return s.Section("objects", "Objects found", blocks)


def _worst(boxes: BoxResults) -> s.Section:
    """Show the pictures whose boxes are worst."""
    told = (
        "Left the image, right the same with its boxes: ", s.Strong("green"), " is there, with a thick line where it "
        "is missed, ", s.Strong("orange"), " is answered and should not be, ", s.Strong("yellow"),
        " is right, and what is grey does not count. First one image of every group, then the next of every group.",
    )  # fmt: skip
    headings: dict[Kind, str] = {"miss": "Lowest F1", "false_alarm": "Answered where nothing is"}
    return worst_section("Worst boxes", told, headings, [(item.kind, _picture(item)) for item in boxes.worst])


def _picture(item: WorstBoxes) -> s.Picture:
    missed, wrong = item.num_objects - item.num_right, item.num_boxes - item.num_right
    counts = f"missed {missed} of {counted(item.num_objects, 'object')}, {wrong} too many"
    lines: tuple[s.Line, ...] = (
        ("is ", s.Strong(item.label), *((f", F1 {figure(item.f1)}",) if item.num_objects else ())),
        counts if item.num_objects else f"{_boxes(item.num_boxes)} answered",
    )
    return s.Picture((item.picture,), lines, (s.Provenance(item.path, item.group, item.sha256),))
