"""Sections as Markdown: all text shows as written, never as markup, whatever a class or a path is called."""

import html
import re
from collections.abc import Iterable

from evaluation.pages import sections as s

# Characters that can open or close markup within a line or a table cell (CommonMark 0.31.2, section 2.4).
_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~$])")
_SHORT_HASH = 12


def render_sections(sections: Iterable[s.Section]) -> str:
    """Return the sections of a card; plots, details and pictures beyond those named in words are left out."""
    return "\n\n".join(_section(section) for section in sections if section.in_card)


def inline(text: str) -> str:
    """Escape text that stands within a line or a table cell; line breaks become spaces."""
    return _SPECIAL.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))


def code(text: str) -> str:
    """Show text letter by letter in a code span that fits a table cell."""
    flat = " ".join(text.split()).replace("|", "\\|")
    longest = max((len(run) for run in re.findall("`+", flat)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {flat} {fence}" if longest else f"{fence}{flat}{fence}"


def _section(section: s.Section) -> str:
    blocks = [text for block in section.blocks if (text := _block(block))]
    return "\n\n".join([f"## {inline(section.title)}", *blocks])


def _block(block: s.Block) -> str:
    """Return one block's text; '' for what a card does not show."""
    if isinstance(block, s.Heading):
        return f"### {inline(block.text)}"
    if isinstance(block, s.Paragraph):
        return _line(block.text)
    if isinstance(block, s.Bullets):
        return _shortened([f"- {_line(item)}" for item in block.items], block.in_card, "\n\nThe first {} of {}.")
    if isinstance(block, s.Table):
        return _table(block)
    if isinstance(block, s.Gallery):
        return "\n".join(f"- {_picture(picture)}" for picture in block.pictures[: block.in_card])
    if isinstance(block, s.Box):
        return f"**{inline(block.title)}:** {' '.join(map(_line, block.text))}"
    return ""


def _table(table: s.Table) -> str:
    rule = "---|" if table.is_text else "---:|"
    head = f"{_row(table.header)}\n|---|{rule * (len(table.header) - 1)}"
    return f"{head}\n" + _shortened([_row(row) for row in table.rows], table.in_card, "\n\nThe first {} of {} rows.")


def _shortened(lines: list[str], limit: int | None, note: str) -> str:
    shown = lines[:limit]
    return "\n".join(shown) + (note.format(len(shown), len(lines)) if len(shown) < len(lines) else "")


def _row(cells: Iterable[s.Line | s.Cell]) -> str:
    return f"| {' | '.join(_cell(cell) if isinstance(cell, s.Cell) else _line(cell) for cell in cells)} |"


def _cell(cell: s.Cell) -> str:
    return f"{_line(cell.text)} ({inline(cell.note)})" if cell.note else _line(cell.text)


def _picture(picture: s.Picture) -> str:
    files = " and ".join(
        code(of.path) + (f" (SHA-256 {code(of.sha256[:_SHORT_HASH])})" if of.sha256 else "")
        for of in picture.provenance
    )
    return f"{files}: {'; '.join(map(_line, picture.caption))}"


def _line(line: s.Line) -> str:
    parts = []
    for part in line if isinstance(line, tuple) else (line,):
        if isinstance(part, str):
            # Spaces at the ends part this text from the next.
            parts.append(" " * part.startswith(" ") + inline(part) + " " * (part.endswith(" ") and part != " "))
        elif isinstance(part, s.Code):
            parts.append(code(part.text))
        elif isinstance(part, s.Link):
            parts.append(f"<{part.address}>")
        elif isinstance(part, s.Badge | s.Strong):
            parts.append(f"{' ' * isinstance(part, s.Badge)}**{inline(part.text)}**")
    return "".join(parts)
