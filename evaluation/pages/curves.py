"""Curves of an evaluation, drawn: reliability, defect threshold and cost, robustness, free response.

Lines differ in dash and marker as well as in colour (Okabe and Ito's colours, told apart by the colour-blind).
"""

import math

from matplotlib.figure import Figure

from evaluation.analyses.calibration import Calibration
from evaluation.analyses.robustness import Robustness, RobustnessCurve
from evaluation.analyses.threshold import DefectDetection
from evaluation.outlines.document import Objects, PixelCalibration
from evaluation.pages.plots import quieten

_BLUE, _ORANGE, _GREEN, _INK, _FAINT = "#0072b2", "#d55e00", "#009e73", "#1f2933", "#9aa5b1"


def draw_reliability(calibration: Calibration) -> Figure:
    """Draw accuracy over stated probability, with intervals, above the number of images in each bin."""
    figure = Figure(figsize=(4.4, 4.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], "--", color=_FAINT, linewidth=1.2, label="taken at its word")
    stated = [part.confidence for part in calibration.bins]
    for part in calibration.bins:
        if part.accuracy.low is not None and part.accuracy.high is not None:
            ends = [part.accuracy.low, part.accuracy.high]
            upper.plot([part.confidence] * 2, ends, color=_BLUE, linewidth=5, alpha=0.35, solid_capstyle="butt")
    right = _plain([part.accuracy.value for part in calibration.bins])
    upper.plot(stated, right, "o-", color=_BLUE, linewidth=1, markersize=6, label="measured")
    upper.set_ylim(-0.02, 1.02)
    upper.set_ylabel("accuracy")
    upper.legend(frameon=False, fontsize=9, loc="upper left")
    widths = [part.high - part.low for part in calibration.bins]
    lower.bar(
        [p.low for p in calibration.bins], [p.num_images for p in calibration.bins], widths, align="edge", color=_BLUE
    )
    lower.set_ylabel("images")
    lower.set_xlabel("probability of the answer")
    lower.set_xlim(0, 1)
    for axes in (upper, lower):
        quieten(axes)
    return figure


def draw_threshold(detection: DefectDetection) -> Figure:
    """Draw miss rate and false alarm rate, and below the cost, over the threshold on the defect probability."""
    figure = Figure(figsize=(4.4, 4.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    thresholds = [point.threshold for point in detection.curve]
    upper.plot(thresholds, [p.miss_rate for p in detection.curve], color=_ORANGE, label="defects missed")
    false_alarms = [p.false_alarm_rate for p in detection.curve]
    upper.plot(thresholds, false_alarms, "--", color=_BLUE, label="false alarms")
    upper.axhline(detection.max_miss_rate, color=_FAINT, linewidth=1, linestyle=":")
    upper.set_ylabel("share of pictures")
    upper.set_ylim(-0.02, 1.02)
    lower.plot(thresholds, [point.cost for point in detection.curve], color=_INK)
    lower.set_ylabel("cost a picture")
    lower.set_ylim(bottom=0)
    lower.set_xlabel("threshold on the defect probability")
    lower.set_xlim(0, 1)
    for axes in (upper, lower):
        axes.axvline(detection.chosen.threshold, color=_GREEN, linewidth=1.5, label="stated miss rate")
        axes.axvline(detection.cheapest.threshold, color=_INK, linewidth=1.5, linestyle="-.", label="least cost")
        quieten(axes)
    upper.legend(frameon=False, fontsize=8, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    return figure


def draw_robustness(curve: RobustnessCurve, robustness: Robustness) -> Figure:
    """Draw accuracy and macro-F1 over the levels of one change; the dotted line is the picture as it is."""
    figure = Figure(figsize=(4.4, 3.0), layout="constrained")
    axes = figure.add_subplot()
    points = list(curve.points)
    if all(point.level != curve.unchanged_level for point in points):
        points.append(robustness.unchanged.model_copy(update={"level": curve.unchanged_level}))
    points.sort(key=lambda point: point.level)
    levels = [point.level for point in points]
    lows, highs = (_plain([getattr(point.accuracy, end) for point in points]) for end in ("low", "high"))
    axes.fill_between(levels, lows, highs, color=_BLUE, alpha=0.15, linewidth=0)
    axes.plot(levels, _plain([p.accuracy.value for p in points]), "o-", color=_BLUE, markersize=4, label="accuracy")
    axes.plot(levels, _plain([p.macro_f1.value for p in points]), "s--", color=_ORANGE, markersize=4, label="macro-F1")
    axes.axvline(curve.unchanged_level, color=_INK, linewidth=1.2, linestyle=":")
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(curve.unit)
    axes.set_title(curve.change, fontsize=10, loc="left")
    axes.legend(frameon=False, fontsize=8)
    quieten(axes)
    return figure


def _plain(values: list[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def draw_free_response(objects: Objects, things: str) -> Figure:
    """Draw the share of `things` that is found over the false alarms a picture; dotted where recall is stated.

    The dot is what is answered. Beyond it and twice the highest of the stated rates the curve is cut off.
    """
    figure = Figure(figsize=(4.4, 3.0), layout="constrained")
    axes = figure.add_subplot()
    alarms, recalls = ([getattr(point, name) for point in objects.curve] for name in ("false_alarms", "recall"))
    axes.step([0, *alarms], [0, *recalls], where="post", color=_BLUE)
    answered = objects.false_alarms.value or 0.0
    axes.plot(answered, objects.recall.value or 0.0, "o", color=_BLUE, markersize=6, clip_on=False)
    rates = [at.false_alarms for at in objects.recall_at]
    furthest = max(min(alarms[-1], 2 * max(rates)), answered, min(rates)) * 1.05
    for at in objects.recall_at:
        if at.false_alarms <= furthest:
            axes.axvline(at.false_alarms, color=_INK, linewidth=1.2, linestyle=":")
    axes.set_xlim(0, furthest)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("false alarms an image")
    axes.set_ylabel(f"{things} found")
    quieten(axes)
    return figure


def draw_pixel_reliability(calibration: PixelCalibration) -> Figure:
    """Draw the share of pixels that are of a region over the stated one, above the number of pixels in each bin."""
    figure = Figure(figsize=(4.4, 4.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], "--", color=_FAINT, linewidth=1.2, label="taken at its word")
    stated, true = ([getattr(part, name) for part in calibration.bins] for name in ("stated", "true"))
    upper.plot(stated, true, "o-", color=_BLUE, linewidth=1, markersize=6, label="measured")
    upper.set_ylim(-0.02, 1.02)
    upper.set_ylabel("share that is of a region")
    upper.legend(frameon=False, fontsize=9, loc="upper left")
    widths = [part.high - part.low for part in calibration.bins]
    lower.bar(
        [p.low for p in calibration.bins], [p.num_px for p in calibration.bins], widths, align="edge", color=_BLUE
    )
    lower.set_yscale("log")
    lower.set_ylabel("pixels")
    lower.set_xlabel("probability to be of any region")
    lower.set_xlim(0, 1)
    for axes in (upper, lower):
        quieten(axes)
    return figure
