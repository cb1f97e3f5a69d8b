"""The segments of a JPEG: where its frame, its scans and its metadata lie, found without decoding anything.

Segments are walked by their lengths, so neither what an APPn block holds nor what lies behind the end of the picture
is taken for a part of it. The walk is bounded: it looks at each byte once, and at no more than `MAX_SEGMENTS` segments.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from runtime.formats.stored import damaged, not_accepted

# A scan walks the whole picture again, so a small file with thousands of them keeps a core busy for hours. Encoders
# write about 10. Source: "Two Issues with the JPEG Standard", libjpeg-turbo project.
MAX_SCANS = 100
# 64 kB each: more than the largest body that is accepted.
MAX_SEGMENTS = 10_000
END = b"\xff\xd9"
_DHT, _SOI, _EOI, _SOS, _DQT, _DNL, _DRI, _DAC, _DHP = 0xC4, 0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xCC, 0xDE
_PROGRESSIVE = 0xC2
_JPEG_LS = 0xF7
_FRAMES = frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, _DAC} | {_DHP}
_METADATA = frozenset(range(0xE0, 0xF0)) | {0xFE}
_TABLES = frozenset({_DHT, _DQT, _DRI, _DAC})
_READ_METADATA = frozenset({0xE0, 0xE1, 0xE2, 0xEE})
_ALONE = frozenset({0x01, *range(0xD0, 0xDA)})  # without a length
_NO_MARKERS = (b"", b"\0", b"\xff")
# Looked at in one go: few bytes first, or thousands of small segments would have each byte looked at as often.
_FIRST_BLOCK, _BLOCK = 1 << 8, 1 << 16
_ALL_COEFFICIENTS = (1 << 64) - 1
# Whether the byte behind 0xff makes it a marker: 0x00 is a stuffed byte of coded data, another 0xff fills.
_MARKERS: NDArray[np.bool_] = np.ones(256, dtype=np.bool_)
_MARKERS[[0x00, 0xFF]] = False
_MARKERS_BUT_RESTARTS = _MARKERS.copy()
_MARKERS_BUT_RESTARTS[0xD0:0xD8] = False


@dataclass(frozen=True, slots=True)
class Frame:
    """A start of frame: `process` is its marker's second byte, 0xC0 to 0xC2 (progressive); `components` are ids."""

    process: int
    height: int
    width: int
    components: tuple[int, ...]


@dataclass(slots=True)
class Segments:
    """One JPEG as far as its picture goes.

    head: what decoding needs before the first scan, from SOI on, without metadata. first_scan, end: where the scans
    lie. ended: whether an end marker follows them. exif: the block with its prefix, b"" if there is none.
    """

    data: bytes
    head: list[bytes] = field(default_factory=lambda: [b"\xff\xd8"])
    frame: Frame | None = None
    first_scan: int = 0
    end: int = 0
    ended: bool = False
    exif: bytes = b""
    num_scans: int = 0
    _one_scan: bool = True
    _restarts: bool = False
    _profile: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    _complete: dict[int, int] = field(default_factory=dict)

    @property
    def profile(self) -> bytes:
        """The ICC profile, b"" if there is none or a part of it is missing."""
        counts = {count for count, _ in self._profile.values()}
        if counts != {len(self._profile)}:
            return b""
        return b"".join(self._profile[number][1] for number in sorted(self._profile))

    def is_read_in_one_go(self) -> bool:
        """Say whether a decoder need not hold the whole picture's coefficients, which several scans complete."""
        return self._one_scan and self.frame is not None and self.frame.process != _PROGRESSIVE

    def has_every_component(self) -> bool:
        """Say whether no component lacks its scans altogether; in a progressive JPEG the first of them suffices."""
        return self.frame is not None and all(self._complete.get(c, 0) & 1 for c in self.frame.components)

    def has_every_scan(self) -> bool:
        """Say whether the scans give every bit of every coefficient."""
        components = () if self.frame is None else self.frame.components
        return self.has_every_component() and all(self._complete[c] >> 1 == _ALL_COEFFICIENTS for c in components)


def read_segments(data: bytes) -> Segments:
    """Walk a JPEG's segments from its start of image to the end of its last scan.

    data: begins with SOI. Raises ImageError if there is no frame or no scan, or more than `MAX_SCANS` scans.
    """
    found = Segments(data)
    at = 2
    for _ in range(MAX_SEGMENTS):
        marker, body, after = _segment(data, at)
        if found.num_scans and (not _may_follow_scan(marker) or after > len(data)):
            found.end, found.ended = body - 2, marker == _EOI and body <= len(data)
            return found
        if after > len(data) or marker == _EOI:
            raise damaged("the JPEG ends before its pixels")
        if marker == _SOS:
            _take_scan(found, data[body + 2 : after])
            found.first_scan = found.first_scan or body - 2
            after = _next_marker(data, after, found._restarts)
        elif marker in _METADATA:
            if not found.num_scans and marker in _READ_METADATA:
                _take_metadata(found, marker, data[body - 2 : after])
        else:
            _take(found, marker, data[body - 2 : after])
        at = after
    raise damaged(f"the JPEG has more than {MAX_SEGMENTS} segments")


def _segment(data: bytes, at: int) -> tuple[int, int, int]:
    """Find the next marker: its second byte, where its length lies, and where the segment ends.

    Without one, the end of the data, past it. Bytes that belong to no segment are passed over, as libjpeg does.
    """
    if data[at : at + 1] != b"\xff" or data[at + 1 : at + 2] in _NO_MARKERS:
        at = _next_marker(data, at, restarts=False)
        if at == len(data):
            return _EOI, at + 2, at + 2
    marker = data[at + 1]
    at += 2
    if marker in _ALONE:
        return marker, at, at
    # A length below 2 counts for none: libjpeg goes on behind it.
    return marker, at, at + max(2, int.from_bytes(data[at : at + 2]))


def _may_follow_scan(marker: int) -> bool:
    return marker in _TABLES or marker in _METADATA or marker in (_SOS, _DNL)


def _take(found: Segments, marker: int, segment: bytes) -> None:
    """Note what a segment says that is neither a scan nor metadata. segment: from its marker on."""
    body = segment[4:]
    if marker in _TABLES:
        if not found.num_scans:
            found.head.append(segment)
        if marker == _DRI:
            found._restarts = any(body)
    elif marker in _FRAMES:
        if found.frame is not None:
            raise damaged("the JPEG has two frames")
        found.frame = _frame(marker, body)
        found.head.append(segment)
    elif marker == _DNL:
        if found.frame is not None and not found.frame.height and len(body) == 2:
            _state_height(found, body)
    elif marker == _JPEG_LS:
        raise not_accepted("JPEG-LS")
    elif marker not in _ALONE or marker == _SOI:
        raise damaged(f"the JPEG has an unexpected marker ff{marker:02x}")


def _take_metadata(found: Segments, marker: int, segment: bytes) -> None:
    """Note metadata that say how the picture is shown: only if they are whole."""
    body = segment[4:]
    if marker == 0xE1:
        if body.startswith(b"Exif\0\0") and not found.exif:
            found.exif = body
    elif marker == 0xE2:
        if body.startswith(b"ICC_PROFILE\0") and len(body) >= 14:
            found._profile[body[12]] = body[13], body[14:]
    elif (body.startswith(b"JFIF\0") and len(body) >= 14) or (body.startswith(b"Adobe") and len(body) >= 12):
        # By these a decoder tells YCbCr from RGB, and CMYK from YCCK.
        found.head.append(segment)


def _frame(process: int, body: bytes) -> Frame:
    if len(body) < 9 or len(body) != 6 + 3 * body[5]:
        raise damaged("the JPEG's frame header is damaged")
    height, width = int.from_bytes(body[1:3]), int.from_bytes(body[3:5])
    if kind := _kind_that_is_not_read(process, body[0], body[5]):
        raise not_accepted(kind)
    return Frame(process, height, width, tuple(body[6::3]))


def _kind_that_is_not_read(process: int, precision: int, num_components: int) -> str:
    if process in (0xC3, 0xC7):
        return "a lossless JPEG"
    if process in (0xC5, 0xC6, _DHP):
        return "a hierarchical JPEG"
    if process > 0xC8:
        return "a JPEG with arithmetic coding"
    if precision != 8:
        return f"a {precision}-bit JPEG"
    return "" if num_components in (1, 3, 4) else f"a JPEG of {num_components} components"


def _state_height(found: Segments, height: bytes) -> None:
    """Put the height that follows the first scan where a decoder looks for it."""
    frame = found.frame
    assert frame is not None
    found.frame = Frame(frame.process, int.from_bytes(height), frame.width, frame.components)
    found.head = [part[:5] + height + part[7:] if part[1] == frame.process else part for part in found.head]


def _take_scan(found: Segments, body: bytes) -> None:
    if found.frame is None or not body or len(body) != 4 + 2 * body[0]:
        raise damaged("the JPEG's scan header is damaged")
    found.num_scans += 1
    if found.num_scans > MAX_SCANS:
        raise damaged(f"the JPEG has more than {MAX_SCANS} scans")
    components = body[1 : 1 + 2 * body[0] : 2]
    found._one_scan = found._one_scan and len(components) == len(found.frame.components)
    first, last, bits_left = body[-3], body[-2], body[-1] & 15
    if found.frame.process != _PROGRESSIVE:
        first, last, bits_left = 0, 63, 0
    coefficients = (2 << min(last, 63)) - (1 << first) if bits_left == 0 and first <= last else 0
    for component in components:
        # The lowest bit says that there was a scan of the mean at all, those above which coefficients are complete.
        found._complete[component] = found._complete.get(component, 0) | coefficients << 1 | (first == 0)


def _next_marker(data: bytes, at: int, restarts: bool) -> int:
    """Return where the next marker is, passing over stuffed bytes and fill; the end of the data without one.

    restarts: pass over restart markers too, which are a part of coded data where these state an interval.
    """
    is_marker = _MARKERS_BUT_RESTARTS if restarts else _MARKERS
    values = np.frombuffer(data, dtype=np.uint8)
    start, size = at, _FIRST_BLOCK
    while start < len(data):
        block = values[start : start + size + 1]
        candidates = np.flatnonzero(block[:-1] == 0xFF)
        found = candidates[is_marker[block[candidates + 1]]]
        if found.size:
            return start + int(found[0])
        start, size = start + size, min(2 * size, _BLOCK)
    return len(data)
