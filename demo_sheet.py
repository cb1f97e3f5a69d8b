"""The page that ends `make demo`: pictures with what the served model says of them."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from demo_answers import Picture, panels, words_beside_truth
from runtime.answers.detection import Detections
from runtime.answers.results import Prediction
from runtime.answers.segmentation import Segmentation
from runtime.model.image import ImageArray, decode_image

THUMBNAIL_PX = 240
TITLE = "One test picture of each class"
PAGE = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 2rem auto; max-width: 60rem; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; color: #1f2933; }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; }}
main.wide {{ grid-template-columns: 1fr; }}
main.wide figure > div {{ display: grid; grid-template-columns: repeat(3, 1fr); }}
figure {{ margin: 0; border: 1px solid #d9e2ec; border-top: 4px solid #2f855a; overflow-wrap: anywhere; }}
figure.wrong {{ border-top-color: #b42318; }}
img {{ display: block; width: 100%; height: 15rem; object-fit: contain; background: #f5f7fa; }}
figcaption {{ padding: .5rem .75rem; }}
small {{ color: #52606d; }}
</style>
<h1>{title}</h1>
<p>{summary}</p>
<main{wide}>
{figures}
</main>
<p><small>{model}</small></p>
</html>
"""


def render(pictures: Sequence[Picture], answers: Sequence[Prediction], summary: str, max_value: int | None) -> str:
    """Return an HTML page that shows the pictures with true class, answer and probability; it needs no other file.

    Where the answers say what lies where, each picture stands beside its mask or its boxes and the answer. max_value:
    white in deep pictures, of the data set's description. Raises ManifestError for a mask that cannot be read.
    """
    finds = any(isinstance(answer, Segmentation | Detections) for answer in answers)
    figures = "\n".join(_figure(p, a, max_value) for p, a in zip(pictures, answers, strict=True))
    return PAGE.format(
        title=TITLE, summary=html.escape(summary), figures=figures, model=html.escape(model_of(answers[0])),
        wide=' class="wide"' if finds else "",
    )  # fmt: skip


def model_of(answer: Prediction) -> str:
    """Name the model that answered."""
    return f"{answer.model.name}:{answer.model.version} (ONNX {answer.model.sha256[:12]})"


def _figure(picture: Picture, answer: Prediction, max_value: int | None) -> str:
    drawn = panels(picture, answer, _small(picture.path, max_value))
    shown = "".join(_img(image, alt) for image, alt in drawn)
    words = words_beside_truth(picture, answer)
    note = "" if words is None else f"<br>{html.escape('; '.join(words))}"
    return (
        f"<figure{'' if picture.label == answer.label else ' class=wrong'}>"
        f"{shown if words is None else f'<div>{shown}</div>'}"
        f"<figcaption>is <b>{html.escape(picture.label)}</b><br>called <b>{html.escape(answer.label)}</b>, "
        f"{answer.probability:.1%}{note}"
        f"<br><small>{html.escape(str(picture.path)).replace('/', '/<wbr>')}</small></figcaption></figure>"
    )


def _small(path: Path, max_value: int | None) -> ImageArray:
    pixels = decode_image(path.read_bytes(), at_least=(THUMBNAIL_PX, THUMBNAIL_PX), max_value=max_value)
    image = Image.fromarray(pixels)
    image.thumbnail((2 * THUMBNAIL_PX, 2 * THUMBNAIL_PX))
    return np.asarray(image)


def _img(image: ImageArray, alt: str) -> str:
    """Return a picture as an element that holds it as a JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img src="data:image/jpeg;base64,{data}" alt="{alt}">'
