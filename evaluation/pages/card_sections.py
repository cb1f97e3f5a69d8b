"""Sections of the model card that speak of data and results."""

from dataclasses import dataclass

from dataset.description import DataDescription
from dataset.manifest import SPLITS, Manifest
from evaluation.evaluation import Evaluation
from evaluation.pages.card_analyses import weak_slices
from evaluation.pages.markdown import inline, paragraph
from evaluation.pages.wording import (
    OVERALL_NAMES,
    confidence,
    confusion_in_words,
    counted,
    estimate_in_words,
    figure,
    interval,
    percentage,
)

_MAX_CONFUSIONS = 5
_MAX_SLICES = 5
_MAX_VALUES = 20  # of an attribute, listed by name
# With fewer groups a percentile bootstrap gives intervals that are too narrow; 10 is where the card begins to warn.
_FEW_GROUPS = 10


@dataclass(frozen=True)
class DataFacts:
    """The data set's own words and its manifest."""

    description: DataDescription
    manifest: Manifest

    def count(self, label: str, split: str) -> str:
        """Write `images (groups)` of one class in one split."""
        table = self.manifest.table
        rows = table[(table["label"] == label) & (table["split"] == split)]
        return f"{len(rows)} ({rows['group'].nunique()})"

    def values(self, attribute: str) -> list[str]:
        """Return an attribute's distinct values, sorted; the empty one is left out."""
        return sorted(set(self.manifest.table[f"attributes.{attribute}"]) - {""})


def data_section(facts: DataFacts) -> str:
    """Say what the data are and how many images and groups each class has in each split."""
    description = facts.description
    lines = ["## Data", "", paragraph(f"{description.title} ({description.name}). {description.summary}")]
    if description.collection:
        lines += ["", paragraph(description.collection)]
    if description.max_value is not None:
        lines += ["", f"Samples of 16 bits go from 0 to {description.max_value}, in training and in the service."]
    table = facts.manifest.table
    sizes = f"{counted(len(table), 'image')} of {counted(table['group'].nunique(), 'group')}"
    lines += ["", f"{sizes}. A group: {paragraph(description.group_meaning)}"]
    if description.likeness:
        lines += [paragraph(description.likeness), ""]
    lines += ["Images per class and split, groups in brackets:", ""]
    lines += [f"| class | {' | '.join(SPLITS)} |", "|---|---:|---:|---:|"]
    for name in facts.manifest.classes:
        lines.append(f"| {inline(name)} | {' | '.join(facts.count(name, split) for split in SPLITS)} |")
    for attribute in facts.manifest.attributes:
        values = facts.values(attribute)
        shown = ", ".join(inline(value) for value in values[:_MAX_VALUES])
        more = f" and {len(values) - _MAX_VALUES} more" if len(values) > _MAX_VALUES else ""
        lines += ["", f"Values of {inline(attribute)}: {shown}{more}."]
    if description.url:
        lines += ["", f"Source: <{description.url}>"]
    return "\n".join(lines)


def results_section(evaluation: Evaluation, by_image: Evaluation | None) -> str:
    """Give the figures with intervals, and both protocols side by side if both were measured."""
    lines = [
        "## How it was evaluated",
        "",
        "Split by group: all images of one group are either for training, for validation or for testing, so the "
        "figures are of groups the model has never seen. Intervals in brackets: "
        f"{confidence(evaluation)}, percentiles of {evaluation.bootstrap_samples} bootstrap resamples of "
        f"the {counted(evaluation.num_groups, 'test group')} (seed {evaluation.seed}).",
        "",
        f"## Results on {counted(evaluation.num_images, 'test image')} of {counted(evaluation.num_groups, 'group')}",
        "",
        *_headline_table(evaluation, by_image),
        "",
        f'Always answering "{inline(evaluation.majority_class)}" has an accuracy of '
        f"{figure(evaluation.majority_share)} on the same images.",
    ]
    if by_image and by_image.leaking:
        share = percentage(by_image.num_seen_in_training / by_image.num_images)
        lines += [
            "",
            "**The right-hand column leaks.** That split deals out images, not groups: "
            f"{by_image.num_seen_in_training} of its {counted(by_image.num_images, 'test image')} ({share}) show a "
            "group that the model was trained on. It is given for comparison with figures measured that way, and is no "
            "measure of new groups.",
        ]
    return "\n".join([*lines, "", *_class_table(evaluation)])


def _headline_table(evaluation: Evaluation, by_image: Evaluation | None) -> list[str]:
    if by_image is None:
        return ["| figure | split by group |", "|---|---:|", *_overall_rows(evaluation)]
    label = "split by image: LEAKING" if by_image.leaking else "split by image"
    lines = [f"| figure | split by group (headline) | {label} |", "|---|---:|---:|"]
    return lines + _overall_rows(evaluation, by_image)


def _overall_rows(*evaluations: Evaluation) -> list[str]:
    """Return one row for each figure over all classes that every evaluation measured, one column for each evaluation.

    A document written before a figure was measured has none.
    """
    measured = {title: [getattr(e, name) for e in evaluations] for name, title in OVERALL_NAMES.items()}
    return [
        f"| {title} | {' | '.join(map(estimate_in_words, estimates))} |"
        for title, estimates in measured.items()
        if None not in estimates
    ]


def _class_table(evaluation: Evaluation) -> list[str]:
    """Give each class its figures; average precision where the document holds it."""
    titles = {"precision": "precision", "recall": "recall", "f1": "F1", "average_precision": "average precision"}
    if any(result.average_precision is None for result in evaluation.per_class):
        del titles["average_precision"]
    lines = [f"| class | images (groups) | {' | '.join(titles.values())} |", "|---|---:|" + "---:|" * len(titles)]
    for result in evaluation.per_class:
        figures = [estimate_in_words(getattr(result, name)) for name in titles]
        lines.append(f"| {inline(result.name)} | {result.num_images} ({result.num_groups}) | {' | '.join(figures)} |")
    if "average_precision" in titles:
        lines += ["", "Average precision: of the class's probability against all other classes."]
    return lines


def all_folds_section(pooled: Evaluation, hashes: dict[str, str]) -> str:
    """Give the figures over all folds and the slices that are weak there.

    hashes: picture's path -> SHA-256.
    """
    lines = [
        f"## Over all folds: {counted(pooled.num_images, 'image')} of {counted(pooled.num_groups, 'group')}",
        "",
        "Every image of the data was answered once by a model that was trained in the same way, perhaps on more or "
        "fewer images, and never saw the image's group. The figures are of the way of training, not of this one model.",
        "",
        "| figure | all folds |",
        "|---|---:|",
        *_overall_rows(pooled),
        *(
            f"| F1 of {inline(result.name)}, {counted(result.num_images, 'image')} of "
            f"{counted(result.num_groups, 'group')} | {estimate_in_words(result.f1)} |"
            for result in pooled.per_class
        ),
    ]
    if pooled.slice_search:
        lines += weak_slices(pooled.slice_search, hashes)
    return "\n".join(lines)


def failures_section(evaluation: Evaluation, hashes: dict[str, str]) -> str:
    """Say in words what is taken for what, and which slices are worst.

    hashes: picture's path -> SHA-256.
    """
    lines = ["## Failure modes seen", ""]
    for confusion in evaluation.confusions[:_MAX_CONFUSIONS]:
        before, after = confusion_in_words(confusion, evaluation)
        lines.append(f"- {before} {inline(confusion.actual)} were called {inline(confusion.predicted)} {after}.")
    if not evaluation.confusions:
        lines.append("No test image was classified wrongly.")
    elif len(evaluation.confusions) > _MAX_CONFUSIONS:
        lines += ["", f"The most frequent {_MAX_CONFUSIONS} of {len(evaluation.confusions)} kinds of error."]
    never = [inline(c.name) for c in evaluation.per_class if not c.num_predicted]
    if never:
        lines += ["", f"Never answered on the test images: {', '.join(never)}."]
    if evaluation.slice_search:
        lines += weak_slices(evaluation.slice_search, hashes)
    if evaluation.slices:
        lines += ["", "Slices with the lowest accuracy:", "", "| slice | images (groups) | accuracy | macro-F1 |"]
        lines.append("|---|---:|---:|---:|")
        for part in evaluation.slices[:_MAX_SLICES]:
            name = f"{inline(part.attribute)}: {inline(part.value) or 'not stated'}"
            count = f"{part.num_images} ({part.num_groups})"
            figures = f"{estimate_in_words(part.accuracy)} | {estimate_in_words(part.macro_f1)}"
            lines.append(f"| {name} | {count} | {figures} |")
    return "\n".join(lines)


def limits_section(evaluation: Evaluation, facts: DataFacts, is_reviewed: bool, has_all_folds: bool) -> str:
    """Say how thin the evidence is, computed from the counts, and what was not measured at all."""
    lines = ["## Limits", ""]
    few = [c for c in evaluation.per_class if c.num_groups < _FEW_GROUPS]
    if few:
        named = ", ".join(f"{inline(c.name)} ({c.num_groups})" for c in few)
        lines.append(
            f"- Classes with fewer than {_FEW_GROUPS} test groups: {named}. Their figures rest on few objects, and "
            "bootstrap intervals over so few are too narrow."
        )
    if evaluation.num_resamples_missing_a_class:
        lines.append(
            f"- In {evaluation.num_resamples_missing_a_class} of {evaluation.bootstrap_samples} resamples some class "
            "had no image; averages over classes then run over the others."
        )
    flat = [inline(c.name) for c in evaluation.per_class if c.recall.low is not None and c.recall.low == c.recall.high]
    if flat:
        lines.append(
            f"- The interval of recall has no width for {', '.join(flat)}: all test groups agree, "
            "which is no certainty."
        )
    widest = [c for c in evaluation.per_class if c.recall.low is not None and c.recall.high is not None]
    if widest:
        worst = max(widest, key=lambda c: (c.recall.high or 0) - (c.recall.low or 0))
        lines.append(f"- The least certain recall is that of {inline(worst.name)}: {interval(worst.recall)}.")
    runs, others = ("One seed", "seed") if has_all_folds else ("One training run on one split", "seed or split")
    lines += [
        f"- {runs} was measured: how much the figures vary with another {others} is not.",
        f"- Not measured: {', '.join(_unmeasured(evaluation, is_reviewed))}.",
    ]
    if not facts.manifest.attributes:
        searched = evaluation.slice_search.attributes if evaluation.slice_search else ()
        sliced = f"slices are by {', '.join(map(inline, searched))} only" if searched else "no slices were measured"
        lines.append(f"- The data name no attributes: {sliced}.")
    return "\n".join(lines)


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
