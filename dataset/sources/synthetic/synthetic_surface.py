"""A drawn tile without defect: ground steel, worn edges, and the harmless marks that make defects hard to tell.

Modelled on what photographs of ground magnetic tiles show (the set of "Surface defect saliency of magnetic tile",
The Visual Computer 36, 2020): vertical grinding lines, light that falls off towards the sides, chamfers, water stains,
chalk marks, dust. Nothing is copied from a photograph.
"""

from dataclasses import dataclass

import numpy as np

from dataset.sources.synthetic.synthetic_shapes import (
    FloatImage,
    fill,
    rough_outline,
    smooth_noise,
    soften,
    stroke,
    wander,
)

MARGIN_PX = 6  # drawn around the picture, so that every exposure may cut a slightly different part


@dataclass
class TileSurface:
    """One tile as an object, before light and camera.

    `reflectance`: `(height, width)`, about 1 on clean steel, near 0 beside the tile; `matte`: the same tile had it
    never been ground; `light`: the lamp's share that reaches each pixel, about 1. `edges`: left, top, right and bottom
    of the tile in pixels.
    """

    reflectance: FloatImage
    matte: FloatImage
    light: FloatImage
    edges: tuple[float, float, float, float]

    @property
    def shape(self) -> tuple[int, int]:
        return self.reflectance.shape[0], self.reflectance.shape[1]


def draw_surface(rng: np.random.Generator) -> TileSurface:
    """Draw a tile without defect, 186 to 314 px a side with `MARGIN_PX` more all round."""
    width, height = (int(side) + 2 * MARGIN_PX for side in rng.integers(186, 315, size=2))
    shape = (height, width)
    # An edge lies a few pixels inside the picture or, as often, just outside of it.
    inset = MARGIN_PX + rng.uniform(-6, 6, size=4)
    edges = (float(inset[0]), float(inset[1]), float(width - inset[2]), float(height - inset[3]))
    body = _body(rng, shape, edges)
    grain = 1 + 0.03 * smooth_noise(rng, shape, (1.5, 1.5)) + 0.025 * smooth_noise(rng, shape, (30, 30))
    steel = _chamfers(rng, shape, edges) * _marks(rng, shape)
    matte = 0.03 + body * (grain * steel - 0.03)
    reflectance = 0.03 + body * (grain * steel * _grinding(rng, shape) - 0.03)
    return TileSurface(reflectance, matte, _light(rng, shape), edges)


def _body(rng: np.random.Generator, shape: tuple[int, int], edges: tuple[float, float, float, float]) -> FloatImage:
    """Coverage of the tile: straight sides, top and bottom bowed as a curved tile's are, corners a little worn."""
    left, top, right, bottom = edges
    along = np.linspace(-1, 1, 40)
    x = (left + right) / 2 + along * (right - left) / 2
    bow = rng.uniform(-3, 5, size=2)
    tilt = rng.uniform(-2, 2, size=2)
    wear = rng.uniform(1, 7, size=2) * np.abs(along[:, None]) ** 40 + rng.normal(0, 0.25, size=(40, 2))
    upper = top + bow[0] * along**2 + tilt[0] * along + wear[:, 0]
    lower = bottom - bow[1] * along**2 + tilt[1] * along - wear[:, 1]
    outline = np.concatenate([np.stack([x, upper], axis=1), np.stack([x, lower], axis=1)[::-1]])
    return soften(fill(shape, outline), 0.7)


def _grinding(rng: np.random.Generator, shape: tuple[int, int]) -> FloatImage:
    """Vertical grinding lines as a factor about 1; bright lines stand out more than dark ones."""
    through = smooth_noise(rng, shape, (900, 1.2))  # every line on its own tilts and fades a little over the height
    streaks = smooth_noise(rng, shape, (70, 1.2))
    scratches = smooth_noise(rng, shape, (9, 1))
    bands = smooth_noise(rng, shape, (900, 9))
    lines = 0.6 * through + 0.4 * streaks + 0.35 * scratches + 0.35 * bands
    # The wheel bites in some bands and glazes in others.
    strength = rng.uniform(0.055, 0.13) * np.exp(
        0.35 * smooth_noise(rng, shape, (900, 35)) + 0.2 * smooth_noise(rng, shape, (120, 60))
    )
    # A few deep lines shine over the whole height.
    shine = rng.uniform(0, 0.35) * np.maximum(smooth_noise(rng, shape, (500, 1.5)) - 1.8, 0)
    factor: FloatImage = (np.exp(strength * lines) * (1 + shine)).astype(np.float32)
    return factor


def _chamfers(rng: np.random.Generator, shape: tuple[int, int], edges: tuple[float, ...]) -> FloatImage:
    """A bevel along the left and the right side of about half of the tiles: darker or brighter, with a bright rim."""
    x = np.arange(shape[1], dtype=np.float32)
    factor = np.ones(shape[1], dtype=np.float32)
    for distance in (x - edges[0], edges[2] - x):
        bevel_px = rng.uniform(3, 14)
        tone = rng.choice([0.55, 0.7, 0.85, 1.35])
        rim = rng.uniform(0, 0.8)
        if rng.random() < 0.6:
            factor *= np.where(distance < bevel_px, np.float32(tone), np.float32(1))
            factor *= 1 + np.float32(rim) * np.exp(-(((distance - bevel_px) / 1.5) ** 2))
    return np.broadcast_to(factor, shape).astype(np.float32)


def _light(rng: np.random.Generator, shape: tuple[int, int]) -> FloatImage:
    """Light on a curved tile: falls off to the sides, drifts, and on some tiles glares or shades smoothly."""
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j].astype(np.float32)
    centre, falloff, power = rng.uniform(-0.5, 0.5), rng.uniform(0.1, 0.55), rng.uniform(1.6, 4)
    light = 1 - falloff * np.abs(np.clip((x - centre) / (1 + abs(centre)), -1, 1)) ** power
    light = light * (1 + rng.uniform(-0.22, 0.22) * y) * (1 + 0.06 * smooth_noise(rng, shape, (150, 150)))
    for tone, chance in ((1.0, 0.25), (-0.5, 0.35)):  # a glare, a shade
        spot_x, spot_y = rng.uniform(-1.1, 1.1, size=2)
        size_x, size_y = rng.uniform(0.2, 0.6, size=2)
        amount = tone * rng.uniform(0.3, 1)
        if rng.random() < chance:
            light = light * (1 + amount * np.exp(-(((x - spot_x) / size_x) ** 2) - ((y - spot_y) / size_y) ** 2))
    clipped: FloatImage = np.clip(light, 0.12, 2.2).astype(np.float32)
    return clipped


def _marks(rng: np.random.Generator, shape: tuple[int, int]) -> FloatImage:
    """Harmless marks as a factor: each resembles one defect, fainter, softer or smaller than the true one."""
    grime = np.maximum(0.7 * smooth_noise(rng, shape, (4, 2)) + smooth_noise(rng, shape, (45, 35)) - 1, 0)
    factor: FloatImage = 1 - np.float32(rng.uniform(0, 0.1)) * grime
    for _ in range(rng.poisson(1.2)):
        factor *= _water_stain(rng, shape)
    for _ in range(rng.poisson(1.5)):
        factor *= _dust(rng, shape)
    for _ in range(rng.poisson(0.6)):
        factor *= _hairline(rng, shape)
    for _ in range(rng.poisson(0.5)):
        factor *= _dull_patch(rng, shape)
    for _ in range(rng.poisson(0.25)):
        factor *= _chalk(rng, shape)
    return factor


def _anywhere(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[float, float]:
    return float(rng.uniform(0, shape[1])), float(rng.uniform(0, shape[0]))


def _water_stain(rng: np.random.Generator, shape: tuple[int, int]) -> FloatImage:
    """The drying rim of a drop: an open dark arc, soft, and a trace of grey within."""
    radii = (float(rng.uniform(12, 60)), float(rng.uniform(10, 40)))
    rim = rough_outline(rng, _anywhere(rng, shape), radii, 0.35)[: int(rng.integers(18, 60))]
    arc = soften(stroke(shape, rim, rng.uniform(1, 2.5)), rng.uniform(0.7, 1.6))
    return 1 - np.float32(rng.uniform(0.08, 0.3)) * arc


def _dust(rng: np.random.Generator, shape: tuple[int, int]) -> FloatImage:
    """A speck of 1.5 to 5 px, mostly dark; the larger the fainter, so no speck looks like a full blowhole."""
    radius_px = float(rng.uniform(0.7, 2.5))
    speck = soften(fill(shape, rough_outline(rng, _anywhere(rng, shape), (radius_px, radius_px), 0.3)), 0.8)
    tone = rng.choice([-1, -1, -1, 0.8]) * rng.uniform(0.2, 0.5) / max(1.0, radius_px / 1.3)
    return 1 + np.float32(tone) * speck


def _hairline(rng: np.random.Generator, shape: tuple[int, int]) -> FloatImage:
    """A handling scratch: straighter, fainter than a crack, in any direction and as often bright as dark."""
    path = wander(rng, _anywhere(rng, shape), rng.uniform(0, 2 * np.pi), rng.uniform(12, 70), 0.04)
    line = soften(stroke(shape, path, rng.uniform(0.5, 1.2)), 0.5)
    return 1 + np.float32(rng.choice([-0.28, 0.35]) * rng.uniform(0.4, 1)) * line


def _dull_patch(rng: np.random.Generator, shape: tuple[int, int]) -> FloatImage:
    """A smudge with a diffuse border: darker or brighter, as oil or a fingerprint leaves it."""
    radii = (float(rng.uniform(10, 50)), float(rng.uniform(10, 40)))
    patch = soften(fill(shape, rough_outline(rng, _anywhere(rng, shape), radii, 0.4)), rng.uniform(4, 12))
    return 1 + np.float32(rng.choice([-1, -1, 1]) * rng.uniform(0.05, 0.25)) * patch


def _chalk(rng: np.random.Generator, shape: tuple[int, int]) -> FloatImage:
    """A stroke or two of a worker's chalk mark."""
    factor = np.ones(shape, dtype=np.float32)
    start = _anywhere(rng, shape)
    for _ in range(int(rng.integers(1, 3))):
        path = wander(rng, start, rng.uniform(0, 2 * np.pi), rng.uniform(25, 60), 0.15)
        factor *= 1 + np.float32(rng.uniform(0.1, 0.3)) * soften(stroke(shape, path, rng.uniform(3, 5)), 1.2)
    return factor
