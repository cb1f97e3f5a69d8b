"""Real picture files for the tests of sources."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter


def texture(seed: int, height: int = 96, width: int = 128) -> NDArray[np.uint8]:
    """One object's surface: fine and coarse structure, different for every seed; `(height, width)` uint8."""
    rng = np.random.default_rng(seed)
    noise = gaussian_filter(rng.normal(size=(height, width)), 1) + 3 * gaussian_filter(
        rng.normal(size=(height, width)), 4
    )
    return np.asarray(np.clip(128 + 40 * noise / noise.std(), 0, 255), dtype=np.uint8)


def exposed(surface: NDArray[np.uint8], gain: float) -> NDArray[np.uint8]:
    """The same surface, brighter or darker, with light falling off to the right."""
    falloff = np.linspace(1.0, 0.7, surface.shape[1])
    return np.clip(surface * gain * falloff, 0, 255).astype(np.uint8)


def save(path: Path, picture: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


def make_folder(root: Path, classes: tuple[str, ...] = ("bad", "good"), num_objects: int = 3) -> Path:
    """`root/<class>/object<i>_shot<j>.png`, two exposures of every object; all objects differ."""
    for label_index, label in enumerate(classes):
        for index in range(num_objects):
            surface = texture(100 * label_index + index)
            for shot, gain in enumerate((0.8, 1.1)):
                save(root / label / f"object{index}_shot{shot}.png", exposed(surface, gain))
    return root


def make_magnetic_tiles(root: Path, num_tiles: int = 3) -> Path:
    """The layout of the magnetic-tile set: rounds of six exposures, masks beside, N rising."""
    number = 100
    for label_index, label in enumerate(("Blowhole", "Free")):
        for tile in range(num_tiles):
            surface = texture(1000 * label_index + tile, 220 + 60 * (tile % 2), 300)
            for exposure in range(1, 7):
                number += 15
                # Every shot is cut out anew, up to 24 pixels off.
                top, left = 8 * (exposure % 3), 12 * (exposure % 2)
                shot = exposed(surface, 0.5 + 0.12 * exposure)[top : top + 200 + 60 * (tile % 2), left : left + 280]
                path = save(root / f"MT_{label}" / "Imgs" / f"exp{exposure}_num_{number}.jpg", shot)
                mask = np.zeros_like(shot)
                mask[20:60, 30:90] = 255 if label == "Blowhole" else 0
                save(path.with_suffix(".png"), mask)
            number += 500
    return root
