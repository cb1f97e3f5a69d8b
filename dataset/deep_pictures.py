"""What white is in pictures of 16 bits, which cameras of 10, 12 or 14 bits fill only in part.

The range is found once, over all pictures, when they are loaded, and is stated from there on: `description.json`, the
model's contract, the service. It is the smallest of 8, 10, 12, 14 and 16 bits that holds every sample, unless
`contract.max_value` of `params.yaml` names it. Pictures whose files state their own range are not asked.
"""

import logging
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ConfigDict

from project.params import Section
from runtime.formats.depth import LARGEST_16_BIT, scale_unsigned
from runtime.formats.sniff import HEAD_BYTES
from runtime.formats.unstated import may_be_unstated, unstated_samples
from runtime.model.contract import MaxValue
from runtime.model.errors import ImageError
from runtime.model.image import MAX_PIXELS

RANGES = (255, 1023, 4095, 16383, LARGEST_16_BIT)
# Fewer grey levels than this are reported, if scaling to 8 bits took most of those that the file has.
_FEW_LEVELS = 32
_MAX_NAMED = 20

logger = logging.getLogger(__name__)


class RangeParams(Section):
    """`contract:` of `params.yaml`, as far as loading pictures goes."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    max_value: Literal["auto"] | MaxValue = "auto"


@dataclass(frozen=True, slots=True)
class _Deep:
    """What the samples of one picture of 16 bits are. levels: how many are left of them at 8 bits, by range."""

    largest: int
    stored_levels: int
    levels: Mapping[int, int]


def find_max_value(files: Mapping[str, Path], stated: int | Literal["auto"] = "auto") -> int | None:
    """Return white of the pictures that do not state it, None if that is what 16 bits hold; log what was found.

    files: by the name under which a picture is reported. One that cannot be read is left to whoever decodes it.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(files, pool.map(lambda path: _measure(path, stated), files.values()), strict=True))
    deep = {name: measured for name, measured in found.items() if measured is not None}
    if stated != "auto":
        max_value: int | None = stated
    elif not deep or not (largest := max(measured.largest for measured in deep.values())):
        return None
    else:
        white = next(range_ for range_ in RANGES if largest <= range_)
        max_value = None if white == LARGEST_16_BIT else white
        _say_range(len(deep), largest, white)
    _warn_of_few_levels(deep, max_value or LARGEST_16_BIT)
    return max_value


def _measure(path: Path, stated: int | Literal["auto"]) -> _Deep | None:
    try:
        if not path.is_file():  # to open a pipe would wait for who writes it; reading the picture tells of it
            return None
        with path.open("rb") as file:
            if not may_be_unstated(file.read(HEAD_BYTES)):
                return None
        samples = unstated_samples(path.read_bytes(), MAX_PIXELS)
    except (OSError, ImageError):
        return None
    if samples is None:
        return None
    values = np.flatnonzero(np.bincount(samples.reshape(-1), minlength=1)).astype(np.uint16)
    largest = int(values[-1])
    ranges = [range_ for range_ in (RANGES if stated == "auto" else (stated,)) if largest <= range_]
    return _Deep(largest, len(values), {r: len(np.unique(scale_unsigned(values, r, "the data"))) for r in ranges})


def _say_range(count: int, largest: int, white: int) -> None:
    if white == LARGEST_16_BIT:
        return
    logger.info(
        "%d pictures of 16 bits go up to %d, so white is %d (%d bits) in all of them, in training and in the service. "
        "If that is wrong, set contract.max_value in params.yaml (65535 if they fill 16 bits)",
        count,
        largest,
        white,
        white.bit_length(),
    )


def _warn_of_few_levels(deep: Mapping[str, _Deep], white: int) -> None:
    """Log which pictures have almost no grey levels left at 8 bits, of many that their files have."""
    few = {
        name: levels
        for name, measured in deep.items()
        if (levels := measured.levels.get(white, _FEW_LEVELS)) < _FEW_LEVELS and 2 * levels < measured.stored_levels
    }
    if not few:
        return
    named = ", ".join(f"{name} ({levels})" for name, levels in list(few.items())[:_MAX_NAMED])
    more = f" and {len(few) - _MAX_NAMED} more" if len(few) > _MAX_NAMED else ""
    logger.warning(
        "%d pictures have almost no grey levels left once 0 to %d are brought to 8 bits: %s%s. If their camera has "
        "fewer bits than that, set contract.max_value in params.yaml",
        len(few),
        white,
        named,
        more,
    )
