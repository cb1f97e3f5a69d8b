"""The evaluation as one HTML file that needs nothing beside it: styles inline, pictures as data URIs."""

from pathlib import Path

from dataset.description import DataDescription
from evaluation import wording
from evaluation.evaluation import Evaluation, EvaluationError
from evaluation.page import data_uri, render_page, thumbnail
from evaluation.plots import draw_confusion, draw_per_class_f1


def render_report(
    headline: Evaluation,
    by_image: Evaluation | None,
    description: DataDescription,
    pictures_dir: Path,
    not_compared: str = "",
) -> str:
    """Return the report's HTML.

    pictures_dir: what the paths of wrong predictions are relative to. not_compared: why `by_image` is None.
    Raises EvaluationError if the headline leaks or a picture to be shown cannot be read.
    """
    if headline.protocol != "group" or headline.leaking:
        raise EvaluationError("the headline must be an evaluation of a split by group without a leak")
    return render_page(
        "report.html.jinja",
        headline=headline,
        by_image=by_image,
        not_compared=not_compared.strip(),
        description=description,
        confusion_png=data_uri(draw_confusion(headline), "png"),
        per_class_f1_png=data_uri(draw_per_class_f1(headline), "png"),
        wrong=[(item, thumbnail(pictures_dir / item.path)) for item in headline.wrong],
        headline_names=wording.HEADLINE_NAMES,
        figure=wording.figure,
        interval=wording.interval,
        counted=wording.counted,
        confidence=wording.confidence,
        percentage=wording.percentage,
        confusion_in_words=wording.confusion_in_words,
    )
