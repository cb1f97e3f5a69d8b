"""Whether `torch.compile` works on this machine: it needs a C++ compiler, Python's headers and, on a GPU, Triton."""

import torch

from project.params import ParamsError


def check_compilation(device: torch.device) -> None:
    """Compile one operation for the device. Raises ParamsError that says what to do where that fails."""
    try:
        torch.compile(_negative)(torch.zeros(2, device=device))
    except RuntimeError as exc:  # of Dynamo, Inductor and the compiler alike
        reason = next((line for line in str(exc).splitlines() if line.strip()), type(exc).__name__)
        raise ParamsError(
            f"train.compile is true, but torch.compile does not work here ({reason.strip()}): install a C++ compiler "
            "and Python's headers (on Debian: apt-get install g++ python3-dev), name the compiler in CXX, or set "
            "train.compile to false"
        ) from exc


def _negative(values: torch.Tensor) -> torch.Tensor:
    return -values
