"""What a person is to look at again, as one ranked list: a CSV for Label Studio and a sheet of pictures.

Label Studio reads a CSV as one task a row and a column as one field of the task; `image` is the address under which it
serves the picture from local storage, once LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED is true and
LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT names the data directory. `label_studio.xml` is the labelling interface.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from PIL import Image, ImageDraw, ImageFont

from dataset.description import read_max_value
from dataset.manifest import Manifest
from evaluation.analyses.label_review import LabelReview
from evaluation.picture_files import read_thumbnail
from project.fonts import drawable_names, missing_in, path_for

CSV_FILE = "to_review.csv"
SHEET_FILE = "to_review.png"
INTERFACE_FILE = "label_studio.xml"
MAX_ON_SHEET = 40
_COLUMNS, _PICTURE_PX, _CAPTION_PX, _GAP_PX = 5, 200, 52, 10


@dataclass(frozen=True)
class Task:
    """One picture to look at; the fields are the CSV's columns after `image`."""

    path: str
    reason: str
    current_label: str
    suggested_label: str
    split: str
    sha256: str


def list_tasks(review: LabelReview, manifest: Manifest) -> list[Task]:
    """Return each picture once, for its first reason.

    Reasons are in this order: likely label errors, the same picture under two labels, duplicates, outliers.
    """
    facts = {row["path"]: row for row in manifest.table.to_dict("records")}
    tasks: dict[str, Task] = {}

    def add(path: str, reason: str, suggested_label: str = "") -> None:
        row = facts[path]
        task = Task(path, reason, str(row["label"]), suggested_label, str(row["split"]), str(row["sha256"]))
        tasks.setdefault(path, task)

    for issue in review.label_issues:
        add(issue.path, f"label has probability {_probability(issue.quality)}", issue.suggested_label)
    for pair in review.contradictions:
        add(pair.path, f"the same picture as {pair.other_path}, labelled {pair.other_label}")
        add(pair.other_path, f"the same picture as {pair.path}, labelled {pair.label}")
    for pair in review.near_duplicates:
        add(pair.path, f"like {pair.other_path} in {pair.other_split}, labelled {pair.other_label}")
        add(pair.other_path, f"like {pair.path} in {pair.split}, labelled {pair.label}")
    for outlier in review.outliers:
        add(outlier.path, f"{outlier.statistic} {outlier.value:.3g}, most have about {outlier.median:.3g}")
    return list(tasks.values())


def _probability(value: float) -> str:
    return "under 0.01" if value < 0.005 else f"{value:.2f}"


def write_queue(review: LabelReview, manifest: Manifest, out_dir: Path) -> None:
    """Write the CSV, the labelling interface and, if there is anything to see, the sheet of pictures.

    Raises EvaluationError if a picture of the sheet cannot be read.
    """
    tasks = list_tasks(review, manifest)
    out_dir.mkdir(parents=True, exist_ok=True)
    with (out_dir / CSV_FILE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["image", *(field.name for field in fields(Task))], lineterminator="\n")
        writer.writeheader()
        for task in tasks:
            writer.writerow({"image": f"/data/local-files/?d={quote(task.path)}", **asdict(task)})
    (out_dir / INTERFACE_FILE).write_text(labelling_interface(manifest.classes), encoding="utf-8")
    (out_dir / SHEET_FILE).unlink(missing_ok=True)
    if tasks:
        sheet = draw_sheet(tasks[:MAX_ON_SHEET], manifest.root, drawable_names(manifest.classes))
        (out_dir / SHEET_FILE).write_bytes(sheet)


def labelling_interface(classes: tuple[str, ...]) -> str:
    """Return Label Studio's configuration: the picture, why it is shown, and the classes to choose from."""
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in classes)
    return (
        "<View>\n"
        '  <Header value="$reason"/>\n'
        '  <Image name="image" value="$image"/>\n'
        '  <Text name="current" value="Label: $current_label. Suggested: $suggested_label"/>\n'
        '  <Choices name="label" toName="image" choice="single">\n'
        f"{choices}\n"
        "  </Choices>\n"
        "</View>\n"
    )


def draw_sheet(tasks: list[Task], pictures_dir: Path, names: Mapping[str, str]) -> bytes:
    """Return a PNG of numbered pictures with label, suggestion and reason, in the order of the list.

    names: class -> what a picture can show of it (`project.fonts.drawable_names`).
    """
    rows = -(-len(tasks) // _COLUMNS)
    cell_w, cell_h = _PICTURE_PX + _GAP_PX, _PICTURE_PX + _CAPTION_PX + _GAP_PX
    sheet = Image.new("RGB", (_COLUMNS * cell_w + _GAP_PX, rows * cell_h + _GAP_PX), "white")
    draw = ImageDraw.Draw(sheet)
    max_value = read_max_value(pictures_dir)
    for index, task in enumerate(tasks):
        left, top = _GAP_PX + index % _COLUMNS * cell_w, _GAP_PX + index // _COLUMNS * cell_h
        picture = read_thumbnail(pictures_dir / task.path, _PICTURE_PX, max_value)
        sheet.paste(picture, (left + (_PICTURE_PX - picture.width) // 2, top + (_PICTURE_PX - picture.height) // 2))
        arrow = f" → {names.get(task.suggested_label, task.suggested_label)}?" if task.suggested_label else ""
        lines = [
            f"{index + 1}. {names.get(task.current_label, task.current_label)}{arrow}",
            task.reason,
            Path(task.path).name,
        ]
        for number, line in enumerate(lines):
            readable = "".join("?" if character in missing_in(line) else character for character in line)
            font = ImageFont.truetype(path_for(readable), 12)
            text = _shortened(readable, font)
            draw.text((left, top + _PICTURE_PX + 2 + 16 * number), text, "#1f2933" if number == 0 else "#52606d", font)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _shortened(line: str, font: ImageFont.FreeTypeFont) -> str:
    """Cut the end until the line fits below its picture."""
    while font.getlength(line) > _PICTURE_PX:
        line = line.rstrip("…")[:-1] + "…"
    return line
