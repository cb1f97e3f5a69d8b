"""Drawn pictures with answers as Label Studio exports them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from runtime.label_studio.results import Corners, Result, box_result, brush_result, choice_result
from runtime.label_studio.template import Control
from tests.dataset.picture_files import save, texture

WIDTH, HEIGHT = 128, 96
CLASS = Control("choices", "class", "image", ("good", "scratch"))
NOTHING = Control("choices", "nothing", "image", ("nothing to mark",))
BOX = Control("rectanglelabels", "box", "image", ("scratch", "dent"))
BRUSH = Control("brushlabels", "brush", "image", ("scratch", "dent"))


def said(label: str) -> Result:
    return choice_result(CLASS, label)


def nothing() -> Result:
    return choice_result(NOTHING, "nothing to mark")


def box(label: str, corners: Corners, number: str = "b") -> Result:
    return box_result(BOX, label, corners, (WIDTH, HEIGHT), number)


def brush(label: str, corners: tuple[int, int, int, int], number: str = "m") -> Result:
    return brush_result(BRUSH, label, drawn(corners), number)


def drawn(corners: tuple[int, int, int, int]) -> np.ndarray:
    left, top, right, bottom = corners
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    mask[top, left] = False
    return mask


def annotation(*results: Result, by: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": by * 100, "completed_by": by, "result": list(results), "was_cancelled": False, **more}


def task(number: int, *annotations: dict[str, Any]) -> dict[str, Any]:
    data = {"image": f"/data/local-files/?d=pictures/{number}.png", "path": f"line 1/tile{number}.png"}
    return {"id": number, "data": data, "annotations": list(annotations), "predictions": []}


def write_export(folder: Path, tasks: Sequence[dict[str, Any]]) -> Path:
    """Write the export with a picture for each task."""
    for one in tasks:
        save(folder / "pictures" / f"{one['id']}.png", texture(one["id"], HEIGHT, WIDTH))
    path = folder / "export.json"
    path.write_text(json.dumps(list(tasks)))
    return path
