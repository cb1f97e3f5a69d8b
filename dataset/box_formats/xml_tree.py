"""Read XML with the line of each element. A document type is refused: entities can be made to fill the memory."""

from dataclasses import dataclass, field
from xml.parsers import expat

from dataset.box_formats.source_boxes import BoxError


@dataclass(slots=True)
class Element:
    """One element. text: its own, without that of the elements in it. line: where it begins, from 1."""

    tag: str
    line: int
    text: str = ""
    children: list["Element"] = field(default_factory=list)

    def find(self, tag: str) -> "Element | None":
        """Return the first element in this one of that tag, None if there is none."""
        return next((child for child in self.children if child.tag == tag), None)


def read_xml(data: bytes) -> Element:
    """Return the root of a document. Raises BoxError, with the line, for what is none and for a document type."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    top = Element("", 0)
    open_elements = [top]

    def start(tag: str, _: dict[str, str]) -> None:
        element = Element(tag, parser.CurrentLineNumber)
        open_elements[-1].children.append(element)
        open_elements.append(element)

    def end(_: str) -> None:
        open_elements.pop()

    def text(data: str) -> None:
        open_elements[-1].text += data

    def refuse(*_: object) -> None:
        raise BoxError(f"line {parser.CurrentLineNumber}: a document type is not read: remove it")

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as exc:
        raise BoxError(f"line {exc.lineno}: it is no XML: {expat.ErrorString(exc.code)}") from exc
    return top.children[0]
