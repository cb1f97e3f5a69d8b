"""The page that ends `make demo`: pictures with what the served model says of them."""

import base64
import html
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from dataset.annotations import IGNORED, MaskArray, marked, read_mask
from runtime.answers.index_mask import colour_of, paint_regions
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


@dataclass(frozen=True)
class Picture:
    """A picture to send; `label` is the true one, empty if it is not known, `mask` the file of what is marked in it."""

    path: Path
    label: str
    mask: Path | None = None


def render(pictures: Sequence[Picture], answers: Sequence[Prediction], summary: str, max_value: int | None) -> str:
    """Return an HTML page that shows the pictures with true class, answer and probability; it needs no other file.

    Where the answers outline regions each picture stands beside its mask and the answer. max_value: white in deep
    pictures, of the data set's description. Raises ManifestError for a mask that cannot be read.
    """
    has_outlines = any(isinstance(answer, Segmentation) for answer in answers)
    figures = "\n".join(_figure(p, a, max_value) for p, a in zip(pictures, answers, strict=True))
    return PAGE.format(
        title=TITLE, summary=html.escape(summary), figures=figures, model=html.escape(model_of(answers[0])),
        wide=' class="wide"' if has_outlines else "",
    )  # fmt: skip


def model_of(answer: Prediction) -> str:
    """Name the model that answered."""
    return f"{answer.model.name}:{answer.model.version} (ONNX {answer.model.sha256[:12]})"


def truth_of(picture: Picture, answer: Segmentation) -> MaskArray:
    """Return `(height, width)` uint8: the picture's mask, all background where it has none.

    Raises ManifestError if it cannot be read.
    """
    return read_mask(picture.mask) if picture.mask else np.zeros((answer.height, answer.width), dtype=np.uint8)


def overlap(picture: Picture, answer: Segmentation) -> float | None:
    """Return the intersection over union of mask and answer, region by region; None where neither marks a pixel."""
    truth, found = truth_of(picture, answer), paint_regions(answer)
    known = truth != IGNORED
    union = int(((marked(truth) | marked(found)) & known).sum())
    return int(((truth == found) & marked(truth)).sum()) / union if union else None


def _figure(picture: Picture, answer: Prediction, max_value: int | None) -> str:
    image = _small(picture.path, max_value)
    shown, note = _img(image, "the picture"), ""
    if isinstance(answer, Segmentation):
        truth, found = truth_of(picture, answer), paint_regions(answer)
        truth_img, found_img = (
            _img(_outlined(image, m), alt) for m, alt in ((truth, "its mask"), (found, "the answer"))
        )
        shown = f"<div>{shown}{truth_img}{found_img}</div>"
        note = f"<br>{html.escape(regions_in_words(answer))}; {overlap_in_words(overlap(picture, answer))}"
    return (
        f"<figure{'' if picture.label == answer.label else ' class=wrong'}>{shown}"
        f"<figcaption>is <b>{html.escape(picture.label)}</b><br>called <b>{html.escape(answer.label)}</b>, "
        f"{answer.probability:.1%}{note}"
        f"<br><small>{html.escape(str(picture.path)).replace('/', '/<wbr>')}</small></figcaption></figure>"
    )


def regions_in_words(answer: Segmentation) -> str:
    """Name the regions of an answer: how many there are of each kind."""
    counts = Counter(region.label for region in answer.regions)
    return ", ".join(f"{number} x {name}" for name, number in counts.items()) or "no region"


def overlap_in_words(value: float | None) -> str:
    """State an overlap as a person reads it."""
    return "nothing to mark" if value is None else f"overlap with the mask {value:.0%}"


def _small(path: Path, max_value: int | None) -> ImageArray:
    pixels = decode_image(path.read_bytes(), at_least=(THUMBNAIL_PX, THUMBNAIL_PX), max_value=max_value)
    image = Image.fromarray(pixels)
    image.thumbnail((2 * THUMBNAIL_PX, 2 * THUMBNAIL_PX))
    return np.asarray(image)


def _outlined(image: ImageArray, mask: MaskArray) -> ImageArray:
    """Return a copy of `(h, w, 3)` with the outlines of a mask of any size, a colour for each region."""
    height, width = image.shape[:2]
    copy = np.ascontiguousarray(image).copy()
    for value in np.unique(mask[marked(mask)]).tolist():
        # By area, so that a mark which is smaller than a pixel here leaves one all the same.
        share = cv2.resize((mask == value).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        edges, _ = cv2.findContours(
            (share > min(0.5, share.max() / 2)).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(copy, edges, -1, colour_of(value - 1), 2)
    return copy


def _img(image: ImageArray, alt: str) -> str:
    """Return a picture as an element that holds it as a JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img src="data:image/jpeg;base64,{data}" alt="{alt}">'
