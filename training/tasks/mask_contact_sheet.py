"""One picture that shows what mask training sees: each class whole, then views of every phase, defects outlined."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from runtime.model.image import ImageArray
from training.tasks.mask_data import Draw, MaskedPictures, TrainingViews
from training.tasks.mask_loss import IGNORED
from training.tasks.mask_params import MaskParams

VIEWS_A_PHASE = 4
TILE_PX, GAP_PX, NAME_PX, CAPTION_PX = 96, 4, 110, 30
OUTLINE = (255, 0, 0)


def save_mask_contact_sheet(
    pictures: MaskedPictures, defects: Sequence[str], params: MaskParams, seed: int, path: Path
) -> None:
    """Write the sheet as PNG, whole or not at all; the same seed shows the same views."""
    classes = sorted(set(pictures.labels))
    tiles = [_class_row(pictures, defects, params, name, seed + i) for i, name in enumerate(classes)]
    step = TILE_PX + GAP_PX
    sheet = Image.new("RGB", (NAME_PX + len(tiles[0]) * step, CAPTION_PX + len(classes) * step), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    draw.text((GAP_PX, 8), "Training pictures: whole, then views of each phase. Marked defects in red.", "black", font)
    for i, (name, row) in enumerate(zip(classes, tiles, strict=True)):
        top = CAPTION_PX + i * step
        draw.text((GAP_PX, top + TILE_PX // 2 - 8), name, "black", font)
        for j, tile in enumerate(row):
            sheet.paste(Image.fromarray(tile).resize((TILE_PX, TILE_PX)), (NAME_PX + j * step, top))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    sheet.save(temporary, "PNG")
    temporary.replace(path)


def outlined(image: ImageArray, mask: ImageArray) -> ImageArray:
    """Return a copy of the `(h, w, 3)` picture with the inner edge of what the `(h, w)` mask marks in red."""
    marked = np.pad((mask > 0) & (mask != IGNORED), 1)
    inside = marked[:-2, 1:-1] & marked[2:, 1:-1] & marked[1:-1, :-2] & marked[1:-1, 2:]
    copy = image.copy()
    copy[marked[1:-1, 1:-1] & ~inside] = OUTLINE
    return copy


def _class_row(
    pictures: MaskedPictures, defects: Sequence[str], params: MaskParams, name: str, seed: int
) -> list[ImageArray]:
    rng = np.random.default_rng(seed)
    row = int(rng.choice([i for i, label in enumerate(pictures.labels) if label == name]))
    tiles = [outlined(pictures.picture(row), pictures.mask(row, defects))]
    for phase in params.phases:
        draws = [Draw(row, int(rng.integers(2**63))) for _ in range(VIEWS_A_PHASE)]
        views = TrainingViews(pictures, defects, draws, phase, params)
        tiles += [outlined(image.numpy(), mask.numpy()) for image, mask in (views[i] for i in range(VIEWS_A_PHASE))]
    return tiles
