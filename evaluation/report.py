"""The evaluation as one HTML file that needs nothing beside it: styles inline, pictures as data URIs."""

import base64
import io
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from PIL import Image

from dataset.description import DataDescription
from evaluation import wording
from evaluation.evaluation import Evaluation, EvaluationError
from evaluation.plots import draw_confusion, draw_per_class_f1
from runtime.errors import ImageError
from runtime.image import decode_image

TEMPLATE = Path(__file__).with_name("report.html.jinja")
_THUMBNAIL_PX = 240  # the longer side: sharp on a phone, and 24 of them stay under half a megabyte


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
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        headline=headline,
        by_image=by_image,
        not_compared=not_compared.strip(),
        description=description,
        confusion_png=_data_uri(draw_confusion(headline), "png"),
        per_class_f1_png=_data_uri(draw_per_class_f1(headline), "png"),
        wrong=[(item, _thumbnail(pictures_dir / item.path)) for item in headline.wrong],
        headline_names=wording.HEADLINE_NAMES,
        figure=wording.figure,
        interval=wording.interval,
        counted=wording.counted,
        confidence=wording.confidence,
        percentage=wording.percentage,
        confusion_in_words=wording.confusion_in_words,
    )


def _thumbnail(path: Path) -> str:
    try:
        image = Image.fromarray(decode_image(path.read_bytes()))
    except (OSError, ImageError) as exc:
        raise EvaluationError(f"cannot show the picture {path} in the report: {exc}") from exc
    image.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return _data_uri(buffer.getvalue(), "jpeg")


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
