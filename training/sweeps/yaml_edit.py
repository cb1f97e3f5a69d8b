"""Change single values of a YAML file and keep its comments, order and blank lines, through ruamel.yaml.

A key is dotted, a number in it is a place in a list: `train.phases.1.lr`. Lists are indented as in `params.yaml`.
"""

import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from project.params import ParamsError

Value = str | int | float | bool
_HEAD = "%YAML 1.1\n---\n"  # what ruamel.yaml writes above a document of that version


def edit_yaml(text: str, values: Mapping[str, Value]) -> str:
    """Return `text` with the value of each dotted key replaced.

    Raises ParamsError if the text is no YAML, a key is not there, or its value is a whole block (a mapping, a list).
    """
    yaml = _yaml()
    document = _load(yaml, text)
    for key, value in values.items():
        block, last = _find(document, key)
        if isinstance(block[last], dict | list):
            raise ParamsError(f"'{key}' is a block of several values: name one of them")
        block[last] = value
    written = io.StringIO()
    yaml.dump(document, written)
    return written.getvalue().removeprefix(_HEAD)


def _yaml() -> YAML:
    yaml = YAML()
    yaml.version = (1, 1)  # PyYAML's, which reads the file: `on` is true, 1e-4 a text
    yaml.preserve_quotes = True
    yaml.width = 10**9
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _load(yaml: YAML, text: str) -> Any:
    try:
        document = yaml.load(text)
    except YAMLError as exc:
        raise ParamsError(f"not YAML: {exc}") from exc
    if document is None:
        raise ParamsError("an empty file has no keys")
    return document


def _find(document: Any, key: str) -> tuple[Any, Any]:
    """Return the block that holds the value of a dotted key, and its key or place there."""
    node, block, last = document, None, None
    done: list[str] = []
    for part in key.split("."):
        block, last = node, int(part) if isinstance(node, list) and part.isdecimal() else part
        try:
            node = block[last]
        except (KeyError, IndexError, TypeError) as exc:
            place = f"'{'.'.join(done)}' has no key '{part}'" if done else f"there is no section '{part}'"
            raise ParamsError(f"no key '{key}': {place}") from exc
        done.append(part)
    return block, last
