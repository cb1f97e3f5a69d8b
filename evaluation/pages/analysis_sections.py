"""Sections of report and model card on calibration, defect or not, and fairness."""

from functools import partial

from evaluation.analyses.calibration import Calibration
from evaluation.analyses.fairness import Fairness, OutcomeFairness
from evaluation.analyses.threshold import DefectDetection
from evaluation.evaluation import Evaluation
from evaluation.pages import sections as s
from evaluation.pages.curves import draw_reliability, draw_threshold
from evaluation.pages.wording import (
    counted,
    estimate_in_words,
    figure,
    gain,
    number,
    p_value,
    percentage,
    points,
    setting,
    share_of_resamples,
    signed_interval,
)

_FOUR_FIFTHS = 0.8  # below this the four-fifths rule sees disparate impact
NOT_MEASURED = (s.Paragraph("Not measured."),)


def calibration_section(evaluation: Evaluation, temperature: float | None = None) -> s.Section:
    """Say whether the probabilities are calibrated. temperature: of the contract, None where there is none yet."""
    name, title = "calibration", "Are the probabilities calibrated?"
    calibration = evaluation.calibration
    if calibration is None:
        return s.Section(name, title, NOT_MEASURED, "Calibration", in_card=False)
    bins = "; ".join(
        f"{figure(part.confidence)} stated, {figure(part.accuracy.value)} right in {part.num_images}"
        for part in calibration.bins
    )
    rows = (
        (
            s.Cell(
                "Expected calibration error",
                f"mean gap over {len(calibration.bins)} occupied bins; biased upwards for few images",
            ),
            s.measured(calibration.expected_error),
        ),
        (s.Cell("Brier score", "0 is perfect, 2 the worst"), s.measured(calibration.brier)),
        (s.Cell("Log loss", "nats"), s.measured(calibration.log_loss)),
    )
    notes = s.prose(
        f"Logits are divided by the contract's temperature, {number(temperature)}, before the softmax."
        if temperature is not None
        else "",
        f"Fitted on the validation images, they would have to be divided by {number(calibration.temperature)} once "
        "more; 1 means that they are calibrated there."
        if calibration.temperature is not None
        else "",
    )
    blocks = (
        s.Paragraph(_verdict(calibration, evaluation)),
        s.Plots((s.Plot(partial(draw_reliability, calibration), f"Accuracy over the stated probability; {bins}."),)),
        s.Table(("Figure", "Test images"), rows),
        *((s.Paragraph(notes, is_note=True),) if notes else ()),
    )
    return s.Section(name, title, blocks, "Calibration")


def _verdict(calibration: Calibration, evaluation: Evaluation) -> tuple[s.Inline, ...]:
    gap, chance = calibration.overconfidence, calibration.expected_error_p_value
    level = share_of_resamples(evaluation.confidence)
    interval = f"({level} interval of the difference {signed_interval(gap)})"
    by_chance = f"an expected calibration error this large would occur with probability {p_value(chance or 0)}"
    if calibration.is_off_on_average and not evaluation.num_wrong:
        return s.prose(
            f"All {counted(evaluation.num_images, 'test image')} were answered right, and the stated probability is on "
            f"average {points(abs(gap.value or 0))} lower {interval}. Without an error accuracy is the same in every "
            "resample, so that the interval covers only the spread of the stated probabilities.",
            f"If the probabilities were calibrated, {by_chance}." if chance is not None else "",
        )
    if calibration.is_off_on_average and gap.value is not None:
        way = (
            "above the accuracy: the model is overconfident"
            if gap.value > 0
            else "below the accuracy: the model is underconfident"
        )
        return (
            s.Strong("The probabilities are not calibrated:"),
            f" on the test images the stated probability is on average {points(abs(gap.value))} {way} {interval}.",
        )
    mean = f"The mean of stated probability minus accuracy is {gain(gap.value)} {interval}"
    if calibration.is_miscalibrated:
        return (
            s.Strong("The probabilities are not calibrated:"),
            f" if they were, {by_chance}. {mean}: it does not show this, because gaps of opposite sign cancel out.",
        )
    return s.prose(
        f"{mean}: no overall over- or underconfidence is shown.",
        f"If the probabilities were calibrated, {by_chance}: no miscalibration is shown." if chance is not None else "",
    )


def detection_section(evaluation: Evaluation) -> s.Section:
    """Give the thresholds for 'defect or not' and what they cost."""
    name, title = "threshold", "Defect or not"
    detection = evaluation.detection
    if detection is None:
        return s.Section(name, title, (s.Paragraph(evaluation.no_detection or "Not measured."),), in_card=False)
    missed, alarms = detection.chosen.miss_rate, detection.chosen.false_alarm_rate
    told = (
        "Every class but ", s.Strong(detection.normal_class),
        f" counts as a defect: {detection.num_defects} defective and {detection.num_normal} normal test images. The "
        f"defect probability is one minus the probability of {detection.normal_class}. At the threshold "
        f"{number(detection.chosen.threshold)}, chosen so that at most {percentage(detection.max_miss_rate)} of the "
        f"{detection.num_fitting_defects} defective validation images are missed, {percentage(missed.value or 0)} of "
        f"the defective test images are missed and {percentage(alarms.value or 0)} of the normal ones raise a false "
        "alarm.",
    )  # fmt: skip
    alt = "Miss rate, false alarm rate and cost over the threshold; the table below holds the numbers of three rules."
    not_kept = s.Box(
        "The miss rate asked for was not kept",
        (
            f"It was {percentage(detection.max_miss_rate)} on validation images, and is {estimate_in_words(missed)} on "
            "test images.",
        ),
    )
    costs = (
        f"Cost per picture, if a missed defect costs {setting(detection.miss_cost)} and a false alarm "
        f"{setting(detection.false_alarm_cost)}. Thresholds were chosen on validation images. Area under the ROC curve "
        f"(share of defects found over share of false alarms; 0.5 is chance): {estimate_in_words(detection.roc_auc)}; "
        f"average precision: {estimate_in_words(detection.average_precision)}."
    )
    blocks = (
        s.Paragraph(told),
        *((not_kept,) if (missed.value or 0) > detection.max_miss_rate else ()),
        s.Plots((s.Plot(partial(draw_threshold, detection), alt),)),
        _operating_points(detection),
        s.Paragraph(costs, is_note=True),
    )
    return s.Section(name, title, blocks)


def _operating_points(detection: DefectDetection) -> s.Table:
    named = (
        ("Most probable class", "none", detection.at_most_probable),
        (f"At most {percentage(detection.max_miss_rate)} missed", number(detection.chosen.threshold), detection.chosen),
        ("Least cost", number(detection.cheapest.threshold), detection.cheapest),
    )
    rows = tuple(
        (
            rule,
            threshold,
            s.measured(point.miss_rate),
            s.measured(point.false_alarm_rate),
            s.measured(point.f1),
            s.measured(point.cost),
        )
        for rule, threshold, point in named
    )
    return s.Table(("Rule", "Threshold", "Missed", "False alarms", "F1", "Cost per picture"), rows)


def fairness_section(evaluation: Evaluation) -> s.Section:
    """Give the fairness figures, or say why there are none."""
    name, title, fairness = "fairness", "Fairness", evaluation.fairness
    if fairness is None:
        return s.Section(name, title, NOT_MEASURED, in_card=False)
    if not fairness.applies:
        return s.Section(name, title, (s.Paragraph(s.prose("Does not apply.", fairness.reason)),))
    left_out = (
        f"{counted(fairness.num_left_out, 'image')} left out: without a value, or of a value with too few images or "
        "groups to compare."
        if fairness.num_left_out
        else ""
    )
    told = s.prose(
        ("By ", s.Strong(fairness.attribute), "."),
        fairness.reason,
        left_out,
        "Disparate impact is the lowest selection rate over the highest; the four-fifths rule takes a ratio below "
        f"{_FOUR_FIFTHS} as evidence of it. Equal opportunity compares true positive rates, equalised odds these and "
        "false positive rates.",
    )
    rows = tuple(_outcome(outcome) for outcome in fairness.outcomes)
    header = ("Called", "Disparate impact", "Equal opportunity, difference", "Equalised odds, difference")
    return s.Section(name, title, (s.Paragraph(told), s.Table(header, rows), s.Detail(_groups_of_outcomes(fairness))))


def _outcome(outcome: OutcomeFairness) -> tuple[s.Line | s.Cell, ...]:
    impact = outcome.disparate_impact
    is_low = impact.value is not None and impact.value < _FOUR_FIFTHS
    name: s.Line = (outcome.outcome, s.Badge(f"IMPACT BELOW {_FOUR_FIFTHS}")) if is_low else outcome.outcome
    figures = (impact, outcome.equal_opportunity_difference, outcome.equalized_odds_difference)
    return name, *map(s.measured, figures)


def _groups_of_outcomes(fairness: Fairness) -> tuple[s.Block, ...]:
    blocks: list[s.Block] = []
    for outcome in fairness.outcomes:
        rows = tuple(
            (
                s.Cell(part.value, f"{counted(part.num_images, 'image')}, {counted(part.num_groups, 'group')}"),
                *map(
                    s.measured, (part.selection_rate, part.true_positive_rate, part.false_positive_rate, part.accuracy)
                ),
            )
            for part in outcome.groups
        )
        header = (fairness.attribute, "Selected", "True positives", "False positives", "Accuracy")
        blocks += (s.Heading(f"Called {outcome.outcome}"), s.Table(header, rows))
    return tuple(blocks)
