"""Write and read masks as Label Studio has them: run lengths of the picture's RGBA values, in an odd number of bits.

The bits: 32 for the number of values, 5 for the bits of a value less one, four times 4 for how many bits a length may
have, less one. Then blocks: one bit for whether one value fills the block or each of its values follows, two for which
of the four lengths is used, the length less one, the value or values. Rows follow one another, not columns as in
COCO's. Label Studio's page draws with soft edges, so that values between 0 and 255 occur.
"""

from collections.abc import Sequence

import numpy as np

MaskArray = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
_CHANNELS = 4  # of RGBA; the last, alpha, says what is marked
_VALUE_BITS = 8
_LENGTH_BITS = (3, 4, 8, 16)
_MIDDLE = 127  # above it a pixel is marked, as where the edges of a mask's file fade
_HEAD_BITS = 32 + 5 + 4 * len(_LENGTH_BITS)


class BrushError(ValueError):
    """A brush that is no mask of its picture; the message says why."""


def encode_brush(mask: MaskArray) -> list[int]:
    """Return the bytes, as numbers, of a mask. mask: `(height, width)` bool."""
    flat = mask.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    starts = np.concatenate([[0], edges]).astype(np.int64)
    lengths = np.diff(np.append(starts, flat.size)) * _CHANNELS
    head = f"{flat.size * _CHANNELS:032b}{_VALUE_BITS - 1:05b}" + "".join(f"{bits - 1:04b}" for bits in _LENGTH_BITS)
    blocks = [_run(255 if flat[start] else 0, int(length)) for start, length in zip(starts, lengths, strict=True)]
    bits = "".join([head, *blocks])
    bits += "0" * (8 - len(bits) % 8)  # a whole byte more where they fit, as Label Studio's own writer has it
    return list(int(bits, 2).to_bytes(len(bits) // 8))


def decode_brush(data: object, width: int, height: int) -> MaskArray:
    """Return `(height, width)` bool of the bytes of a brush: what is more than half opaque is marked.

    Raises BrushError for what are no such bytes, and for those of a picture of another size.
    """
    alpha = _values(data, width * height * _CHANNELS).reshape(height, width, _CHANNELS)[..., -1]
    return np.asarray(alpha > _MIDDLE)


def _run(value: int, length: int) -> str:
    longest: int = 2 ** _LENGTH_BITS[-1]
    whole, rest = divmod(length, longest)
    return _block(value, longest) * whole + (_block(value, rest) if rest else "")


def _block(value: int, length: int) -> str:
    index = next(at for at, bits in enumerate(_LENGTH_BITS) if length <= 2**bits)
    return f"1{index:02b}{length - 1:0{_LENGTH_BITS[index]}b}{value:0{_VALUE_BITS}b}"


def _values(data: object, expected: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    bits = _bits(data)
    num = int(bits[:32], 2)
    if num != expected:
        raise BrushError(f"it is a brush of {num // _CHANNELS} pixels, and its picture has {expected // _CHANNELS}")
    value_bits = int(bits[32:37], 2) + 1
    if value_bits != _VALUE_BITS:
        raise BrushError(f"it is a brush with values of {value_bits} bits, and {_VALUE_BITS} are read")
    sizes = [int(bits[at : at + 4], 2) + 1 for at in range(37, _HEAD_BITS, 4)]
    values, filled, at = np.zeros(num, np.uint8), 0, _HEAD_BITS
    while filled < num:
        size = sizes[int(bits[at + 1 : at + 3] or "0", 2)]
        begin = at + 3 + size
        length = int(bits[at + 3 : begin] or "0", 2) + 1
        is_run = bits[at : at + 1] == "1"
        end = begin + _VALUE_BITS * (1 if is_run else length)
        if end > len(bits) or filled + length > num:
            raise BrushError("it is a brush whose run lengths do not fit its picture")
        values[filled : filled + length] = np.frombuffer(int(bits[begin:end], 2).to_bytes((end - begin) // 8), np.uint8)
        filled, at = filled + length, end
    return values


def _bits(data: object) -> str:
    is_list = isinstance(data, Sequence) and not isinstance(data, str)
    if not is_list or not all(type(one) is int and 0 <= one < 256 for one in data):  # type: ignore[attr-defined]
        raise BrushError("its run lengths are no list of bytes")
    content = bytes(data)  # type: ignore[call-overload]
    if len(content) * 8 < _HEAD_BITS:
        raise BrushError("its run lengths end before they begin")
    return f"{int.from_bytes(content):0{len(content) * 8}b}"
