"""Sections as HTML that needs nothing beside it: styles inline, plots and pictures as data URIs."""

import base64
import io
from collections.abc import Callable, Iterable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from evaluation.pages import sections as s
from evaluation.pages.plots import to_svg
from evaluation.picture_files import read_thumbnail

TEMPLATES_DIR = Path(__file__).with_name("templates")
_THUMBNAIL_PX = 240  # the longer side: sharp on a phone, and 24 of them stay under half a megabyte

# Takes where a picture lies, a `Gallery.source`, and its file; returns an address, '' to leave the picture out.
Show = Callable[[str, str], str]


def render_page(title: str, kind: str, lede: str, sections: Iterable[s.Section], show: Show, **values: object) -> str:
    """Return a page of sections with their contents; text from data is escaped.

    kind: what stands above the title. values: `subtitle` and `tiles`, the figures on top. Raises what `show` raises.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES_DIR), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    shown = list(sections)
    frame = {"title": title, "kind": kind, "lede": lede, "subtitle": "", "tiles": (), "sections": shown}
    body = Markup("\n").join(_section(section, show) for section in shown)
    return environment.get_template("page.html.jinja").render(**{**frame, **values}, body=body)


def thumbnail(path: Path, max_value: int | None = None) -> str:
    """Return a small JPEG of a picture as data URI. Raises EvaluationError if the picture cannot be read.

    max_value: white in deep pictures, of the data set's description.
    """
    buffer = io.BytesIO()
    read_thumbnail(path, _THUMBNAIL_PX, max_value).save(buffer, "JPEG", quality=85)
    return data_uri(buffer.getvalue(), "jpeg")


def data_uri(data: bytes, kind: str) -> str:
    """Return bytes of an image of `kind` (png, jpeg, svg+xml) as an address that holds them."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _section(section: s.Section, show: Show) -> Markup:
    title = Markup('<h2 id="{}">{}</h2>\n').format(section.name, section.title)
    return title + _blocks(section.blocks, show)


def _blocks(blocks: Iterable[s.Block], show: Show) -> Markup:
    return Markup("\n").join(_block(block, show) for block in blocks)


def _block(block: s.Block, show: Show) -> Markup:
    if isinstance(block, s.Heading):
        return Markup("<h3>{}</h3>").format(block.text)
    if isinstance(block, s.Paragraph):
        return Markup("<p{}>{}</p>").format(Markup(' class="soft"') if block.is_note else "", _line(block.text))
    if isinstance(block, s.Bullets):
        return Markup("<ul>{}</ul>").format(
            Markup("\n").join(Markup("<li>{}</li>").format(_line(i)) for i in block.items)
        )
    if isinstance(block, s.Table):
        return _table(block)
    if isinstance(block, s.Plots):
        images = Markup("\n").join(_image(data_uri(to_svg(p.draw()), "svg+xml"), p.alt) for p in block.plots)
        return Markup('<div class="{}">{}</div>').format("plots" if block.small else "figures", images)
    if isinstance(block, s.Gallery):
        figures = Markup("\n").join(_picture(picture, block.source, show) for picture in block.pictures)
        return Markup('<div class="gallery{}">{}</div>').format(" pairs" if block.is_wide else "", figures)
    if isinstance(block, s.Box):
        text = Markup("").join(Markup("<p>{}</p>").format(_line(line)) for line in block.text)
        box = Markup('<div class="box{}"><h3>{}</h3>{}</div>')
        return box.format(" leak" if block.is_warning else "", block.title, text)
    return _blocks(block.blocks, show)


def _table(table: s.Table) -> Markup:
    rows = [_row(row, table, "th" if not number else "td") for number, row in enumerate((table.header, *table.rows))]
    head, body = rows[0] if any(table.header) else "", Markup("\n").join(rows[1:])
    form = Markup('<div class="wide"><table>\n<thead>{}</thead>\n<tbody>{}</tbody></table></div>')
    return form.format(head, body)


def _row(cells: Iterable[s.Line | s.Cell], table: s.Table, tag: str) -> Markup:
    written = []
    for column, cell in enumerate(cells):
        names = [name for name, holds in (("leaking", column == table.marked), ("text", table.is_text)) if holds]
        kind = Markup(' class="{}"').format(" ".join(names)) if names else ""
        text = cell if isinstance(cell, s.Cell) else s.Cell(cell)
        note = Markup("<small{}>{}</small>").format(Markup(' class="range"') if column else "", text.note)
        this = "th" if column == 0 else tag
        written.append(Markup("<{}{}>{}{}</{}>").format(this, kind, _line(text.text), note if text.note else "", this))
    return Markup("<tr>{}</tr>").format(Markup("").join(written))


def _picture(picture: s.Picture, source: str, show: Show) -> Markup:
    shown = [(address, file) for file in picture.files if (address := show(source, file))]
    images = Markup("").join(_image(address, file) for address, file in shown)
    frame = Markup('<div class="frame{}">{}</div>').format(" two" if len(shown) > 1 else "", images) if shown else ""
    caption = Markup("<br>").join(_line(line) for line in picture.caption)
    provenance = Markup("").join(map(_provenance, picture.provenance))
    return Markup("<figure>{}<figcaption>{}{}</figcaption></figure>").format(frame, caption, provenance)


def _provenance(of: s.Provenance) -> Markup:
    group = Markup("<br>group {}").format(of.group) if of.group else ""
    sha256 = Markup("<br>SHA-256 <code>{}</code>").format(of.sha256) if of.sha256 else ""
    return Markup("<small>{}{}{}</small>").format(of.path, group, sha256)


def _image(address: str, alt: str) -> Markup:
    return Markup('<img src="{}" alt="{}">').format(address, alt)


def _line(line: s.Line) -> Markup:
    written = Markup("")
    for part in line if isinstance(line, tuple) else (line,):
        if isinstance(part, s.Strong):
            written += Markup("<strong>{}</strong>").format(part.text)
        elif isinstance(part, s.Code):
            written += Markup("<code>{}</code>").format(part.text)
        elif isinstance(part, s.Badge):
            written += Markup(' <span class="badge">{}</span>').format(part.text)
        elif isinstance(part, s.Link):
            written += Markup("<code>{}</code>").format(part.address)
        else:
            written += escape(part)
    return written
