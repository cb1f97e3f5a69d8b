"""Sections that only the model card has: what it is for, the data, and the limits of what was measured."""

from dataset.description import DataDescription
from dataset.manifest import SPLITS, Manifest
from evaluation.evaluation import Evaluation
from evaluation.pages.box_sections import score_in_words
from evaluation.pages.outline_sections import threshold_in_words
from evaluation.pages.sections import Block, Bullets, Line, Link, Paragraph, Section, Table
from evaluation.pages.wording import counted, interval, sentence
from runtime.model.contract import DetectionContract, ModelContract, SegmentationContract

_MAX_VALUES = 20  # of an attribute, listed by name
# With fewer groups a percentile bootstrap gives intervals that are too narrow; 10 is where the card begins to warn.
_FEW_GROUPS = 10


def purpose_sections(contract: ModelContract, data: DataDescription, manifest: Manifest) -> tuple[Section, Section]:
    """Say what the model is for and what not."""
    others = f", or with other values of {', '.join(manifest.attributes)}" if manifest.attributes else ""
    num_classes = len(contract.classes)
    names = f"{num_classes} classes and a probability for each: {', '.join(contract.classes)}."
    fit = f"It is for pictures like those it was measured on: {sentence(data.summary)}"
    size = (
        f"Pictures of any size are read as RGB and brought to {contract.height} × {contract.width} pixels (height × "
        f"width, {contract.resize}, {contract.interpolation})."
    )
    not_for = [
        'Anything that is none of these classes: the model has no answer for "something else" and will name one of the '
        f"{num_classes}.",
        f"Pictures from another source than the data below{others}: nothing was measured on them.",
    ]
    if isinstance(contract, SegmentationContract):
        use = (
            f"Given one picture, the model outlines what it shows of {', '.join(contract.regions)}: for each connected "
            "part what it is, a score, a box, an area and a mask of the picture's own size. It also answers one of "
            f"{names} {fit}"
        )
        size += f" {threshold_in_words(contract.threshold, contract.min_region_px)}"
        not_for.append(
            f"Outlines finer than the network's input of {contract.height} × {contract.width} pixels: they are brought "
            "to the picture's own size and gain no detail there."
        )
    elif isinstance(contract, DetectionContract):
        use = (
            f"Given one picture, the model finds what it shows of {', '.join(contract.objects)}: for each object what "
            f"it is, a score and a box in the picture's own pixels, at most {contract.max_boxes} of them. It also "
            f"answers one of {names} {fit}"
        )
        size += f" {score_in_words(contract.threshold)}"
        not_for.append(
            f"Objects that are a few pixels wide in the network's input of {contract.height} × {contract.width} pixels "
            "or whose outline matters, not their box."
        )
    elif contract.subject == "crop":
        use = (
            "Given a crop of a picture around one object, which a detector found, the model answers with one of "
            f"{names} A crop has {100 * contract.crop_margin:g}% of the box's sides around it. {fit}"
        )
        not_for.append("Whole pictures: it has seen crops alone, and stands behind a detector.")
    else:
        use = f"Given one picture, the model answers with one of {names} {fit}"
        not_for.append(
            "Where in a picture a thing lies, or how many there are: the answer is one class for the whole picture."
        )
    return (
        Section("purpose", "What it is and what it is for", (Paragraph(use), Paragraph(size))),
        Section("not-for", "What it is not for", (Bullets(tuple(not_for)),)),
    )


def data_section(description: DataDescription, manifest: Manifest) -> Section:
    """Say what the data are and how many images and groups each class has in each split."""
    table = manifest.table
    blocks: list[Block] = [Paragraph(sentence(f"{description.title} ({description.name}). {description.summary}"))]
    if description.collection:
        blocks.append(Paragraph(sentence(description.collection)))
    if description.max_value is not None:
        deep = f"Samples of 16 bits go from 0 to {description.max_value}, in training and in the service."
        blocks.append(Paragraph(deep))
    sizes = f"{counted(len(table), 'image')} of {counted(table['group'].nunique(), 'group')}."
    blocks.append(Paragraph(f"{sizes} Images per class and split, groups in brackets:"))
    rows = tuple((name, *(_count(manifest, name, split) for split in SPLITS)) for name in manifest.classes)
    blocks.append(Table(("Class", *SPLITS), rows))
    for attribute in manifest.attributes:
        values = sorted(set(table[f"attributes.{attribute}"]) - {""})
        more = f" and {len(values) - _MAX_VALUES} more" if len(values) > _MAX_VALUES else ""
        blocks.append(Paragraph(f"Values of {attribute}: {', '.join(values[:_MAX_VALUES])}{more}."))
    if description.url:
        blocks.append(Paragraph(("Source: ", Link(description.url))))
    return Section("data", "Data", tuple(blocks))


def _count(manifest: Manifest, label: str, split: str) -> str:
    rows = manifest.table[(manifest.table["label"] == label) & (manifest.table["split"] == split)]
    return f"{len(rows)} ({rows['group'].nunique()})"


def limits_section(evaluation: Evaluation, manifest: Manifest, is_reviewed: bool, has_all_folds: bool) -> Section:
    """Say how thin the evidence is, computed from the counts, and what was not measured at all."""
    lines: list[Line] = []
    few = [f"{result.name} ({result.num_groups})" for result in evaluation.per_class if result.num_groups < _FEW_GROUPS]
    if few:
        lines.append(
            f"Classes with fewer than {_FEW_GROUPS} test groups: {', '.join(few)}. Their figures rest on few objects, "
            "and bootstrap intervals over so few are too narrow."
        )
    recalls = [(result.name, result.recall) for result in evaluation.per_class if result.recall.low is not None]
    flat = [name for name, recall in recalls if recall.low == recall.high]
    if flat:
        lines.append(
            f"The interval of recall has no width for {', '.join(flat)}: all test groups agree, which is no certainty."
        )
    if recalls:
        name, recall = max(recalls, key=lambda of: (of[1].high or 0) - (of[1].low or 0))
        lines.append(f"The least certain recall is that of {name}: {interval(recall)}.")
    runs, others = ("One seed", "seed") if has_all_folds else ("One training run on one split", "seed or split")
    lines += [
        f"{runs} was measured: how much the figures vary with another {others} is not.",
        f"Not measured: {', '.join(_unmeasured(evaluation, is_reviewed))}.",
    ]
    if not manifest.attributes:
        searched = evaluation.slice_search.attributes if evaluation.slice_search else ()
        sliced = f"slices are by {', '.join(searched)} only" if searched else "no slices were measured"
        lines.append(f"The data name no attributes: {sliced}.")
    return Section("limits", "Limits", (Bullets(tuple(lines)),))


def _unmeasured(evaluation: Evaluation, is_reviewed: bool) -> list[str]:
    """Name the analyses that were not made."""
    made = {
        "whether the probabilities are calibrated": evaluation.calibration is not None,
        "a threshold for defect or not": evaluation.detection is not None or bool(evaluation.no_detection),
        "slices by the pictures' own properties": evaluation.slice_search is not None,
        "whether the labels are right": evaluation.label_review is not None,
        "robustness to blur, noise, compression or other changes of the picture": is_reviewed,
        "where the model looks": is_reviewed,
    }
    return [
        *(what for what, is_made in made.items() if not is_made),
        "how pictures of none of the classes are answered",
    ]
