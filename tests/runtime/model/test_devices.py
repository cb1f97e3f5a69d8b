"""Which device an inference worker takes; on a machine without a GPU, so the choice and not the device."""

import os
import subprocess
import sys

import pytest

from runtime.model.devices import num_inference_workers
from runtime.model.session import providers_of


@pytest.mark.parametrize(
    ("device", "num_devices", "num_workers"),
    [("auto", 0, 1), ("auto", 1, 1), ("auto", 4, 4), ("cuda", 4, 4), ("cpu", 4, 1)],
)
def test_a_host_gets_one_inference_worker_a_gpu_or_one(device: str, num_devices: int, num_workers: int) -> None:
    assert num_inference_workers(device, num_devices) == num_workers


def test_each_worker_computes_on_the_device_of_its_number() -> None:
    cpu: tuple[str, dict[str, str]] = ("CPUExecutionProvider", {})
    assert providers_of(3) == [("CUDAExecutionProvider", {"device_id": "3"}), cpu]
    assert providers_of(None) == [cpu]


def test_hidden_devices_are_none() -> None:
    """In a process of its own: a driver reads the variable once."""
    code = "from runtime.model.devices import visible_cuda_devices; print(visible_cuda_devices())"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
