"""Which model a model card speaks of, read from the card's header."""

import re
from pathlib import Path

MODEL_SHA256_KEY = "model_sha256"
_LINE = re.compile(rf"^{MODEL_SHA256_KEY}: *['\"]?([0-9a-f]{{64}})['\"]? *$", re.MULTILINE)


class CardError(ValueError):
    """A model card that does not say which model it is of, or that cannot be written from what is there."""


def card_model_sha256(text: str) -> str:
    """Return the SHA-256, 64 hexadecimal digits, of the ONNX file that a card describes.

    Only the header counts, the lines between the first two `---`. Raises CardError if it does not state exactly one.
    """
    lines = text.splitlines()
    if not lines or lines[0] != "---" or "---" not in lines[1:]:
        raise CardError("the model card has no header between two lines of '---'; run `make card`")
    found = _LINE.findall("\n".join(lines[1 : lines.index("---", 1)]))
    if len(found) != 1:
        raise CardError(
            f"the model card's header must hold one line '{MODEL_SHA256_KEY}: <64 hexadecimal digits>', found "
            f"{len(found)}; run `make card`"
        )
    return str(found[0])


def check_card(path: Path, onnx_sha256: str) -> None:
    """Raise CardError unless the card at `path` describes the ONNX file with this SHA-256."""
    try:
        described = card_model_sha256(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise CardError(f"cannot read the model card {path}: {exc.strerror}; run `make card`") from exc
    except CardError as exc:
        raise CardError(f"{path}: {exc}") from exc
    if described != onnx_sha256:
        raise CardError(
            f"{path} is the card of another model: it describes the ONNX file {described[:12]}, "
            f"but the model's is {onnx_sha256[:12]}; run `make card`"
        )
