"""The sheet of disagreements: one page that needs no other file, with what each annotator said of a picture."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jinja2 import Environment
from PIL import Image, ImageDraw

from annotation.agreement import Agreement, answers_by_annotator
from dataset.label_studio.answers import Answer, NoAnswer
from dataset.label_studio.export_file import LabelTask
from dataset.label_studio.picture_files import address_of, find_picture, picture_name
from project.progress import progress
from runtime.answers.index_mask import COLOURS
from runtime.model.image import decode_image

_SIDE_PX = 420  # of a picture on the page
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Disagreements</title><style>
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1000px;padding:0 1rem;color:#1a1a1a}
table{border-collapse:collapse}td,th{border:1px solid #bbb;padding:.3rem .6rem;text-align:left}
section{border-top:1px solid #bbb;margin-top:1.5rem}.said{display:inline-block;vertical-align:top;margin:0 1rem 1rem 0}
img{display:block;max-width:100%}h2{font-size:1.05rem}</style>
<h1>What annotators disagree on</h1>
<p>{{ tasks|length }} task(s) are left out until they are decided: open them in Label Studio, correct an annotation or
mark the right one as ground truth, and pull again.</p>
<table><tr><th>annotators</th><th>tasks of both</th><th>same class</th><th>Cohen's kappa</th><th>mean IoU</th></tr>
{% for one in agreements %}<tr><td>{{ one.annotators|join(" and ") }}</td><td>{{ one.num_tasks }}</td>
{% for value in (one.same, one.kappa, one.mean_iou) %}<td>{{ "%.3f"|format(value) if value is not none else "–" }}</td>
{% endfor %}</tr>{% endfor %}</table>
{% for task in tasks %}<section><h2>Task {{ task.number }}: {{ task.name }}</h2><p>{{ task.reason }}</p>
{% for one in task.said %}<div class="said"><b>{{ one.annotator }}</b>: {{ one.words }}
<img alt="{{ task.name }} as {{ one.annotator }} marked it" src="data:image/jpeg;base64,{{ one.picture }}"></div>
{% endfor %}</section>{% endfor %}</html>
"""


def render_sheet(
    tasks: Sequence[LabelTask], left_out: dict[int, NoAnswer], agreements: Sequence[Agreement], folder: Path
) -> str:
    """Return the page. left_out: why tasks say nothing; those in conflict are shown. folder: where pictures are found.

    Raises ImageError for a picture that cannot be decoded.
    """
    conflicts = [task for task in tasks if task.number in left_out and left_out[task.number].kind == "conflict"]
    shown = []
    for task in progress(conflicts, "drawing disagreements", unit="task"):
        address = address_of(task.data, task.number)
        file = find_picture(address, folder)
        picture = Image.fromarray(decode_image(file.read_bytes())) if file else Image.new("RGB", (1, 1))
        said = [
            {"annotator": name, "words": _words(answer), "picture": _drawn(picture, answer)}
            for name, answer in answers_by_annotator(task).items()
        ]
        name = picture_name(task.data, address)
        shown.append({"number": task.number, "name": name, "reason": left_out[task.number].reason, "said": said})
    page = Environment(autoescape=True).from_string(_PAGE)
    return page.render(tasks=shown, agreements=agreements)


def _words(answer: Answer) -> str:
    if answer.says_nothing:
        return "nothing to mark"
    regions = ", ".join(region.label for region in answer.regions)
    return "; ".join(filter(None, (answer.label, regions)))


def _drawn(picture: Image.Image, answer: Answer) -> str:
    """Return the picture as a JPEG in base64, with the answer's regions drawn on it."""
    pixels = np.array(picture)
    for number, region in enumerate(answer.regions):
        if region.brush and region.size == picture.size:
            inside = region.mask()
            pixels[inside] = (pixels[inside] * 0.4 + np.array(COLOURS[number % len(COLOURS)]) * 0.6).astype(np.uint8)
    drawn = Image.fromarray(pixels)
    pen = ImageDraw.Draw(drawn)
    for number, region in enumerate(answer.regions):
        if region.corners:
            pen.rectangle(region.corners, outline=COLOURS[number % len(COLOURS)], width=max(2, drawn.width // 150))
    drawn.thumbnail((_SIDE_PX, _SIDE_PX))
    file = io.BytesIO()
    drawn.save(file, "JPEG", quality=85)
    return base64.b64encode(file.getvalue()).decode()
