"""Section `segmentation:` of a params file for tests: a small pyramid, and what replaces other sections."""

from typing import Any

from tests.training.pyramid_section import pyramid_section


def segmentation_section(
    *phases: dict[str, Any], channels: int = 8, coarsest_stride: int = 8, batch_size: int = 4
) -> dict[str, Any]:
    """Return the section; each phase needs `steps` and may have a `view` and more."""
    own = {"defect_weight": 3.0, "defect_view_share": 0.75, "gain_stops": 0.3, "gamma": 0.1}
    return own | pyramid_section(phases, channels, coarsest_stride, batch_size)
