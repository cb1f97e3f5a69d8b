"""A model card's Markdown as HTML that may stand within a page: nothing of it runs, loads or styles anything."""

from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

_FENCE = "---"  # around a card's header of YAML
_BELOW = 2  # levels by which headings are set lower: a card stands below two headings of the page
_ALIGNED = {f"text-align:{side}": side for side in ("left", "center", "right")}


def render_card(text: str) -> Markup:
    """Return a card without its header as HTML.

    Raw HTML is shown as text, pictures are left out, addresses that a browser would run are no links. Wide tables
    scroll by themselves, also by keyboard. Columns are aligned by classes (`right`), as the page forbids styles.
    """
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens = markdown.parse(_without_header(text))
    num_tables = 0
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1:]) + _BELOW)}"
        elif token.type in ("th_open", "td_open"):
            _align(token)
        elif token.type == "table_open":
            num_tables += 1
            token.meta["number"] = num_tables
        for child in token.children or ():
            if child.type == "link_open":
                child.attrSet("rel", "noopener noreferrer")
                child.attrSet("target", "_blank")
    markdown.add_render_rule("table_open", _open_table)
    markdown.add_render_rule("table_close", _close_table)
    return Markup(markdown.renderer.render(tokens, markdown.options, {}))  # noqa: S704 - markdown-it has escaped it


def _without_header(text: str) -> str:
    lines = text.splitlines()
    if lines and lines[0] == _FENCE and _FENCE in lines[1:]:
        lines = lines[lines.index(_FENCE, 1) + 1 :]
    return "\n".join(lines)


def _align(token: Token) -> None:
    style = token.attrs.pop("style", None)
    if style in _ALIGNED:
        token.attrJoin("class", _ALIGNED[str(style)])


def _open_table(_renderer: Any, tokens: Sequence[Token], place: int, *_: Any) -> str:
    number = tokens[place].meta["number"]
    return f'<div class="wide" role="group" tabindex="0" aria-label="Table {number} of the card">\n<table>\n'


def _close_table(*_: Any) -> str:
    return "</table>\n</div>\n"
