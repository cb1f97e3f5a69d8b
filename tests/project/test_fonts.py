"""Class names in any script: a picture shows them where a font has them, and else their number."""

import logging
import shutil
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from project import fonts
from project.fonts import DEFAULT_FAMILY, DEFAULT_PATH, drawable_names, families_for, missing_in, path_for

NAMES = ("裂纹", "傷", "균열", "🔥", "Riß é", "трещина")  # Chinese, Japanese, Korean, emoji; the last two have a font


@pytest.fixture
def no_further_font(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "findSystemFonts", lambda: [DEFAULT_PATH])
    fonts._fonts_for.cache_clear()
    drawable_names.cache_clear()


@pytest.fixture
def font_of_cracks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has a font with two Chinese characters, and a file that is no font."""
    pen = TTGlyphPen(None)
    for place, point in enumerate([(100, 0), (900, 0), (900, 800)]):
        (pen.lineTo if place else pen.moveTo)(point)
    pen.closePath()
    glyph = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "one", "two"])
    builder.setupCharacterMap({ord("裂"): "one", ord("纹"): "two"})
    builder.setupGlyf(dict.fromkeys([".notdef", "one", "two"], glyph))
    builder.setupHorizontalMetrics(dict.fromkeys([".notdef", "one", "two"], (1000, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Cracks", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    path = tmp_path / "cracks.ttf"
    builder.save(path)
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    shutil.copy(DEFAULT_PATH, tmp_path / "again.ttf")
    monkeypatch.setattr(fonts, "findSystemFonts", lambda: [str(file) for file in tmp_path.iterdir()])
    monkeypatch.setattr(font_manager.fontManager, "ttflist", list(font_manager.fontManager.ttflist))
    fonts._fonts_for.cache_clear()
    drawable_names.cache_clear()
    return path


@pytest.mark.usefixtures("no_further_font")
def test_without_a_font_a_class_stands_by_its_number_and_one_line_says_what_to_install(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        shown = drawable_names(NAMES)
    assert list(shown.values()) == ["class 0", "class 1", "class 2", "class 3", "Riß é", "трещина"]
    (line,) = caplog.messages
    assert "裂 (U+88C2)" in line
    assert "裂纹 (class 0), 傷 (class 1), 균열 (class 2), 🔥 (class 3)" in line
    assert "fonts-noto-cjk" in line
    assert families_for(NAMES) == [DEFAULT_FAMILY]


def test_names_that_matplotlibs_own_font_has_ask_no_system_for_fonts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fonts._fonts_for.cache_clear()
    drawable_names.cache_clear()
    monkeypatch.delattr(fonts, "findSystemFonts")
    names = ("Riß é", "two  words", "e\u0301\u200d")
    assert drawable_names(names) == dict(zip(names, names, strict=True))
    assert not caplog.messages


def test_a_font_of_the_system_is_taken_where_it_has_the_characters(font_of_cracks: Path) -> None:
    assert families_for(["裂纹"]) == [DEFAULT_FAMILY, "Cracks"]
    assert path_for("裂纹") == str(font_of_cracks)
    assert path_for("Riß") == DEFAULT_PATH
    assert drawable_names(("裂纹", "ok")) == {"裂纹": "裂纹", "ok": "ok"}
    assert missing_in("裂傷") == {"傷"}
