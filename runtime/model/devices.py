"""Which CUDA devices the driver reports, and which one is asked for."""

import ctypes
from functools import cache
from typing import Literal

Device = Literal["auto", "cpu", "cuda"]


class DeviceError(ValueError):
    """The device that is asked for cannot be used; the message says why and what to ask for."""


@cache
def visible_cuda_devices() -> int:
    """How many CUDA devices this process may use, 0 without a driver; `CUDA_VISIBLE_DEVICES` counts."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    num_devices = ctypes.c_int(0)
    is_counted = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(num_devices)) == 0
    return num_devices.value if is_counted else 0


def num_inference_workers(device: str, num_cuda_devices: int) -> int:
    """How many inference workers a host gets: one a GPU, one where there is none or none is to be used."""
    return 1 if device == "cpu" else max(1, num_cuda_devices)
