"""Folders of coloured pictures and the tiny model that knows their colours."""

from pathlib import Path

import pytest
from PIL import Image

from tests.onnx_fixture import CLASSES, COLOURS, write_tiny_model


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    write_tiny_model(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def pictures_dir(tmp_path: Path) -> Path:
    """20 good pictures, 00.png to 19.png, in the model's classes in turn; 5 of them in a subfolder `more`."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for number in range(20):
        name = f"more/{number:02d}.png" if number >= 15 else f"{number:02d}.png"
        Image.new("RGB", (30, 20), COLOURS[CLASSES[number % 3]]).save(folder / name)
    return folder
