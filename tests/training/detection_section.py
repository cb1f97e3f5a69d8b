"""Section `detection:` of a params file for tests: a small pyramid, and what replaces other sections."""

from typing import Any

from tests.training.pyramid_section import pyramid_section


def detection_section(
    *phases: dict[str, Any], channels: int = 8, coarsest_stride: int = 8, batch_size: int = 4
) -> dict[str, Any]:
    """Return the section; each phase needs `steps` and may have a `view` and more."""
    return {"max_boxes": 20, **pyramid_section(phases, channels, coarsest_stride, batch_size)}
