"""JPEG: decoded at reduced scale where that is enough, and only if its scans give every pixel.

Pillow is given the picture alone: no metadata, which plays no part in the pixels and may be damaged, and nothing of
what lies behind the end.
"""

from typing import IO, cast

from PIL import Image, ImageChops
from PIL.JpegImagePlugin import JpegImageFile

from runtime.formats.jpeg_segments import END, Segments, read_segments
from runtime.formats.orientation import orientation_of
from runtime.formats.stored import ReadOptions, Size, StoredPicture, check_pixels, damaged, part

# Pixels of `at_least` by which the far edge may move where the scale does not divide a side: far below what is seen.
_MAX_SLIVER = 0.2
# What stands in for coded data that are missing. It decodes to noise, while libjpeg makes up plain grey.
_NOISE = bytes((37 * k * k + 101 * k + 11) % 251 for k in range(4096))
# Cameras that lose power leave sectors of zeros. Fewer may be coded data.
_MIN_ZEROS = 32


def read_jpeg(data: bytes, options: ReadOptions) -> StoredPicture:
    """Read the first picture of a JPEG file; of a multi-picture one too.

    A picture without its end marker is whole if its scans give every pixel. One whose scans end early is refused, with
    an end marker or without. Raises ImageError.
    """
    segments = read_segments(data)
    frame = segments.frame
    assert frame is not None  # or the scans would have been refused
    size = (frame.height, frame.width)
    orientation = orientation_of(segments.exif)
    scale = 1
    if options.at_least is not None:
        upright_size = size[::-1] if orientation >= 5 else size
        at_least = options.at_least(upright_size) if callable(options.at_least) else options.at_least
        scale = _scale(upright_size, at_least)
    _check_size(segments, size, scale, options)
    return StoredPicture(_decode_whole(segments, scale), size, orientation, segments.profile)


def jpeg_size(data: bytes) -> Size:
    """Return (height, width) of a JPEG as it is stored, without decoding it. Raises ImageError as `read_jpeg` does."""
    frame = read_segments(data).frame
    assert frame is not None
    return frame.height, frame.width


def _check_size(segments: Segments, size: Size, scale: int, options: ReadOptions) -> None:
    """Count what is held in memory: the reduced picture, or all coefficients where several scans give them."""
    height, width = size
    if scale == 1 or not segments.is_read_in_one_go():
        check_pixels(width, height, options.max_pixels)
    else:
        check_pixels(width, height, options.max_reduced_pixels)
        check_pixels(-(-width // scale), -(-height // scale), options.max_pixels)


def _scale(size: Size, at_least: Size) -> int:
    """Return by how much a JPEG may be reduced: 8, 4, 2 or 1 (not at all)."""
    for scale in (8, 4, 2):
        reduced = [side / scale for side in size]
        slivers = [abs(side - round(side)) / side if side else 1.0 for side in reduced]
        if all(
            side >= least and sliver * least <= _MAX_SLIVER
            for side, sliver, least in zip(reduced, slivers, at_least, strict=True)
        ):
            return scale
    return 1


def _decode_whole(segments: Segments, scale: int) -> Image.Image:
    """Decode, and make sure that nothing is made up where the scans end early, which libjpeg does in silence."""
    if not segments.has_every_component():
        raise damaged("the JPEG lacks the scans of a component")
    scans = memoryview(segments.data)[segments.first_scan : segments.end]
    if not segments.ended:
        scans = memoryview(_without_filling(bytes(scans)))
    image = _decode(segments, scans, scale)
    if not (segments.ended and segments.has_every_scan()) or _ends_grey(image):
        _check_all_there(segments, scans, image, scale)
    return _without_sliver(image, segments, scale)


def _check_all_there(segments: Segments, scans: memoryview, image: Image.Image, scale: int) -> None:
    """Raise ImageError if what follows the coded data changes the picture: then they are not all there.

    A decoder takes them as all there if only later scans of a progressive picture are missing, and a person sees it,
    less sharp; with an end marker it is taken, since encoders may stop there.
    """
    is_whole = segments.ended or segments.has_every_scan()
    if is_whole and scale > 1 and not segments.is_read_in_one_go():
        # What a later scan gives may not show at reduced scale.
        image, scale = _decode(segments, scans, 1), 1
    if not is_whole or ImageChops.difference(image, _decode(segments, scans, scale, _NOISE)).getbbox():
        raise damaged("the JPEG's coded data end before the picture does")


class _Pieces:
    """A file to read from that is several pieces, since to join those of a large picture takes milliseconds."""

    def __init__(self, *pieces: bytes | memoryview) -> None:
        self._pieces, self._at = pieces, 0

    def seek(self, at: int) -> int:
        self._at = at
        return at

    def tell(self) -> int:
        return self._at

    def read(self, size: int) -> bytes:
        found, start = [], 0
        for piece in self._pieces:
            left = max(0, self._at - start)
            if size > 0 and left < len(piece):
                found.append(piece[left : left + size])
                self._at += len(found[-1])
                size -= len(found[-1])
            start += len(piece)
        return b"".join(found)


def _decode(segments: Segments, scans: memoryview, scale: int, behind: bytes = b"") -> Image.Image:
    image = JpegImageFile(cast(IO[bytes], _Pieces(b"".join(segments.head), scans, behind + END)))
    if scale > 1:
        image.draft(None, (image.width // scale, image.height // scale))
    image.load()
    return image


def _without_sliver(image: Image.Image, segments: Segments, scale: int) -> Image.Image:
    """Cut off what is mostly the encoder's padding, at a side that the scale does not divide."""
    frame = segments.frame
    if scale == 1 or frame is None:
        return image
    return part(image, 0, 0, round(frame.width / scale), round(frame.height / scale))


def _without_filling(scans: bytes) -> bytes:
    """Take off what follows coded data that have no end marker: erased or never written sectors."""
    scans = scans.rstrip(b"\xff")
    without = scans.rstrip(b"\0")
    return without + b"\0" if len(scans) - len(without) >= _MIN_ZEROS else scans


def _ends_grey(image: Image.Image) -> bool:
    """Say whether the last pixel is what libjpeg makes up for a block without data; hardly any picture's is."""
    last = image.getpixel((image.width - 1, image.height - 1))
    return all(value in (127, 128) for value in (last if isinstance(last, tuple) else (last,)))
