"""Sections of the model card that speak of the analyses; each says what was measured, or is not there."""

from evaluation.analyses.calibration import Calibration
from evaluation.analyses.fairness import Fairness
from evaluation.analyses.label_review import LabelReview
from evaluation.analyses.robustness import Robustness
from evaluation.analyses.threshold import DefectDetection
from evaluation.analyses.weak_slices import SliceSearch
from evaluation.document import Figure
from evaluation.evaluation import Evaluation
from evaluation.model_review import ModelReview
from evaluation.pages.markdown import code, inline, paragraph
from evaluation.pages.wording import (
    conditions_in_words,
    counted,
    estimate_in_words,
    figure,
    number,
    p_value,
    percentage,
    points,
    setting,
    share_of_resamples,
    signed_interval,
    without_errors_in_words,
)

_MAX_WEAK = 5
_MAX_PICTURES = 3  # named for each weak slice


def analyses(evaluation: Evaluation, temperature: float, review: ModelReview | None) -> list[str]:
    """Return the sections of what was analysed, in the card's order."""
    parts = [
        evaluation.calibration and calibration_section(evaluation.calibration, evaluation, temperature),
        evaluation.detection and detection_section(evaluation.detection),
        evaluation.fairness and fairness_section(evaluation.fairness),
        evaluation.label_review and labels_section(evaluation.label_review),
        review and robustness_section(review.robustness, evaluation.num_images),
        review and attention_section(review),
    ]
    return [part for part in parts if part]


def calibration_section(calibration: Calibration, evaluation: Evaluation, temperature: float) -> str:
    """Say whether the probabilities can be taken at their word."""
    gap = calibration.overconfidence
    level = share_of_resamples(evaluation.confidence)
    chance = calibration.expected_error_p_value
    if calibration.is_off_on_average and not evaluation.num_wrong:
        verdict = without_errors_in_words(calibration, evaluation)
    elif calibration.is_off_on_average and gap.value is not None:
        way = "surer than it is right" if gap.value > 0 else "less sure than it is right"
        verdict = (
            f"**Probabilities are not to be taken at their word:** on the test images the model is on average "
            f"{points(abs(gap.value))} {way} ({level} interval of stated minus actual {signed_interval(gap)})."
        )
    elif calibration.is_miscalibrated and chance is not None:
        verdict = (
            "**Probabilities are not to be taken at their word:** on the test images, calibrated ones would show an "
            f"expected calibration error as large with a chance of {p_value(chance)}. Stated probability minus "
            f"accuracy, in which gaps of opposite sign cancel out, is {estimate_in_words(gap)} on average and would "
            "not show it."
        )
    else:
        verdict = (
            f"On the test images, stated probability minus accuracy is {estimate_in_words(gap)} on average: no overall "
            "over- or underconfidence is shown."
        )
        if chance is not None:
            verdict += (
                " Nor is a miscalibration of some probabilities only: calibrated ones would show an expected "
                f"calibration error as large with a chance of {p_value(chance)}."
            )
    lines = [
        "## Calibration", "", verdict, "", "| figure | test images |", "|---|---:|",
        f"| Expected calibration error ({len(calibration.bins)} occupied bins) | "
        f"{estimate_in_words(calibration.expected_error)} |",
        f"| Brier score (0 to 2) | {estimate_in_words(calibration.brier)} |",
        "", f"Logits are divided by the contract's temperature, {number(temperature)}, before the softmax.",
    ]  # fmt: skip
    return "\n".join(lines)


def detection_section(detection: DefectDetection) -> str:
    """Give the thresholds for 'defect or not' and what they cost."""
    rows = [
        ("most probable class", "-", detection.at_most_probable),
        (f"at most {percentage(detection.max_miss_rate)} missed", number(detection.chosen.threshold), detection.chosen),
        ("least cost", number(detection.cheapest.threshold), detection.cheapest),
    ]
    table = [
        f"| {name} | {threshold} | {estimate_in_words(point.miss_rate)} | "
        f"{estimate_in_words(point.false_alarm_rate)} | {estimate_in_words(point.f1)} | {_cost_in_words(point.cost)} |"
        for name, threshold, point in rows
    ]
    normal = inline(detection.normal_class)
    return "\n".join(
        [
            "## Defect or not",
            "",
            f"Every class but {normal} counts as a defect: {detection.num_defects} defective and "
            f"{detection.num_normal} normal test images. The threshold is on one minus the probability of {normal}, "
            f"set on the validation images ({detection.num_fitting_defects} defective). Cost: "
            f"{setting(detection.miss_cost)} for a missed defect, {setting(detection.false_alarm_cost)} for a false "
            "alarm.",
            "",
            "| rule | threshold | missed | false alarms | F1 | cost a picture |",
            "|---|---:|---:|---:|---:|---:|",
            *table,
            "",
            f"Area under the ROC curve: {estimate_in_words(detection.roc_auc)}; average precision: "
            f"{estimate_in_words(detection.average_precision)}.",
        ]
    )


def _cost_in_words(cost: Figure) -> str:
    """Write a cost with its interval; a cost may be far above 1."""
    if cost.low is None or cost.high is None:
        return f"{number(cost.value)} (no interval)"
    return f"{number(cost.value)} ({number(cost.low)}–{number(cost.high)})"


def weak_slices(search: SliceSearch, hashes: dict[str, str]) -> list[str]:
    """Name the slices that are weaker than the rest, with the surest errors in each.

    hashes: picture's path -> SHA-256.
    """
    if not search.num_tested:
        return ["", f"No slice has {search.min_images} test images of {search.min_groups} groups: none was compared."]
    looked = f"{counted(search.num_tested, 'slice')} compared with the rest ({search.correction}, {search.alpha:g})"
    weak = [part for part in search.slices if part.is_weak][:_MAX_WEAK]
    if not weak:
        return ["", f"{looked}: none is weaker beyond what that many looks would find by chance."]
    lines = ["", f"{looked}: {search.num_weak} weaker beyond what that many looks would find by chance:"]
    lines += ["", "| slice | images (groups) | accuracy | rest | adjusted p |", "|---|---:|---:|---:|---:|"]
    for part in weak:
        lines.append(
            f"| {inline(conditions_in_words(part.conditions))} | {part.num_images} ({part.num_groups}) | "
            f"{estimate_in_words(part.accuracy)} | {estimate_in_words(part.rest_accuracy)} | "
            f"{p_value(part.adjusted_p_value)} |"
        )
    if search.num_weak > len(weak):
        lines += ["", f"{len(weak)} of {search.num_weak}: slices of one condition first, then by p."]
    for part in weak:
        lines += ["", f"Surest errors where {inline(conditions_in_words(part.conditions))}:", ""] if part.wrong else []
        lines += [
            f"- {code(item.path)} (SHA-256 {code(hashes[item.path][:12])}): {inline(item.label)} called "
            f"{inline(item.predicted)}, {figure(item.probability)}"
            for item in part.wrong[:_MAX_PICTURES]
        ]
    return lines


def fairness_section(fairness: Fairness) -> str:
    """Give the fairness figures, or say why there are none."""
    if not fairness.applies:
        return f"## Fairness\n\nDoes not apply. {paragraph(fairness.reason)}"
    lines = ["## Fairness", "", f"By {inline(fairness.attribute)}, over {len(fairness.outcomes)} outcomes.", ""]
    lines += ["| called | disparate impact | equal opportunity, difference | equalised odds, difference |"]
    lines += ["|---|---:|---:|---:|"]
    for outcome in fairness.outcomes:
        figures = (
            outcome.disparate_impact,
            outcome.equal_opportunity_difference,
            outcome.equalized_odds_difference,
        )
        lines.append(f"| {inline(outcome.outcome)} | {' | '.join(map(estimate_in_words, figures))} |")
    return "\n".join(lines)


def labels_section(review: LabelReview) -> str:
    """Say how many labels and pictures a person should look at again."""
    return (
        "## Labels\n\n"
        f"Among {counted(review.num_checked, 'validation and test image')}, the model disagrees with "
        f"{counted(review.num_label_issues, 'label')} so surely that a person should look; "
        f"{counted(review.num_near_duplicates, 'pair')} of images in different splits correlate above "
        f"{review.near_duplicate_correlation:g}; {_contradictions(review)}"
        f"{counted(review.num_outliers, 'image')} lie more than "
        f"{setting(review.outlier_deviation)} robust standard deviations from the others. They were not corrected or "
        "left out: the figures above are of the labels as they are."
    )


def _contradictions(review: LabelReview) -> str:
    number = review.num_contradictions
    return f"{counted(number, 'pair')} of files show the same picture under two labels; " if number else ""


def robustness_section(robustness: Robustness, num_test_images: int) -> str:
    """Give accuracy with its interval at every level of every change."""
    drawn = (
        f" These are drawn from the {num_test_images} class by class, so that classes are more even than among all: "
        "figures here compare with each other, not with those above."
    )
    lines = [
        "## When pictures get worse", "",
        f"The exported model on {counted(robustness.num_images, 'test image')} of "
        f"{counted(robustness.num_groups, 'group')}, changed step by step; accuracy unchanged "
        f"{estimate_in_words(robustness.unchanged.accuracy)}."
        f"{drawn if robustness.num_images < num_test_images else ''}",
        "", "| change | accuracy by level |", "|---|---|",
    ]  # fmt: skip
    for curve in robustness.curves:
        levels = "; ".join(f"{setting(p.level)}: {estimate_in_words(p.accuracy)}" for p in curve.points)
        lines.append(f"| {inline(curve.change)} ({inline(curve.unit)}) | {levels} |")
    return "\n".join(lines)


def attention_section(review: ModelReview) -> str:
    """Say how far the answer hangs on what the mask marks; nothing without masks."""
    agreement = review.attention.mask_agreement
    if agreement is None:
        return ""
    return (
        "## Where it looks\n\n"
        f"Over {counted(agreement.num_images, 'correctly recognised test image')} with a mask, "
        f"{estimate_in_words(agreement.share_in_mask)} of what the answer hangs on (found by covering squares of "
        f"{review.attention.patch_px} pixels) lies inside the mask; chance would put "
        f"{estimate_in_words(agreement.chance)} there."
    )
