"""Change single values of a YAML file and leave every other character as it is: comments, order, blank lines.

A key is dotted, a number in it is a place in a list: `train.phases.1.lr`. PyYAML's own parser says where a value begins
and ends; what lies between is replaced.
"""

from collections.abc import Mapping

import yaml

from dataset.params import ParamsError

Value = str | int | float | bool


def edit_yaml(text: str, values: Mapping[str, Value]) -> str:
    """Return `text` with the value of each dotted key replaced.

    Raises ParamsError if the text is no YAML, a key is not there, or its value is a whole block (a mapping, a list).
    """
    root = _compose(text)
    spans = sorted(((*_span(root, key), key) for key in values), reverse=True)
    for start, end, key in spans:  # from the end, so that earlier places stay valid
        gap = " " if start == end else ""  # `key:` with nothing behind it
        text = text[:start] + gap + _written(values[key]) + text[end:]
    return text


def read_value(text: str, key: str) -> object:
    """Return the value of a dotted key. Raises ParamsError if it is not there."""
    node = _find(_compose(text), key)
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _compose(text: str) -> yaml.Node:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as exc:
        raise ParamsError(f"not YAML: {exc}") from exc
    if root is None:
        raise ParamsError("an empty file has no keys")
    return root


def _find(root: yaml.Node, key: str) -> yaml.Node:
    node = root
    done: list[str] = []
    for part in key.split("."):
        child = _child(node, part)
        if child is None:
            place = f"'{'.'.join(done)}' has no key '{part}'" if done else f"there is no section '{part}'"
            raise ParamsError(f"no key '{key}': {place}")
        node = child
        done.append(part)
    return node


def _child(node: yaml.Node, part: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for name, value in node.value if name.value == part), None)
    if isinstance(node, yaml.SequenceNode) and part.isdecimal() and int(part) < len(node.value):
        child: yaml.Node = node.value[int(part)]
        return child
    return None


def _span(root: yaml.Node, key: str) -> tuple[int, int]:
    node = _find(root, key)
    if not isinstance(node, yaml.ScalarNode):
        raise ParamsError(f"'{key}' is a block of several values: name one of them")
    return node.start_mark.index, node.end_mark.index


def _written(value: Value) -> str:
    """Write one scalar as PyYAML reads it back, quoted where it must be."""
    return yaml.safe_dump(value, default_flow_style=True, width=10**9).removesuffix("\n").removesuffix("\n...")
