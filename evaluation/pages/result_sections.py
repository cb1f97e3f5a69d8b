"""Sections of report and model card on the figures, classes and errors of an evaluation."""

from dataset.description import DataDescription
from evaluation.document import Estimate
from evaluation.evaluation import Evaluation
from evaluation.pages import sections as s
from evaluation.pages.box_sections import box_figures
from evaluation.pages.outline_sections import outline_figures
from evaluation.pages.plots import HeadlinePlots
from evaluation.pages.slice_sections import Hashes, mistake, search_blocks
from evaluation.pages.wording import HEADLINE_NAMES, OVERALL_NAMES, confidence, counted, figure, percentage, sentence

_MAX_KINDS_OF_ERROR = 10


def method_section(evaluation: Evaluation, description: DataDescription) -> s.Section:
    """Say how the data were split and where intervals come from."""
    asked = evaluation.asked_model
    text = s.prose(
        "The data are split by group: all images of one group are either for training, for validation or for testing.",
        sentence(f"A group: {description.group_meaning}"),
        description.likeness and sentence(description.likeness),
        "So the figures say how the model does on groups that it has never seen. Intervals are bootstrapped over the "
        f"{counted(evaluation.num_groups, 'test group')}, not over images, because images of one group are right or "
        f"wrong together: {confidence(evaluation)} intervals, percentiles of {evaluation.bootstrap_samples} resamples "
        f"(seed {evaluation.seed}).",
        ("The answers are those of ", s.Code(asked.asked), ", ONNX file SHA-256 ", s.Code(asked.onnx_sha256), ".")
        if asked
        else "",
    )
    return s.Section("method", "How this was measured", (s.Paragraph(text),), "Method")


def overall_section(evaluation: Evaluation, by_image: Evaluation | None, not_compared: str = "") -> s.Section:
    """Give the figures over all classes, of both protocols side by side if both were measured.

    not_compared: why `by_image` is None.
    """
    title = f"Results on {counted(evaluation.num_images, 'test image')} of {counted(evaluation.num_groups, 'group')}"
    if evaluation.outlines or evaluation.no_outlines or evaluation.boxes or evaluation.no_boxes:
        title = f"The image's own label: {title[0].lower()}{title[1:]}"
    majority = s.Paragraph(
        f"Always answering “{evaluation.majority_class}” has an accuracy of {figure(evaluation.majority_share)} on the "
        "same images."
    )
    if by_image is None:
        table = s.Table(("Figure", "Split by group"), _overall_rows(evaluation))
        note = s.prose("Not compared with a split by image.", not_compared.strip())
        return s.Section("results", title, (table, majority, s.Detail((s.Paragraph(note, is_note=True),))), "Results")
    label: s.Line = ("Split by image", s.Badge("LEAKING")) if by_image.leaking else "Split by image"
    both = (evaluation, by_image)
    rows = (
        *_overall_rows(*both),
        ("Test images", *(str(one.num_images) for one in both)),
        ("Test images of a group seen in training", *(str(one.num_seen_in_training) for one in both)),
    )
    header = ("Figure", s.Cell("Split by group", "the headline"), s.Cell(label, "for comparison only"))
    table = s.Table(header, rows, marked=2 if by_image.leaking else None)
    return s.Section("results", title, (table, *([_leak(by_image)] if by_image.leaking else []), majority), "Results")


def _leak(by_image: Evaluation) -> s.Box:
    seen, share = by_image.num_seen_in_training, percentage(by_image.num_seen_in_training / by_image.num_images)
    return s.Box(
        "Why the right-hand column leaks",
        (
            f"That split deals out images, not groups: {seen} of its {counted(by_image.num_images, 'test image')} "
            f"({share}) show a group that the model was trained on, so that it can answer by recognising the group. "
            "The column is given for comparison with published figures that were measured that way. It does not tell "
            "how the model does on new groups.",
        ),
    )


def _overall_rows(*evaluations: Evaluation) -> tuple[tuple[s.Line | s.Cell, ...], ...]:
    """Return a row for each figure over all classes that every evaluation measured, a column for each evaluation.

    A document written before a figure was measured has none.
    """
    rows = {title: [getattr(one, name) for one in evaluations] for name, title in OVERALL_NAMES.items()}
    return tuple((title, *map(s.measured, found)) for title, found in rows.items() if None not in found)


def folds_section(pooled: Evaluation, evaluation: Evaluation, hashes: Hashes) -> s.Section:
    """Give the figures over all folds beside those of the test split, and the slices that are weak there."""
    rows: list[tuple[s.Line | s.Cell, ...]] = [
        (title, s.measured(getattr(pooled, name)), s.measured(getattr(evaluation, name)))
        for name, title in HEADLINE_NAMES.items()
    ]
    tested_figures = outline_figures(evaluation.outlines) | box_figures(evaluation.boxes)
    for title, estimate in (outline_figures(pooled.outlines) | box_figures(pooled.boxes)).items():
        rows.append((title, s.measured(estimate), s.measured(tested_figures.get(title, Estimate(value=None)))))
    for result, tested in zip(pooled.per_class, evaluation.per_class, strict=True):
        counts = f"{counted(result.num_images, 'image')}, {counted(result.num_groups, 'group')}"
        rows.append((s.Cell(f"F1 of {result.name}", counts), s.measured(result.f1), s.measured(tested.f1)))
    blocks: list[s.Block] = [
        s.Paragraph(
            f"Every image of the data, {pooled.num_images} of {counted(pooled.num_groups, 'group')}, was answered once "
            "by a model that was trained in the same way, perhaps on more or fewer images, and never saw the image's "
            "group. These figures describe the way of training, not this one model; they rest on more groups than the "
            f"{evaluation.num_groups} of the test split."
        ),
        s.Table(("Figure", "All folds", s.Cell("Test split", "this model")), tuple(rows)),
        *(search_blocks(pooled.slice_search, hashes) if pooled.slice_search else ()),
    ]
    return s.Section("folds", "Over all folds", tuple(blocks), "All folds")


def classes_section(evaluation: Evaluation) -> s.Section:
    """Give each class its figures; average precision where the document holds it."""
    titles = {"precision": "Precision", "recall": "Recall", "f1": "F1", "average_precision": "Average precision"}
    notes = [
        f"Beside a figure: its {confidence(evaluation)} interval; none where fewer than two groups contribute to it."
    ]
    if any(result.average_precision is None for result in evaluation.per_class):
        del titles["average_precision"]
    else:
        notes.append("Average precision: of the class's probability against all other classes.")
    rows = []
    for result in evaluation.per_class:
        counts = f"{counted(result.num_images, 'image')}, {counted(result.num_groups, 'group')}"
        never = "" if result.num_predicted else "; never predicted"
        rows.append((s.Cell(result.name, counts + never), *(s.measured(getattr(result, name)) for name in titles)))
    table = s.Table(("Class", *titles.values()), tuple(rows))
    return s.Section("classes", "Classes", (table, s.Paragraph(" ".join(notes), is_note=True)))


def confusions_section(evaluation: Evaluation, plots: HeadlinePlots | None = None) -> s.Section:
    """Say in words what is taken for what; `plots` are those of the same evaluation."""
    blocks: list[s.Block] = []
    if plots:
        alt = (
            "Confusion matrix: rows are actual classes, columns predicted ones. The list below says the same in words."
        )
        blocks.append(s.Plots((s.Plot(lambda: plots.confusion, alt),)))
    kinds = evaluation.confusions[:_MAX_KINDS_OF_ERROR]
    blocks.append(s.Bullets(tuple(_confusion(evaluation, place) for place in range(len(kinds)))) if kinds else NO_ERROR)
    if len(evaluation.confusions) > len(kinds):
        note = f"The {len(kinds)} most frequent of {len(evaluation.confusions)} kinds of error."
        blocks.append(s.Paragraph(note, is_note=True))
    never = [result.name for result in evaluation.per_class if not result.num_predicted]
    if never:
        blocks.append(s.Paragraph(f"Never answered on the test images: {', '.join(never)}."))
    if plots:
        alt = "F1 of each class with its interval; the table above holds the numbers."
        blocks.append(s.Plots((s.Plot(lambda: plots.per_class_f1, alt),)))
    return s.Section("confusions", "What is taken for what", tuple(blocks), "Confusions")


NO_ERROR = s.Paragraph("No test image was classified wrongly.")


def _confusion(evaluation: Evaluation, place: int) -> s.Line:
    """Say what share of a class one kind of error takes."""
    kind = evaluation.confusions[place]
    actual = next(result for result in evaluation.per_class if result.name == kind.actual)
    share = percentage(kind.num_images / actual.num_images)
    return (
        f"{kind.num_images} of {counted(actual.num_images, 'image')} of ", s.Strong(kind.actual), " were called ",
        s.Strong(kind.predicted),
        f" ({share}; from {kind.num_groups} of {counted(actual.num_groups, 'group')}).",
    )  # fmt: skip


def errors_section(evaluation: Evaluation, hashes: Hashes) -> s.Section:
    """Show the wrong answers that the model was surest of."""
    num_shown, num_wrong = len(evaluation.wrong), evaluation.num_wrong
    if not num_shown:
        return s.Section("errors", "Worst errors", (s.Paragraph("There is none."),), in_card=False)
    which = (
        f"{num_shown} of {num_wrong} wrong answers"
        if num_shown < num_wrong
        else f"All {counted(num_wrong, 'wrong answer')}"
    )
    told = s.Paragraph(
        f"{which}: first the most confident of every group, then the next of every group. Beside a class stands the "
        "probability that the model gave it."
    )
    pictures = tuple(mistake(item, hashes) for item in evaluation.wrong)
    return s.Section("errors", "Worst errors", (told, s.Gallery(pictures)), in_card=False)


def fine_print_section(evaluation: Evaluation, description: DataDescription) -> s.Section:
    """Say what figures leave out and how they are defined."""
    missing = evaluation.num_resamples_missing_a_class
    points: list[s.Line] = [
        "Intervals cover chance in the choice of test groups, not chance in training."
        + (
            f" In {missing} of {evaluation.bootstrap_samples} resamples some class had no image; averages over classes "
            "then run over the others."
            if missing
            else ""
        ),
        "Macro-F1 is the plain mean over classes that occur among labels or predictions; balanced accuracy is the mean "
        "recall over classes that occur among labels. A class that is never predicted has no precision and counts with "
        "F1 = 0.",
        (
            *("Data: ", s.Code(description.name), ", manifest SHA-256 ", s.Code(evaluation.data_sha256)),
            f", {evaluation.data_version}." if evaluation.data_version else ".",
        ),
    ]
    return s.Section("print", "Fine print", (s.Bullets(tuple(points)),))
