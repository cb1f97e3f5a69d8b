"""A detector of faces as filters take it, made of CenterFace's ONNX file, whose input has a size baked in:

    python -m export.face_detector centerface.onnx hooks/faces.onnx

Prints what the contract's filter must state: docs/FILTERS.md.
"""

import argparse
import sys
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from project.command import command
from project.write_whole import whole_file
from runtime.image_filters.faces import faces
from runtime.model.hashing import file_sha256


class FaceDetectorError(ValueError):
    """A file that no detector can be made of; the message says why."""


def with_free_sizes(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph for any number of pictures of any size. Raises FaceDetectorError if it has more inputs."""
    free = onnx.ModelProto()
    free.CopyFrom(graph)
    constants = {value.name for value in free.graph.initializer}
    inputs = [value for value in free.graph.input if value.name not in constants]
    if len(inputs) != 1 or len(inputs[0].type.tensor_type.shape.dim) != 4:
        raise FaceDetectorError(f"expected one input (N, 3, height, width), got {[value.name for value in inputs]}")
    del free.graph.value_info[:]  # sizes in between, of the old input
    for value, names in [(inputs[0], ("batch", "", "height", "width"))] + [
        (output, ("batch", "", f"rows_{output.name}", f"columns_{output.name}")) for output in free.graph.output
    ]:
        for dim, name in zip(value.type.tensor_type.shape.dim, names, strict=False):
            if name:
                dim.dim_param = name
    return free


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="CenterFace's ONNX file")
    parser.add_argument("out", type=Path, help="where the detector is written, such as hooks/faces.onnx")


@command(_arguments, known=(FaceDetectorError, OSError), speaker="face detector")
def main(args: argparse.Namespace) -> None:
    try:
        graph = onnx.load(args.file)
    except (DecodeError, ValueError) as exc:
        raise FaceDetectorError(f"{args.file} is no ONNX file: {exc}") from exc
    with whole_file(args.out) as made:
        made.write_bytes(with_free_sizes(graph).SerializeToString())
        sha256 = file_sha256(made)
        try:
            faces(file=str(made.resolve()), sha256=sha256)
        except Exception as exc:  # onnxruntime's errors share no public base
            reason = str(exc).replace(str(made.resolve()), str(args.file))
            raise FaceDetectorError(f"{args.file} is not like CenterFace's: {reason}") from exc
    sys.stdout.write(f"{args.out}: options {{file: {args.out}, sha256: {sha256}}}\n")


if __name__ == "__main__":
    sys.exit(main())
