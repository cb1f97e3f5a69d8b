"""Where the model of a scoring run lies: in the model store, or in a folder of its own."""

from pathlib import Path

from runtime.model.contract import ONNX_FILE
from runtime.serving.model_reference import find_model


def model_folder(model: str) -> tuple[str, Path]:
    """Return the exact tag and the folder of a model: a tag in the model store, or a folder with its ONNX file.

    Raises ModelUnavailable if there is neither.
    """
    if (Path(model) / ONNX_FILE).is_file():
        return str(Path(model).resolve()), Path(model)
    found = find_model(model)
    return str(found.tag), Path(found.path)
