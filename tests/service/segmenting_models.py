"""A classifier and a segmenter side by side in one store; the segmenter overflows on white, and has a hook."""

from pathlib import Path
from typing import Any

import bentoml
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from runtime.model.contract import CONTRACT_FILE, IMAGES, LOGITS, ONNX_FILE, SegmentationContract
from tests.bento_project import Project
from tests.bentoml_home import bentoml_home
from tests.onnx_filters import write_face_detector
from tests.onnx_fixture import write_tiny_model
from tests.onnx_segmenter import segmentation_contract, segmenter_graph

ABSTAIN_BELOW = 0.9
HOOK = '''
"""Rules of this deployment, told apart by how many regions there are."""
import time

from runtime.results import Segmentation


def check(answer: Segmentation, *, fails_at: int, hangs_at: int, largest_of: int, strays_at: int) -> Segmentation:
    if len(answer.regions) == fails_at:
        raise ValueError("secret")
    if len(answer.regions) == hangs_at:
        time.sleep(10)
    if len(answer.regions) == largest_of:
        return answer.model_copy(update={"regions": answer.regions[:1]})
    if len(answer.regions) == strays_at:
        region = answer.regions[0]
        box = region.box.model_copy(update={"right": answer.width + 1})
        return answer.model_copy(update={"regions": [region.model_copy(update={"box": box})]})
    return answer
'''
FAILS_AT, HANGS_AT, LARGEST_OF, STRAYS_AT = 3, 4, 5, 6
FILTERS = (
    {"kind": "abstain", "below": ABSTAIN_BELOW},
    {
        "kind": "hook",
        "path": "hooks.rules:check",
        "options": {"fails_at": FAILS_AT, "hangs_at": HANGS_AT, "largest_of": LARGEST_OF, "strays_at": STRAYS_AT},
    },
)
_BRIGHT = 250.0  # mean of a picture above which the logits are infinite


def overflowing_segmenter(contract: SegmentationContract) -> onnx.ModelProto:
    """`segmenter_graph` whose logits are infinite on white."""
    model = segmenter_graph(contract)
    graph = model.graph
    next(node for node in graph.node if LOGITS in node.output).output[0] = "finite"
    constants = {"bright": np.float32(_BRIGHT), "huge": np.float32(3e38), "everything": np.array([1, 2, 3], np.int64)}
    graph.initializer.extend([numpy_helper.from_array(np.array(value), name) for name, value in constants.items()])
    nodes = [
        helper.make_node("Cast", [IMAGES], ["all_samples"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["all_samples", "everything"], ["brightness"], keepdims=1),
        helper.make_node("Sub", ["brightness", "bright"], ["beyond"]),
        helper.make_node("Relu", ["beyond"], ["excess"]),
        helper.make_node("Mul", ["excess", "huge"], ["infinite"]),
        helper.make_node("ReduceMax", ["infinite", "last_two"], ["infinite_column"], keepdims=0),
        helper.make_node("Add", ["finite", "infinite_column"], [LOGITS]),
    ]
    graph.initializer.append(numpy_helper.from_array(np.array([2, 3], np.int64), "last_two"))
    place = next(i for i, node in enumerate(graph.node) if "finite" in node.output) + 1
    later = list(graph.node)[place:]
    del graph.node[place:]
    graph.node.extend([*nodes, *later])
    onnx.checker.check_model(model)
    return model


def store_overflowing_segmenter(**changes: Any) -> str:
    """Put the segmenter into the store of the present BentoML home, as serving reads it; return its tag.

    changes: of its contract.
    """
    contract = segmentation_contract(**changes)
    with bentoml.models.create(contract.name) as model:
        folder = Path(model.path)
        (folder / CONTRACT_FILE).write_text(contract.to_json())
        onnx.save(overflowing_segmenter(contract), folder / ONNX_FILE)
    return str(model.tag)


def store_both(project: Project) -> dict[str, str]:
    """Put both models into the project's store, the segmenter with its filters; return their tags by task.

    Its filters also find the faces of `tests.onnx_filters`.
    """
    (project.folder / "hooks").mkdir(exist_ok=True)
    (project.folder / "hooks/rules.py").write_text(HOOK)
    options = {"file": "hooks/faces.onnx", "sha256": write_face_detector(project.folder / "hooks/faces.onnx")}
    faces = {"kind": "image", "path": "runtime.image_filters.faces:faces", "options": options, "when": "overlay"}
    with bentoml_home(project.home):
        with bentoml.models.create("vision-classifier") as classifier:
            write_tiny_model(Path(classifier.path))
        segmenter = store_overflowing_segmenter(filters=[*FILTERS, faces])
        return {"classification": str(classifier.tag), "segmentation": segmenter}
