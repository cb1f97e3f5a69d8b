"""Sections of report and model card on the analyses: calibration, defect or not, fairness, labels, review."""

from collections.abc import Mapping
from functools import partial

from evaluation.analyses.calibration import Calibration
from evaluation.analyses.fairness import Fairness, OutcomeFairness
from evaluation.analyses.label_review import LabelReview, NearDuplicate
from evaluation.analyses.robustness import Robustness
from evaluation.analyses.threshold import DefectDetection
from evaluation.evaluation import Evaluation
from evaluation.model_review import ModelReview
from evaluation.pages.curves import draw_reliability, draw_robustness, draw_threshold
from evaluation.pages.sections import (
    Badge,
    Block,
    Box,
    Cell,
    Detail,
    Gallery,
    Heading,
    Inline,
    Line,
    Paragraph,
    Picture,
    Plot,
    Plots,
    Provenance,
    Section,
    Strong,
    Table,
    measured,
    prose,
)  # fmt: skip
from evaluation.pages.wording import (
    confidence,
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
)  # fmt: skip

_MAX_LISTED = 12  # label issues and outliers shown
_MAX_PAIRS = 6  # near-duplicates shown
_FOUR_FIFTHS = 0.8  # below this the four-fifths rule sees disparate impact
NOT_MEASURED = (Paragraph("Not measured."),)


def calibration_section(evaluation: Evaluation, temperature: float | None = None) -> Section:
    """Say whether the probabilities are calibrated. temperature: of the contract, None where there is none yet."""
    name, title = "calibration", "Are the probabilities calibrated?"
    calibration = evaluation.calibration
    if calibration is None:
        return Section(name, title, NOT_MEASURED, "Calibration", in_card=False)
    bins = "; ".join(
        f"{figure(part.confidence)} stated, {figure(part.accuracy.value)} right in {part.num_images}"
        for part in calibration.bins
    )
    rows = (
        (
            Cell(
                "Expected calibration error",
                f"mean gap over {len(calibration.bins)} occupied bins; biased upwards for few images",
            ),
            measured(calibration.expected_error),
        ),
        (Cell("Brier score", "0 is perfect, 2 the worst"), measured(calibration.brier)),
        (Cell("Log loss", "nats"), measured(calibration.log_loss)),
    )
    notes = prose(
        f"Logits are divided by the contract's temperature, {number(temperature)}, before the softmax."
        if temperature is not None
        else "",
        f"Fitted on the validation images, they would have to be divided by {number(calibration.temperature)} once "
        "more; 1 means that they are calibrated there."
        if calibration.temperature is not None
        else "",
    )
    blocks = (
        Paragraph(_verdict(calibration, evaluation)),
        Plots((Plot(partial(draw_reliability, calibration), f"Accuracy over the stated probability; {bins}."),)),
        Table(("Figure", "Test images"), rows),
        *((Paragraph(notes, is_note=True),) if notes else ()),
    )
    return Section(name, title, blocks, "Calibration")


def _verdict(calibration: Calibration, evaluation: Evaluation) -> tuple[Inline, ...]:
    gap, chance = calibration.overconfidence, calibration.expected_error_p_value
    level = share_of_resamples(evaluation.confidence)
    interval = f"({level} interval of the difference {signed_interval(gap)})"
    by_chance = f"an expected calibration error this large would occur with probability {p_value(chance or 0)}"
    if calibration.is_off_on_average and not evaluation.num_wrong:
        return prose(
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
            Strong("The probabilities are not calibrated:"),
            f" on the test images the stated probability is on average {points(abs(gap.value))} {way} {interval}.",
        )
    mean = f"The mean of stated probability minus accuracy is {gain(gap.value)} {interval}"
    if calibration.is_miscalibrated:
        return (
            Strong("The probabilities are not calibrated:"),
            f" if they were, {by_chance}. {mean}: it does not show this, because gaps of opposite sign cancel out.",
        )
    return prose(
        f"{mean}: no overall over- or underconfidence is shown.",
        f"If the probabilities were calibrated, {by_chance}: no miscalibration is shown." if chance is not None else "",
    )


def detection_section(evaluation: Evaluation) -> Section:
    """Give the thresholds for 'defect or not' and what they cost."""
    name, title = "threshold", "Defect or not"
    detection = evaluation.detection
    if detection is None:
        return Section(name, title, (Paragraph(evaluation.no_detection or "Not measured."),), in_card=False)
    missed, alarms = detection.chosen.miss_rate, detection.chosen.false_alarm_rate
    told = (
        "Every class but ", Strong(detection.normal_class),
        f" counts as a defect: {detection.num_defects} defective and {detection.num_normal} normal test images. The "
        f"defect probability is one minus the probability of {detection.normal_class}. At the threshold "
        f"{number(detection.chosen.threshold)}, chosen so that at most {percentage(detection.max_miss_rate)} of the "
        f"{detection.num_fitting_defects} defective validation images are missed, {percentage(missed.value or 0)} of "
        f"the defective test images are missed and {percentage(alarms.value or 0)} of the normal ones raise a false "
        "alarm.",
    )  # fmt: skip
    alt = "Miss rate, false alarm rate and cost over the threshold; the table below holds the numbers of three rules."
    not_kept = Box(
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
        Paragraph(told),
        *((not_kept,) if (missed.value or 0) > detection.max_miss_rate else ()),
        Plots((Plot(partial(draw_threshold, detection), alt),)),
        _operating_points(detection),
        Paragraph(costs, is_note=True),
    )
    return Section(name, title, blocks)


def _operating_points(detection: DefectDetection) -> Table:
    named = (
        ("Most probable class", "none", detection.at_most_probable),
        (f"At most {percentage(detection.max_miss_rate)} missed", number(detection.chosen.threshold), detection.chosen),
        ("Least cost", number(detection.cheapest.threshold), detection.cheapest),
    )
    rows = tuple(
        (
            rule,
            threshold,
            measured(point.miss_rate),
            measured(point.false_alarm_rate),
            measured(point.f1),
            measured(point.cost),
        )
        for rule, threshold, point in named
    )
    return Table(("Rule", "Threshold", "Missed", "False alarms", "F1", "Cost per picture"), rows)


def fairness_section(evaluation: Evaluation) -> Section:
    """Give the fairness figures, or say why there are none."""
    name, title, fairness = "fairness", "Fairness", evaluation.fairness
    if fairness is None:
        return Section(name, title, NOT_MEASURED, in_card=False)
    if not fairness.applies:
        return Section(name, title, (Paragraph(prose("Does not apply.", fairness.reason)),))
    left_out = (
        f"{counted(fairness.num_left_out, 'image')} left out: without a value, or of a value with too few images or "
        "groups to compare."
        if fairness.num_left_out
        else ""
    )
    told = prose(
        ("By ", Strong(fairness.attribute), "."),
        fairness.reason,
        left_out,
        "Disparate impact is the lowest selection rate over the highest; the four-fifths rule takes a ratio below "
        f"{_FOUR_FIFTHS} as evidence of it. Equal opportunity compares true positive rates, equalised odds these and "
        "false positive rates.",
    )
    rows = tuple(_outcome(outcome) for outcome in fairness.outcomes)
    header = ("Called", "Disparate impact", "Equal opportunity, difference", "Equalised odds, difference")
    return Section(name, title, (Paragraph(told), Table(header, rows), Detail(_groups_of_outcomes(fairness))))


def _outcome(outcome: OutcomeFairness) -> tuple[Line | Cell, ...]:
    impact = outcome.disparate_impact
    is_low = impact.value is not None and impact.value < _FOUR_FIFTHS
    name: Line = (outcome.outcome, Badge(f"IMPACT BELOW {_FOUR_FIFTHS}")) if is_low else outcome.outcome
    figures = (impact, outcome.equal_opportunity_difference, outcome.equalized_odds_difference)
    return name, *map(measured, figures)


def _groups_of_outcomes(fairness: Fairness) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for outcome in fairness.outcomes:
        rows = tuple(
            (
                Cell(part.value, f"{counted(part.num_images, 'image')}, {counted(part.num_groups, 'group')}"),
                *map(
                    measured,
                    (part.selection_rate, part.true_positive_rate, part.false_positive_rate, part.accuracy),
                ),
            )
            for part in outcome.groups
        )
        header = (fairness.attribute, "Selected", "True positives", "False positives", "Accuracy")
        blocks += (Heading(f"Called {outcome.outcome}"), Table(header, rows))
    return tuple(blocks)


def labels_section(evaluation: Evaluation, hashes: Mapping[str, str]) -> Section:
    """Say which labels and pictures a person should look at again. hashes: picture's path -> SHA-256."""
    name, title, review = "labels", "Labels and pictures to look at again", evaluation.label_review
    if review is None:
        return Section(name, title, NOT_MEASURED, "Labels to review", in_card=False)
    issues = tuple(
        Picture(
            (item.path,),
            (
                ("labelled ", Strong(item.label), f", {figure(item.quality)}"),
                ("perhaps ", Strong(item.suggested_label)),
            ),
            (Provenance(f"{item.path} ({item.split})", item.group, item.sha256),),
        )
        for item in review.label_issues[:_MAX_LISTED]
    )
    outliers = tuple(
        Picture(
            (item.path,),
            (f"{item.statistic} {number(item.value)}", f"median {number(item.median)}"),
            (Provenance(f"{item.path} ({item.split}, {item.label})", "", item.sha256),),
        )
        for item in review.outliers[:_MAX_LISTED]
    )
    same = tuple(_pair(pair, hashes) for pair in review.contradictions[:_MAX_PAIRS])
    alike = tuple(_pair(pair, hashes) for pair in review.near_duplicates[:_MAX_PAIRS])
    galleries = (
        *_listed("Likely label errors", issues, review.num_label_issues),
        *_listed("The same picture under two labels", same, review.num_contradictions),
        *_listed("Alike in different splits", alike, review.num_near_duplicates),
        *_listed("Unlike the others", outliers, review.num_outliers),
    )
    return Section(name, title, (Paragraph(_candidates(review)), Detail(galleries)), "Labels to review")


def _candidates(review: LabelReview) -> tuple[Inline, ...]:
    issues, same, outliers = review.num_label_issues, review.num_contradictions, review.num_outliers
    return prose(
        f"Among {counted(review.num_checked, 'validation and test image')}, the model disagrees with "
        f"{counted(issues, 'label')} so confidently that {'it' if issues == 1 else 'they'} may be wrong.",
        f"{counted(review.num_near_duplicates, 'pair')} of images in different splits "
        f"{'correlates' if review.num_near_duplicates == 1 else 'correlate'} above "
        f"{review.near_duplicate_correlation:g}.",
        f"{counted(same, 'pair')} of files {'shows' if same == 1 else 'show'} the same picture under two labels."
        if same
        else "",
        f"{counted(outliers, 'image')} {'lies' if outliers == 1 else 'lie'} more than "
        f"{setting(review.outlier_deviation)} robust standard deviations from the others. These are candidates for a "
        "person to check. None was corrected or left out: all figures are of the labels as they are.",
    )


def _listed(title: str, pictures: tuple[Picture, ...], number_in_all: int) -> tuple[Block, ...]:
    if not pictures:
        return ()
    gallery = Gallery(pictures, is_wide=len(pictures[0].files) > 1)
    if number_in_all <= len(pictures):
        return Heading(title), gallery
    note = f"The first {len(pictures)} of {number_in_all}, the most striking ones."
    return Heading(title), gallery, Paragraph(note, is_note=True)


def _pair(pair: NearDuplicate, hashes: Mapping[str, str]) -> Picture:
    labels = Strong(f"labels differ: {pair.label} and {pair.other_label}")
    correlation = f"correlation {figure(pair.correlation)}"
    return Picture(
        (pair.path, pair.other_path),
        (correlation if pair.same_label else (f"{correlation}; ", labels),),
        (
            Provenance(f"{pair.path} ({pair.split})", "", hashes[pair.path]),
            Provenance(f"{pair.other_path} ({pair.other_split})", "", hashes[pair.other_path]),
        ),
    )


def review_sections(evaluation: Evaluation, review: ModelReview | None) -> tuple[Section, ...]:
    """Say how robust the exported model is and where it looks; without a review, why nothing is said."""
    if review is None:
        missing = "Robustness and attention need the exported model; `make card` makes the report that has them."
        told = (Paragraph(missing),)
        return (Section("robustness", "Robustness to changes of the picture", told, "Robustness", in_card=False),)
    return _robustness(review.robustness, evaluation), _attention(review)


def _robustness(robustness: Robustness, evaluation: Evaluation) -> Section:
    drawn = (
        f"drawn class by class with seed {robustness.seed}, so that classes are more even than among all "
        f"{evaluation.num_images}: compare these figures with each other, not with those above"
        if robustness.num_images < evaluation.num_images
        else "all of them"
    )
    told = (
        f"The exported model on {counted(robustness.num_images, 'test image')} of "
        f"{counted(robustness.num_groups, 'group')} ({drawn}), as they are and changed step by step. Unchanged: "
        f"accuracy {estimate_in_words(robustness.unchanged.accuracy)}, macro-F1 "
        f"{estimate_in_words(robustness.unchanged.macro_f1)}."
    )
    plots = tuple(
        Plot(
            partial(draw_robustness, curve, robustness),
            f"Accuracy and macro-F1 over {curve.change}, {curve.unit}; the table below holds the accuracies.",
        )
        for curve in robustness.curves
    )
    rows = tuple(
        (
            Cell(curve.change, curve.unit),
            "; ".join(f"{setting(point.level)}: {estimate_in_words(point.accuracy)}" for point in curve.points),
        )
        for curve in robustness.curves
    )
    band = f"Band: {confidence(evaluation)} interval of accuracy over groups. Dotted line: the unchanged picture."
    blocks = (
        Paragraph(told),
        Plots(plots, small=True),
        Detail((Paragraph(band, is_note=True),)),
        Table(("Change", "Accuracy by level"), rows, is_text=True),
    )
    return Section("robustness", "Robustness to changes of the picture", blocks, "Robustness")


def _attention(review: ModelReview) -> Section:
    attention, agreement = review.attention, review.attention.mask_agreement
    how = (
        f"A square of {attention.patch_px} pixels of the model's input is covered, every {attention.stride_px} pixels; "
        "what lowers the log-odds of the answer counts as what the answer depends on."
    )
    shown = "Left the input, right what the answer depends on: the brighter, the more; a mask is outlined."
    found = (
        f"Over {counted(agreement.num_images, 'correctly recognised test image')} with a mask, "
        f"{estimate_in_words(agreement.share_in_mask)} of what the answer depends on lies inside the mask; by chance "
        f"it would be {estimate_in_words(agreement.chance)}. The ratio is {estimate_in_words(agreement.ratio)}."
        if agreement
        else attention.no_masks
    )
    pictures = tuple(
        Picture(
            (item.picture,),
            (
                ("is ", Strong(item.label)),
                ("called ", Strong(item.predicted), f", {figure(item.probability)}"),
                *(
                    (f"in the mask: {figure(item.share_in_mask)}, chance {figure(item.mask_share)}",)
                    if item.share_in_mask is not None
                    else ()
                ),
            ),
            (Provenance(item.path, "", item.sha256),),
        )
        for item in attention.maps
    )
    maps = Detail((Paragraph(shown, is_note=True), Gallery(pictures, source="review", is_wide=True)))
    # A card has no pictures, so that without masks there is nothing that it could say.
    return Section(
        "attention", "Where the model looks", (Paragraph(prose(how, found)), maps), in_card=agreement is not None
    )
