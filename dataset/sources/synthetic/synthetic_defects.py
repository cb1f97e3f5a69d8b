"""The five defects of drawn tiles, each drawn into a surface and returned as a mask.

Severity is drawn from wide ranges on purpose: a third of the pores are tiny, cracks may be a pixel wide and faint,
and an uneven ground may differ by a few grey levels only.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dataset.sources.synthetic.synthetic_shapes import Points, fill, rough_outline, smooth_noise, soften, stroke, wander
from dataset.sources.synthetic.synthetic_surface import TileSurface

Mask = NDArray[np.bool_]

_BESIDE_TILE = 0.1  # reflectance; the table is at 0.03, the darkest bevel at about 0.4


def draw_defect(surface: TileSurface, label: str, rng: np.random.Generator) -> Mask:
    """Draw the defect of class `label` into `surface`, in place; nothing for Free.

    Returns `(height, width)` bool: where the defect is. Raises ValueError if the class is unknown.
    """
    if label == "Free":
        return np.zeros(surface.shape, dtype=np.bool_)
    if label not in _DEFECTS:
        raise ValueError(f"expected a class of {', '.join(['Free', *_DEFECTS])}, got '{label}'")
    before = surface.reflectance.copy()
    mask = _DEFECTS[label](surface, rng)
    is_beside = surface.matte <= _BESIDE_TILE  # no defect reaches there
    surface.reflectance[is_beside] = before[is_beside]
    return mask & ~is_beside


def _inside(surface: TileSurface, rng: np.random.Generator, inset_px: float) -> tuple[float, float]:
    left, top, right, bottom = surface.edges
    return (
        float(rng.uniform(left + inset_px, right - inset_px)),
        float(rng.uniform(top + inset_px, bottom - inset_px)),
    )


def _at_edge(surface: TileSurface, rng: np.random.Generator) -> tuple[float, float]:
    """Return a point on an edge, in a third of the cases in a corner, and always well inside the picture."""
    left, top, right, bottom = surface.edges
    along = float(rng.choice([0.0, 1.0]) if rng.random() < 0.35 else rng.uniform(0.1, 0.9))
    x, y = left + along * (right - left), top + along * (bottom - top)
    near = [(x, top), (x, bottom), (left, y), (right, y)][int(rng.integers(4))]
    height, width = surface.shape
    return float(np.clip(near[0], 10, width - 10)), float(np.clip(near[1], 10, height - 10))


def _blowhole(surface: TileSurface, rng: np.random.Generator) -> Mask:
    """One gas pore, or a few: a dark pit of 4 to 20 px, the larger ones with a rim that catches the light."""
    mask = np.zeros(surface.shape, dtype=np.bool_)
    for _ in range(1 + int(rng.random() < 0.3)):
        is_tiny = rng.random() < 0.35
        radius_px = float(rng.uniform(2, 3) if is_tiny else rng.uniform(4, 9.5))
        radii = (radius_px, radius_px * float(rng.uniform(0.55, 0.95)))
        outline = rough_outline(rng, _inside(surface, rng, 14), radii, 0.12)
        pit = soften(fill(surface.shape, outline), 0.6)
        depth = rng.uniform(0.45, 0.75) if is_tiny else rng.uniform(0.35, 0.75)
        surface.reflectance *= 1 - np.float32(depth) * pit
        if not is_tiny:
            middle = outline.mean(axis=0)
            shift = np.array([rng.uniform(-0.4, 0.4), rng.uniform(0.1, 0.4)]) * radius_px
            floor = soften(fill(surface.shape, 0.5 * (outline - middle) + middle + shift), 1)
            surface.reflectance *= 1 + np.float32(rng.uniform(0.1, 0.6)) * floor
        mask |= pit > 0.3
    return mask


def _break(surface: TileSurface, rng: np.random.Generator) -> Mask:
    """Material broken off an edge or a corner: a jagged dark scar with facets; on some tiles two."""
    mask = np.zeros(surface.shape, dtype=np.bool_)
    for _ in range(1 + int(rng.random() < 0.35)):
        centre = _at_edge(surface, rng)
        size_px = float(np.exp(rng.uniform(np.log(10), np.log(38))))
        outline = rough_outline(rng, centre, (size_px, size_px * float(rng.uniform(0.5, 0.9))), 0.6)
        corners = np.sort(rng.choice(len(outline), size=int(rng.integers(9, 18)), replace=False))
        scar = soften(fill(surface.shape, outline[corners]), 0.6)
        facets = np.clip(1 + 0.45 * smooth_noise(rng, surface.shape, (0.4 * size_px, 0.5 * size_px)), 0.3, 2)
        broken = np.float32(rng.uniform(0.25, 0.6)) * facets * (1 + 0.1 * smooth_noise(rng, surface.shape, (2, 2)))
        surface.reflectance += scar * (np.minimum(broken, 1.1) * surface.matte - surface.reflectance)
        mask |= scar > 0.4
    return mask


def _crack(surface: TileSurface, rng: np.random.Generator) -> Mask:
    """A thin dark line that wanders in from an edge or lies inside, mostly along the grinding; may fork."""
    left, top, right, bottom = surface.edges
    x = float(rng.uniform(left + 15, right - 15))
    length_px = float(rng.uniform(0.25, 0.9) * (bottom - top))
    if rng.random() < 0.6:
        start, heading = ((x, top), np.pi / 2) if rng.random() < 0.5 else ((x, bottom), -np.pi / 2)
    else:
        start, heading = _inside(surface, rng, 30), np.pi / 2 + float(rng.normal(0, 0.6))
    path = wander(rng, start, heading + rng.normal(0, 0.2), length_px, rng.uniform(0.1, 0.22))
    paths: list[Points] = [path]
    if rng.random() < 0.35:
        fork = path[len(path) // 2]
        turned = heading + rng.choice([-0.7, 0.7])
        paths.append(wander(rng, (float(fork[0]), float(fork[1])), turned, 0.4 * length_px, 0.2))
    width_px, depth = rng.uniform(1.2, 3.2), rng.uniform(0.35, 0.7)
    mask = np.zeros(surface.shape, dtype=np.bool_)
    for line in paths:
        taper = np.linspace(1, 0.5, len(line) - 1) * np.exp(rng.normal(0, 0.15, len(line) - 1))
        surface.reflectance *= 1 - np.float32(depth) * soften(stroke(surface.shape, line, width_px * taper), 0.4)
        mask |= stroke(surface.shape, line, width_px * taper + 1.5) > 0.3
    return mask


def _fray(surface: TileSurface, rng: np.random.Generator) -> Mask:
    """A hollow that the grinding wheel never reached: dull, without lines, with a clear but ragged border."""
    width, height = surface.edges[2] - surface.edges[0], surface.edges[3] - surface.edges[1]
    radii = (float(rng.uniform(0.12, 0.3) * width), float(rng.uniform(0.12, 0.34) * height))
    x, y = _inside(surface, rng, 35)
    if rng.random() < 0.35:  # at the lower or upper edge
        y = surface.edges[int(rng.choice([1, 3]))]
    alpha = soften(fill(surface.shape, rough_outline(rng, (x, y), radii, 0.22)), 0.9)
    pores = 1 + 0.06 * smooth_noise(rng, surface.shape, (2.5, 2.5)) + 0.05 * smooth_noise(rng, surface.shape, (20, 20))
    dull = np.float32(rng.uniform(0.62, 0.85)) * pores * surface.matte
    surface.reflectance += alpha * (dull - surface.reflectance)
    return alpha > 0.5


def _uneven(surface: TileSurface, rng: np.random.Generator) -> Mask:
    """A part ground in another pass: a step in brightness and in the lines along a slightly slanted border."""
    height, width = surface.shape
    is_band = rng.random() < 0.75
    if is_band:
        reach = rng.uniform(0.1, 0.5) * height
        x = np.linspace(-2, width + 2, 30)
        border = reach + rng.normal(0, 0.08) * (x - width / 2) + np.cumsum(rng.normal(0, 0.5, 30))
        region = np.concatenate([np.stack([x, border], axis=1), [[width + 2, -2], [-2, -2]]])
        region = region if rng.random() < 0.5 else [0, height] + region * [1, -1]
    else:
        radii = (float(rng.uniform(0.2, 0.4) * width), float(rng.uniform(0.2, 0.4) * height))
        region = rough_outline(rng, _inside(surface, rng, 50), radii, 0.3)
    alpha = soften(fill(surface.shape, region), rng.uniform(0.6, 1.5))
    lines = surface.reflectance / np.maximum(surface.matte, np.float32(0.02))
    other_pass = np.roll(lines, int(rng.integers(11, 40)), axis=1) ** np.float32(rng.choice([0.4, 1.8]))
    tone = np.float32(1 + rng.choice([-1, 1]) * rng.uniform(0.11, 0.3))
    surface.reflectance += alpha * (tone * other_pass * surface.matte - surface.reflectance)
    return alpha > 0.5


_DEFECTS: dict[str, Callable[[TileSurface, np.random.Generator], Mask]] = {
    "Blowhole": _blowhole,
    "Break": _break,
    "Crack": _crack,
    "Fray": _fray,
    "Uneven": _uneven,
}
