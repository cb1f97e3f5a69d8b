"""Read a labelling template of Label Studio's: which picture a task shows, and by what it is labelled."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from xml.parsers import expat

Kind = Literal["choices", "rectanglelabels", "brushlabels"]
_KINDS: Mapping[str, Kind] = {
    "Choices": "choices",
    "RectangleLabels": "rectanglelabels",
    "BrushLabels": "brushlabels",
}
_VALUES = ("Choice", "Label")
NOTHING = "nothing"
"""Name of the control by which a person says that there is nothing to mark: an empty answer could be an accident."""


class TemplateError(ValueError):
    """A template that cannot be used; the message says why."""


@dataclass(frozen=True)
class Control:
    """One means of labelling. name, to_name: as results name it and the picture. values: what may be said by it."""

    kind: Kind
    name: str
    to_name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Template:
    """A labelling template. image_key: the key of a task's data that holds its picture's address."""

    image_key: str
    controls: tuple[Control, ...]

    def control(self, kind: Kind) -> Control | None:
        """Return the first control of a kind that names something; None if there is none."""
        return next((one for one in self.controls if one.kind == kind and one.name != NOTHING), None)

    @property
    def nothing(self) -> Control | None:
        """The control that says that there is nothing to mark, if the template has one."""
        return next((one for one in self.controls if one.name == NOTHING and one.kind == "choices"), None)


def read_template(text: str) -> Template:
    """Read a template's XML. Raises TemplateError for what is none, and for one without a picture or a means known."""
    images: dict[str, str] = {}
    controls: list[tuple[Kind, Mapping[str, str], list[str]]] = []
    around: list[str] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag == "Image":
            images[attributes.get("name", "")] = attributes.get("value", "")
        elif tag in _KINDS:
            controls.append((_KINDS[tag], attributes, []))
        elif tag in _VALUES and set(around) & _KINDS.keys():  # others are of means that are not known, such as polygons
            # What is said in a result is the alias, where there is one.
            controls[-1][2].append(attributes.get("alias") or attributes.get("value", ""))
        around.append(tag)

    _parse(text, start, lambda _: around.pop())
    if not images:
        raise TemplateError("the template shows no picture: it has no <Image>")
    read = [
        Control(kind, attributes.get("name", ""), attributes.get("toName", ""), tuple(values))
        for kind, attributes, values in controls
        if attributes.get("toName") in images
    ]
    if not read:
        raise TemplateError(f"the template has none of {', '.join(f'<{tag}>' for tag in _KINDS)} for its picture")
    value = images[read[0].to_name]
    if not value.startswith("$"):
        raise TemplateError(f"the template's picture is {value!r} and not a key of the task's data, such as $image")
    return Template(value.removeprefix("$"), tuple(read))


def _parse(text: str, start: object, end: object) -> None:
    def refuse(*_: object) -> None:
        raise TemplateError("the template has a document type, which is not read: remove it")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start  # type: ignore[assignment]
    parser.EndElementHandler = end  # type: ignore[assignment]
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(text, True)
    except expat.ExpatError as exc:
        raise TemplateError(f"the template is no XML: {exc}") from exc
