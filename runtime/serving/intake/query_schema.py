"""What a request may want, as the OpenAPI document describes it: parameters of the query, and fields of JSON."""

from typing import Any, Final

from runtime.serving.intake.wanted_answer import OVERLAY, PNG
from runtime.serving.intake.wanted_parts import NONE, OVERLAP, ROI, TILES

Json = dict[str, Any]

_ROI = "left, top, right and bottom, in pixels of the upright image, of what is looked at; of every image"
_TILES = "longer side, in pixels of the upright image, of the tiles that images are cut into: 16 to 65536"
_OVERLAP = "pixels of that side that the next tile sees too, at least: up to three quarters; without it a fifth"
_NOT_THE_MODELS = f"; {NONE} to do without what the model states"
_EXAMPLE_ROI: Final = (200, 100, 1800, 1100)
_EXAMPLE_TILES: Final = 512
_EXAMPLE_OVERLAP: Final = 64


def query_parameters() -> list[Json]:
    """Return the parameters of a query that are known where regions are answered."""
    drawn = f"1 for the image with its outlines drawn on it, as {PNG}, of one image"
    roi = {"type": "string", "pattern": f"^({NONE}|[0-9]+,[0-9]+,[0-9]+,[0-9]+)$"}
    tiles = {"type": "string", "pattern": f"^({NONE}|[0-9]+)$"}
    return [
        _parameter(OVERLAY, drawn, {"type": "string", "enum": ["0", "1"]}, "1"),
        _parameter(ROI, _ROI + _NOT_THE_MODELS, roi, ",".join(map(str, _EXAMPLE_ROI))),
        _parameter(TILES, _TILES + _NOT_THE_MODELS, tiles, str(_EXAMPLE_TILES)),
        _parameter(OVERLAP, _OVERLAP, {"type": "integer", "minimum": 0}, _EXAMPLE_OVERLAP),
    ]


def json_fields() -> Json:
    """Return the fields, none of them required, that a JSON body may have beside its images."""
    whole = {"type": "integer", "minimum": 0}
    return {
        ROI: {"type": "array", "items": whole, "description": _ROI, "example": list(_EXAMPLE_ROI)},
        TILES: {**whole, "description": _TILES, "example": _EXAMPLE_TILES},
        OVERLAP: {**whole, "description": _OVERLAP, "example": _EXAMPLE_OVERLAP},
    }


def _parameter(name: str, description: str, schema: Json, example: object) -> Json:
    described = f"{description[0].upper()}{description[1:]}."
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": described,
        "schema": schema,
        "example": example,
    }
