"""Masks drawn as text: a digit is a region, `.` background, `?` what nobody knows."""

import numpy as np


def drawn(*rows: str) -> np.ndarray:
    """Return `(H, W)` uint8."""
    values = {".": 0, "?": 255} | {str(digit): digit for digit in range(10)}
    return np.array([[values[character] for character in row] for row in rows], dtype=np.uint8)
