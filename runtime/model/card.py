"""Which model a model card speaks of, or which models that of a Bento, read from the card's header."""

import re
from pathlib import Path

MODEL_SHA256_KEY = "model_sha256"
_DIGEST = r"['\"]?([0-9a-f]{64})['\"]?"
_LINE = re.compile(rf"^{MODEL_SHA256_KEY}: *{_DIGEST} *$", re.MULTILINE)
_LIST = re.compile(rf"^{MODEL_SHA256_KEY}: *\n((?:- *{_DIGEST} *(?:\n|\Z))+)(?!-)", re.MULTILINE)


class CardError(ValueError):
    """A model card that does not say which model it is of, or that cannot be written from what is there."""


def card_model_sha256(text: str) -> str:
    """Return the SHA-256, 64 hexadecimal digits, of the ONNX file that a card describes.

    Only the header counts, the lines between the first two `---`. Raises CardError if it does not state exactly one.
    """
    found = _LINE.findall(_header(text))
    if len(found) != 1:
        raise CardError(
            f"the model card's header must hold one line '{MODEL_SHA256_KEY}: <64 hexadecimal digits>', found "
            f"{len(found)}; run `make card`"
        )
    return str(found[0])


def card_models_sha256(text: str) -> tuple[str, ...]:
    """Return the SHA-256 of every ONNX file that a card describes: that of a Bento with several models lists them.

    Raises CardError unless the header states one as a card of one model does, or lists two or more different ones.
    """
    lists = _LIST.findall(_header(text))
    if not lists:
        return (card_model_sha256(text),)
    found = tuple(re.findall(_DIGEST, lists[0][0]))
    if len(lists) > 1 or _LINE.search(_header(text)) or len(set(found)) < max(2, len(found)):
        raise CardError(
            f"the header of a card of several models must hold one '{MODEL_SHA256_KEY}:' with a different SHA-256 for "
            "each; run `make bento` again"
        )
    return found


def _header(text: str) -> str:
    lines = text.splitlines()
    if not lines or lines[0] != "---" or "---" not in lines[1:]:
        raise CardError("the model card has no header between two lines of '---'; run `make card`")
    return "\n".join(lines[1 : lines.index("---", 1)])


def check_card(path: Path, onnx_sha256: str, *, is_alone: bool = False) -> None:
    """Raise CardError unless the card at `path` describes the ONNX file with this SHA-256.

    is_alone: whether it must describe no other model beside it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        described = (card_model_sha256(text),) if is_alone else card_models_sha256(text)
    except OSError as exc:
        raise CardError(f"cannot read the model card {path}: {exc.strerror}; run `make card`") from exc
    except CardError as exc:
        raise CardError(f"{path}: {exc}") from exc
    if onnx_sha256 not in described:
        raise CardError(
            f"{path} is the card of another model: it describes the ONNX file "
            f"{' and '.join(digest[:12] for digest in described)}, but the model's is {onnx_sha256[:12]}; run "
            "`make card`"
        )
