"""The card of a Bento: that of its model, or those of all its models under one header."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from runtime.model.card import MODEL_SHA256_KEY, CardError, card_model_sha256

_ONE_ALONE = "pipeline_tag"  # a header has one at most; the tags name the tasks of all models


def join_cards(cards: Mapping[str, str]) -> str:
    """Return one card of several; that of a single model stays as it is.

    cards: name of a model -> its card. Raises CardError if a header is no YAML or does not say which model it is of.
    """
    if len(cards) == 1:
        return next(iter(cards.values()))
    headers, bodies = [], []
    for name, card in cards.items():
        digest = card_model_sha256(card)
        header, _, body = card.partition("\n---\n")
        headers.append({**_read_header(header.removeprefix("---"), name), MODEL_SHA256_KEY: [digest]})
        bodies.append(body.strip())
    text = yaml.safe_dump(_merged(headers), sort_keys=False, allow_unicode=True, width=2**16)
    listed = "\n".join(f"- {name}" for name in cards)
    return "\n\n".join([f"---\n{text}---", f"# Models in this Bento\n\n{listed}", *bodies]) + "\n"


def _read_header(text: str, name: str) -> dict[str, Any]:
    try:
        header = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise CardError(f"the header of the card of {name} is no YAML ({exc}); run `make card`") from exc
    if not isinstance(header, dict):
        raise CardError(f"the header of the card of {name} holds no keys; run `make card`")
    return header


def _merged(headers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the headers' keys in order: what is equal in all once, lists and what differs one after the other."""
    merged: dict[str, Any] = {}
    for key in dict.fromkeys(key for header in headers for key in header):
        values = [header[key] for header in headers if key in header]
        if all(value == values[0] for value in values):
            merged[key] = values[0]
        elif key != _ONE_ALONE:
            parts = [part for value in values for part in (value if isinstance(value, list) else [value])]
            merged[key] = [part for place, part in enumerate(parts) if part not in parts[:place]]
    return merged
