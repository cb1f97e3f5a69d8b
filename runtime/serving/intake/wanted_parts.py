"""Which parts of its pictures a request wants looked at: `roi`, `tiles` and `overlap` of its query or its JSON."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final, Literal, NamedTuple, Self

from pydantic import TypeAdapter, ValidationError

from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.model.contract import ModelContract, SegmentationContract
from runtime.model.tiles import PixelBox, Roi, TileParams
from runtime.serving.intake.body_forms import shown

ROI, TILES, OVERLAP = "roi", "tiles", "overlap"
PARTS: Final = (ROI, TILES, OVERLAP)
NONE: Final = "none"  # in a query: not what the contract states, but nothing of the kind
_ROI: TypeAdapter[PixelBox] = TypeAdapter(Roi)
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_NUMBERS = re.compile(r"[0-9]{1,9}(,[0-9]{1,9}){3}", re.ASCII)


class Parts(NamedTuple):
    """What is looked at of each picture of a request: all of it, unless a region of interest or tiles are there."""

    tiles: TileParams | None
    roi: PixelBox | None


@dataclass(frozen=True)
class WantedParts:
    """What a request says of parts, in pixels; None where it says nothing."""

    roi: PixelBox | Literal["none"] | None = None
    tiles: int | Literal["none"] | None = None
    overlap: int | None = None

    @classmethod
    def of_query(cls, query: Mapping[str, str]) -> Self:
        """Read the parameters of a query. Raises RequestRefused for a value that cannot be used."""
        roi, tiles, overlap = (query.get(name) for name in PARTS)
        return cls(
            roi=NONE if roi == NONE else _read_roi(roi),
            tiles=NONE if tiles == NONE else _read_number(TILES, tiles),
            overlap=_read_number(OVERLAP, overlap),
        )

    @classmethod
    def of_json(cls, values: Mapping[str, object]) -> Self:
        """Read the fields of a JSON body: a list of four whole numbers, and whole numbers. Raises RequestRefused."""
        roi, tiles, overlap = (values.get(name) for name in PARTS)
        if roi is not None and not (isinstance(roi, list) and len(roi) == 4 and all(map(_is_whole, roi))):
            raise _wrong(f"'{ROI}' must be a list of four whole numbers, [left, top, right, bottom]", roi)
        for name, value in ((TILES, tiles), (OVERLAP, overlap)):
            if value is not None and not _is_whole(value):
                raise _wrong(f"'{name}' must be a whole number of pixels", value)
        return cls(
            roi=None if roi is None else _read_roi(",".join(map(str, roi))),
            tiles=None if tiles is None else _read_number(TILES, str(tiles)),
            overlap=None if overlap is None else _read_number(OVERLAP, str(overlap)),
        )

    def joined(self, other: "WantedParts") -> "WantedParts":
        """Return what both say. Raises RequestRefused if both say the same thing."""
        stated = {}
        for one in (self, other):
            for found in fields(one):
                if (value := getattr(one, found.name)) is not None:
                    if found.name in stated:
                        message = f"'{found.name}' is in the query and in the body; state it once"
                        raise RequestRefused(RequestErrorCode.MALFORMED, message)
                    stated[found.name] = value
        return WantedParts(**stated)

    def over(self, contract: ModelContract) -> Parts:
        """Return what is looked at: what the request says, and what the contract states of which it says nothing.

        A request with tiles and without an overlap has the usual one. Raises RequestRefused if tiles cannot be so.
        """
        stated = Parts(None, None)
        if isinstance(contract, SegmentationContract):
            stated = Parts(contract.tiles, contract.roi)
        roi = stated.roi if self.roi is None else self.roi
        return Parts(self._tiles(stated.tiles), None if roi == NONE else roi)

    def _tiles(self, stated: TileParams | None) -> TileParams | None:
        size_px = stated.size_px if self.tiles is None and stated else self.tiles
        if size_px is None or size_px == NONE:
            if self.overlap is not None:
                message = f"'{OVERLAP}' says how much tiles overlap, and there are none; state '{TILES}' as well"
                raise RequestRefused(RequestErrorCode.MALFORMED, message)
            return None
        if self.tiles is None and self.overlap is None:
            return stated
        try:
            return TileParams(size_px=size_px, overlap_px=self.overlap)
        except ValidationError as exc:
            [problem] = exc.errors()
            name = TILES if problem["loc"] else OVERLAP
            raise _wrong(f"'{name}' cannot be used: {problem['msg']}", getattr(self, name)) from exc


def _read_roi(text: str | None) -> PixelBox | None:
    if text is None:
        return None
    if not _NUMBERS.fullmatch(text):
        raise _wrong(f"'{ROI}' must be four whole numbers of pixels, left,top,right,bottom", text)
    try:
        return _ROI.validate_python(tuple(map(int, text.split(","))))
    except ValidationError as exc:
        raise _wrong(f"'{ROI}' must have left < right and top < bottom", text) from exc


def _read_number(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        raise _wrong(f"'{name}' must be a whole number of pixels", text)
    return int(text)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _wrong(what: str, value: object) -> RequestRefused:
    return RequestRefused(RequestErrorCode.MALFORMED, f"{what}, got {shown(repr(value))}")
