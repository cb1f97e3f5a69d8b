"""Which way up a picture is: the orientation of its EXIF block, and nothing else.

XMP may state one too, but browsers and viewers turn no picture by it, so what a person sees is not turned.
"""

import struct

from PIL import Image

_ORIENTATION = 0x0112
_EXIF_PREFIX = b"Exif\0\0"
_NUMBERS = {1: "B", 3: "H", 4: "L"}  # types that writers use for it; the standard's is the second
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation_of(exif: bytes) -> int:
    """Read the orientation out of an EXIF block, with or without its prefix; 1 if there is none or it is damaged.

    Returns 1 to 8 (TIFF 6.0, tag 274): from 5 on the picture is stored on its side.
    """
    tiff = exif.removeprefix(_EXIF_PREFIX)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}L", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, _ = struct.unpack_from(f"{order}HHL", tiff, at)
            if tag == _ORIENTATION:
                (value,) = struct.unpack_from(f"{order}{_NUMBERS[kind]}", tiff, at + 8)
                return value if 1 <= value <= 8 else 1
    except (struct.error, KeyError):  # a damaged block turns nothing; the pixels are whole
        pass
    return 1


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn a stored picture the way a viewer shows it."""
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)
