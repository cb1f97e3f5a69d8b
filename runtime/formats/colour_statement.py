"""Colours that a file states by numbers instead of by a profile: PNG's chunks, and the code points of ITU-T H.273.

Each is brought into the form of an ICC profile, so that all colours take one way, `runtime.formats.colour`.
"""

import struct
import zlib
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from runtime.formats.colour import MAX_PROFILE_BYTES
from runtime.formats.stored import not_accepted

# x and y of white, red, green and blue.
Chromaticities = tuple[float, ...]
_D65 = (0.3127, 0.3290)
SRGB: Chromaticities = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_PRIMARIES: dict[int, Chromaticities] = {
    1: SRGB,
    2: SRGB,  # unspecified
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),  # BT.2020
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),  # Display P3
}
SRGB_CURVE = 0.0  # as an exponent: sRGB's curve, which is none
# Of video, BT.709 among them: what was coded by them is shown by a screen's curve.
_EXPONENTS = {1: SRGB_CURVE, 2: SRGB_CURVE, 4: 2.2, 5: 2.8, 6: SRGB_CURVE, 8: 1.0, 13: SRGB_CURVE, 14: SRGB_CURVE}
_HDR = {16: "PQ", 18: "HLG"}
_SHOWN = "PNG of 8 bits in sRGB"  # what to convert it to
# gAMA of 1/2.2 stands for sRGB (PNG specification, 11.3.2.5).
_SRGB_GAMMA = range(45_000, 46_000)
_SANE_GAMMA = range(20_000, 500_000)
_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_CURVE_OF_SRGB = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def stated_profile(chunks: Mapping[bytes, bytes]) -> bytes:
    """Return the ICC profile of the colours that a PNG states, b"" for sRGB or for nothing that can be used.

    chunks: bodies by name. cICP comes before iCCP, that before sRGB, and that before gAMA and cHRM, as the standard
    says. Raises ImageError for high dynamic range, which 8 bits do not hold, and for video's narrow range.
    """
    if len(code := chunks.get(b"cICP", b"")) == 4 and code[2] == 0 and code[3] < 2:
        primaries, transfer, _, is_full = code
        profile = coded_profile(primaries, transfer, "PNG")
        if primaries in _PRIMARIES and transfer in _EXPONENTS:
            if not is_full:
                raise not_accepted("a PNG whose samples fill the range of video only (cICP)", _SHOWN)
            return profile
    if profile := _embedded(chunks.get(b"iCCP", b"")):
        return profile
    if b"sRGB" in chunks:
        return b""
    return numeric_profile(_gamma(chunks.get(b"gAMA", b"")), _chromaticities(chunks.get(b"cHRM", b"")))


def coded_profile(primaries: int, transfer: int, name: str) -> bytes:
    """Return the profile of the code points of H.273, b"" for sRGB and for those that are not known."""
    if transfer in _HDR:
        raise not_accepted(f"a {name} of high dynamic range ({_HDR[transfer]})", _SHOWN)
    if primaries not in _PRIMARIES or transfer not in _EXPONENTS:
        return b""
    return numeric_profile(_EXPONENTS[transfer], _PRIMARIES[primaries])


@lru_cache(maxsize=16)
def numeric_profile(exponent: float, colours: Chromaticities) -> bytes:
    """Make an ICC profile of a power curve and chromaticities; b"" if it would be sRGB's or colours make no sense."""
    columns = None if exponent == SRGB_CURVE and colours == SRGB else _to_d50(colours)
    if columns is None:
        return b""
    tags: dict[bytes, bytes] = {b"wtpt": _xyz(_D50)}
    for band, name in enumerate((b"r", b"g", b"b")):
        tags[name + b"XYZ"] = _xyz(tuple(columns[:, band]))
        tags[name + b"TRC"] = _curve(exponent)
    return _profile(tags)


def _embedded(body: bytes) -> bytes:
    """Unpack an iCCP chunk; b"" if it is damaged or unpacks to more than is read."""
    _, separator, packed = body.partition(b"\0")
    if not separator or packed[:1] != b"\0":
        return b""
    try:
        unpacker = zlib.decompressobj()
        profile = unpacker.decompress(packed[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return b""
    return profile if unpacker.eof else b""


def _gamma(body: bytes) -> float:
    value = int.from_bytes(body) if len(body) == 4 else 0
    return 100_000 / value if value in _SANE_GAMMA and value not in _SRGB_GAMMA else SRGB_CURVE


def _chromaticities(body: bytes) -> Chromaticities:
    if len(body) != 32:
        return SRGB
    stated = tuple(value / 100_000 for value in struct.unpack(">8I", body))
    is_srgb = max(abs(one - other) for one, other in zip(stated, SRGB, strict=True)) < 0.001
    return SRGB if is_srgb else stated


def _to_d50(colours: Chromaticities) -> NDArray[np.float64] | None:
    """Return the columns that bring linear RGB to XYZ under D50; None if the primaries span no colours."""
    xy = np.array(colours).reshape(4, 2)
    if (xy[:, 1] <= 0).any() or (xy.sum(axis=1) > 1.5).any():
        return None
    white, *primaries = np.column_stack([xy[:, 0] / xy[:, 1], np.ones(4), (1 - xy.sum(axis=1)) / xy[:, 1]])
    columns = np.array(primaries).T
    if abs(np.linalg.det(columns)) < 1e-3:
        return None
    columns = columns * np.linalg.solve(columns, white)
    gain = (_BRADFORD @ np.array(_D50)) / (_BRADFORD @ white)
    adapted: NDArray[np.float64] = np.linalg.inv(_BRADFORD) @ np.diag(gain) @ _BRADFORD @ columns
    return adapted if np.isfinite(adapted).all() and np.abs(adapted).max() < 4 else None


def _fixed(values: tuple[float, ...]) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(values)


def _curve(exponent: float) -> bytes:
    """Return a parametricCurveType (ICC.1:2010, 10.16)."""
    if exponent == SRGB_CURVE:
        return b"para\0\0\0\0\0\x03\0\0" + _fixed(_CURVE_OF_SRGB)
    return b"para\0\0\0\0\0\0\0\0" + _fixed((exponent,))


def _profile(tags: Mapping[bytes, bytes]) -> bytes:
    table, bodies = struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(bodies), len(body))
        bodies += body
    header = bytes(8) + b"\x04\x20\0\0mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28) + _fixed(_D50)
    whole = header.ljust(128, b"\0") + table + bodies
    return struct.pack(">I", len(whole)) + whole[4:]
