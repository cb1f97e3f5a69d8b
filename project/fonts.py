"""Fonts for class names in any script: which of the system's fonts show them, and what to do where none does.

matplotlib and Pillow draw boxes where a font lacks a character. A page leaves the choice to its reader's browser.
"""

import logging
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from matplotlib import get_data_path
from matplotlib.font_manager import findSystemFonts, fontManager, get_font

DEFAULT_FAMILY = "DejaVu Sans"  # comes with matplotlib
DEFAULT_PATH = str(Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf")
_MAX_TOLD = 5  # characters and classes named in a warning
_NO_WIDTH = ("Cc", "Cf", "Mn", "Zs")  # control, joiners, variation selectors and spaces need no glyph

logger = logging.getLogger(__name__)


def families_for(texts: Iterable[str]) -> list[str]:
    """Return the families, matplotlib's own first, that show the texts as far as the system's fonts can."""
    paths, _ = _fonts_for(frozenset("".join(texts)))
    return [DEFAULT_FAMILY, *(get_font(path).family_name for path in paths)]


def path_for(text: str) -> str:
    """Return the file of the first font that shows the whole text, matplotlib's own where none does."""
    wanted = _visible(text)
    paths, _ = _fonts_for(frozenset(text))
    return next((path for path in (DEFAULT_PATH, *paths) if wanted <= _characters(path)), DEFAULT_PATH)


def missing_in(text: str) -> frozenset[str]:
    """Return the characters that no font of the system shows."""
    return _fonts_for(frozenset(text))[1]


@lru_cache(maxsize=8)
def drawable_names(classes: tuple[str, ...]) -> dict[str, str]:
    """Return name -> what a PNG can show of it: the name, or the class's number where a character has no font.

    Numbers are places among `classes`, the first is 0, as `class_id` in the service's answers. One warning names
    the classes and says what to install.
    """
    missing = {name: missing_in(name) for name in classes}
    without = [f"{name} (class {place})" for place, name in enumerate(classes) if missing[name]]
    if without:
        characters = sorted(frozenset().union(*missing.values()))[:_MAX_TOLD]
        logger.warning(
            "no font of this machine has %s: PNGs show the number instead of the name of %s. Install a font that has "
            "them (Debian: fonts-noto-cjk for Chinese, Japanese and Korean, fonts-symbola for emoji, fonts-noto-core "
            "for others); HTML pages show the names",
            ", ".join(f"{character} (U+{ord(character):04X})" for character in characters),
            ", ".join(without[:_MAX_TOLD]) + (" and others" if len(without) > _MAX_TOLD else ""),
        )
    return {name: f"class {place}" if missing[name] else name for place, name in enumerate(classes)}


def _visible(text: Iterable[str]) -> frozenset[str]:
    return frozenset(character for character in text if unicodedata.category(character) not in _NO_WIDTH)


@lru_cache(maxsize=64)
def _fonts_for(characters: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return files of further fonts that show the characters, and those that no font shows."""
    missing = _visible(characters) - _characters(DEFAULT_PATH)
    chosen: list[str] = []
    # matplotlib's own list is cached in a file that knows nothing of fonts installed since.
    for path in sorted(findSystemFonts()) if missing else ():
        if missing & _characters(path):
            fontManager.addfont(path)
            chosen.append(path)
            missing -= _characters(path)
    return tuple(chosen), missing


@lru_cache(maxsize=512)
def _characters(path: str) -> frozenset[str]:
    """Return what a font shows; nothing for one that matplotlib cannot draw, such as bitmaps of emoji."""
    try:
        return frozenset(map(chr, get_font(path).get_charmap()))
    except (OSError, RuntimeError):
        return frozenset()
