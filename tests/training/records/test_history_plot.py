"""The plot shows what the epochs' records hold, and copes with figures that are not there."""

import io

import numpy as np
from PIL import Image

from training.records.history_plot import draw_history

RECORDS = [
    {
        "epoch": n,
        "train_loss": 2.0 / n,
        "val_loss": 2.2 / n,
        "val_macro_f1": 0.1 * n,
        "val_accuracy": 0.15 * n,
        "lr": 0.1 / n,
    }
    for n in range(1, 6)
]
BLUE, ORANGE = (43, 108, 176), (192, 86, 33)


def _num_pixels(png: bytes, colour: tuple[int, int, int]) -> list[int]:
    """Return how many pixels of each third, from the top, have about the colour."""
    with Image.open(io.BytesIO(png)) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    near = (abs(pixels - colour) < 12).all(axis=2)
    return [int(third.sum()) for third in np.array_split(near, 3)]


def test_every_panel_has_its_curves() -> None:
    blue, orange = (_num_pixels(draw_history(RECORDS), colour) for colour in (BLUE, ORANGE))
    assert min(blue) > 300
    assert min(orange[:2]) > 300
    assert orange[2] == 0


def test_what_was_measured_once_is_a_point_and_what_never_was_is_said() -> None:
    masks = [{"epoch": n, "train_loss": 1.0 / n, "lr": 0.1 / n, "grad_norm": float("nan")} for n in (1, 2)]
    once = draw_history([*masks, RECORDS[2]])
    never = draw_history([*masks, {"epoch": 3, "train_loss": float("inf"), "val_loss": float("nan"), "lr": 0.02}])
    assert 0 < _num_pixels(once, ORANGE)[1] < 300
    assert sum(_num_pixels(never, ORANGE)) == 0
    assert min(_num_pixels(never, BLUE)[::2]) > 300


def test_equal_records_give_equal_bytes() -> None:
    assert draw_history(RECORDS) == draw_history([dict(record) for record in RECORDS])
