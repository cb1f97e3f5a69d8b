"""What Triton's Python backend loads as `model.py`: decode and classify the requests that Triton has gathered."""

import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = os.environ["PYTHONPATH"].split(":")  # Triton's stub does not read it

import numpy as np  # noqa: E402
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]  # noqa: E402

from benchmarks.peers.classifier import Classifier  # noqa: E402


class TritonPythonModel:
    """Triton's interface; one instance is one process with one session."""

    def initialize(self, args: dict[str, str]) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        threads = int(parameters["threads"]["string_value"])
        self.classifier = Classifier.load(Path(parameters["model_dir"]["string_value"]), threads)

    def execute(self, requests: list[Any]) -> list[Any]:
        tensors = [pb_utils.get_input_tensor_by_name(request, "image").as_numpy() for request in requests]
        encoded = [data for tensor in tensors for data in tensor.ravel()]
        answers = iter(self.classifier.predict([self.classifier.decode(data) for data in encoded]))
        responses = []
        for tensor in tensors:
            texts = [json.dumps(next(answers)).encode() for _ in range(tensor.size)]
            output = np.array(texts, dtype=np.object_).reshape(-1, 1)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("answer", output)]))
        return responses
