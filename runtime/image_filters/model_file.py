"""ONNX files that ready filters bring along: pinned by their hash, run with one thread."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from runtime.model.hashing import file_sha256
from runtime.model.session import open_on_one_core

if TYPE_CHECKING:
    import onnxruntime as ort

_PROJECT = Path(__file__).parents[2]
FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True)
class ModelFile:
    """A loaded ONNX file with one input of float32; may be run from several threads at once.

    shape: of the input, None where any number will do. is_nhwc: whether the colours come last and not second.
    """

    session: "ort.InferenceSession"
    shape: tuple[int | None, ...]
    is_nhwc: bool

    @classmethod
    def open(cls, file: str, sha256: str) -> Self:
        """Load a file. A path that is not absolute begins at the folder of `service.py`, also in a Bento.

        Raises ValueError if it is not there, is another file than `sha256` says, or has another kind of input.
        """
        path = _PROJECT / file
        try:
            found = file_sha256(path)
        except OSError as exc:
            hint = "in a Bento it must be among the files that bentofile.yaml includes (docs/FILTERS.md)"
            raise ValueError(f"cannot read the model {file}: {exc.strerror}; {hint}") from exc
        if found != sha256:
            raise ValueError(f"the model {file} has the SHA-256 {found}, and `sha256` states {sha256}")
        try:
            session = open_on_one_core(path.read_bytes())  # the cores are the served models'
        except Exception as exc:  # onnxruntime's errors share no public base
            raise ValueError(f"{file} cannot be loaded as an ONNX model: {exc}") from exc
        return cls(session, *_input_of(session, file))

    def run(self, pixels_hwc: FloatArray) -> list[Any]:
        """Return all outputs for one picture, `(height, width, 3)` float32."""
        batch = pixels_hwc[None] if self.is_nhwc else pixels_hwc.transpose(2, 0, 1)[None]
        name = self.session.get_inputs()[0].name
        return list(self.session.run(None, {name: np.ascontiguousarray(batch)}))

    @property
    def size(self) -> tuple[int | None, int | None]:
        """(height, width) of the input, None where it takes any."""
        height, width = self.shape[1:3] if self.is_nhwc else self.shape[2:4]
        return height, width


def _input_of(session: "ort.InferenceSession", file: str) -> tuple[tuple[int | None, ...], bool]:
    inputs = session.get_inputs()
    shapes = [tuple(side if isinstance(side, int) else None for side in value.shape) for value in inputs]
    [first, *others] = shapes
    if others or inputs[0].type != "tensor(float)" or len(first) != 4 or 3 not in (first[1], first[3]):
        stated = ", ".join(f"{value.type} {value.shape}" for value in inputs)
        raise ValueError(
            f"{file} must have one input of float32, (N, height, width, 3) or (N, 3, height, width): {stated}"
        )
    if first[0] not in (None, 1):
        raise ValueError(
            f"{file} takes {first[0]} pictures at a time, and filters look at one: export it with a free batch"
        )
    return first, first[3] == 3
