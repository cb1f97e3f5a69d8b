"""One picture that shows what training sees: each class plain and augmented, and mixed pictures with their targets."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from project.write_whole import whole_file
from runtime.model.image import ImageArray
from training.data.tensors import Picture, TrainingData

PICTURES_A_CLASS = 3
AUGMENTED_A_PICTURE = 3
TILE_PX, GAP_PX, NAME_PX, CAPTION_PX, LEGEND_PX = 96, 4, 110, 30, 10
NUM_MIXED = PICTURES_A_CLASS * (1 + AUGMENTED_A_PICTURE)
INK, PAPER = "black", "white"


def save_contact_sheet(dataset: TrainingData, classes: Sequence[str], seed: int, path: Path) -> None:
    """Write the sheet of the first epoch as PNG, whole or not at all; the same seed shows the same pictures."""
    dataset.epoch = 1
    rows = [(name, _class_row(dataset, label, seed)) for label, name in enumerate(classes)]
    sheet = _lay_out([row for row in rows if row[1]], _mixed_row(dataset, classes, seed), dataset.legend)
    with whole_file(path) as temporary:
        sheet.save(temporary, "PNG")


def _class_row(dataset: TrainingData, label: int, seed: int) -> list[ImageArray]:
    """Return some of the class's pictures, each plain and then augmented several times."""
    members = np.flatnonzero(np.equal(dataset.labels, label))
    if not len(members):
        return []
    chosen = np.random.default_rng([seed, label]).choice(members, min(PICTURES_A_CLASS, len(members)), replace=False)
    row = []
    for index in chosen.tolist():
        row.append(dataset.plain(index))
        row += [dataset.tile(index, repeat) for repeat in range(AUGMENTED_A_PICTURE)]
    return row


def _mixed_row(dataset: TrainingData, classes: Sequence[str], seed: int) -> list[tuple[ImageArray, str]]:
    """Return pictures of a batch with their targets in words; empty if the batch mixes nothing."""
    chosen = np.random.default_rng(seed).permutation(len(dataset))[: min(NUM_MIXED, len(dataset) // 2 * 2)]
    pictures: list[Picture] = [dataset[int(index), 0] for index in chosen]
    if not pictures:
        return []
    batch = dataset.collate(pictures)
    if all(np.array_equal(image.numpy(), p.image) for image, p in zip(batch.images, pictures, strict=True)):
        return []
    return [
        (image.numpy(), _in_words(target, classes)) for image, target in zip(batch.images, batch.targets, strict=True)
    ]


def _in_words(target: torch.Tensor, classes: Sequence[str]) -> str:
    """Name the classes with their shares, largest first, one a line."""
    order = target.argsort(descending=True)[: int((target > 0.005).sum())]
    return "\n".join(f"{target[i]:.2f} {classes[i]}" for i in order.tolist())


def _lay_out(
    rows: list[tuple[str, list[ImageArray]]],
    mixed: list[tuple[ImageArray, str]],
    legend: Sequence[tuple[str, tuple[int, int, int]]],
) -> Image.Image:
    height_px, width_px = rows[0][1][0].shape[:2]
    tile = (TILE_PX, max(1, round(TILE_PX * height_px / width_px)))
    step_x, step_y = tile[0] + GAP_PX, tile[1] + GAP_PX
    num_columns = max(*(len(row) for _, row in rows), len(mixed))
    # Some room more between the pictures, each of which begins with its plain form.
    groups = (num_columns - 1) // (1 + AUGMENTED_A_PICTURE)
    size = (
        NAME_PX + num_columns * step_x + groups * 2 * GAP_PX,
        CAPTION_PX + len(rows) * step_y + (step_y + 3 * CAPTION_PX if mixed else 0),
    )
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    caption = "Training pictures. The first of each group is plain, the others are augmented."
    draw.text((GAP_PX, 8), caption, INK, font)
    left = GAP_PX + draw.textlength(f"{caption}  ", font)
    for name, colour in legend:  # what does not fit is cut off at the right
        draw.rectangle((left, 10, left + LEGEND_PX, 10 + LEGEND_PX), colour)
        draw.text((left + LEGEND_PX + GAP_PX, 8), name, INK, font)
        left += LEGEND_PX + 3 * GAP_PX + draw.textlength(name, font)
    for i, (name, images) in enumerate(rows):
        top = CAPTION_PX + i * step_y
        draw.text((GAP_PX, top + tile[1] // 2 - 8), name, INK, font)
        for j, image in enumerate(images):
            sheet.paste(Image.fromarray(image).resize(tile), (_left(j, step_x), top))
    if mixed:
        top = CAPTION_PX + len(rows) * step_y + CAPTION_PX
        draw.text((GAP_PX, top - CAPTION_PX + 8), "Mixed pictures with their targets:", INK, font)
        small = ImageFont.load_default(11)
        for j, (image, words) in enumerate(mixed):
            sheet.paste(Image.fromarray(image).resize(tile), (_left(j, step_x), top))
            draw.multiline_text((_left(j, step_x), top + tile[1] + 2), words, INK, small)
    return sheet


def _left(column: int, step_x: int) -> int:
    return NAME_PX + column * step_x + column // (1 + AUGMENTED_A_PICTURE) * 2 * GAP_PX
