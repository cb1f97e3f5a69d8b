"""What a figure is worth nothing without: the machine, the cores, the versions and the date."""

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

PACKAGES = (
    *("bentoml", "onnxruntime-gpu", "numpy", "pillow", "fastapi", "uvicorn", "litserve", "ray", "starlette"),
    *("torch", "torchvision"),
)


@dataclass(frozen=True)
class Machine:
    """Described without its name, which is nobody's business."""

    processor: str
    num_cores: int
    server_cores: int
    generator_has_own_core: bool
    memory_gib: float
    system: str
    python: str
    versions: dict[str, str]
    load_before: float  # of the first minute before: above 0.5 somebody else was at work
    begun: str  # UTC


def describe(server_cores: set[int], generator_cores: set[int]) -> Machine:
    """Describe this machine and environment now."""
    return Machine(
        processor=_processor(),
        num_cores=len(os.sched_getaffinity(0)),
        server_cores=len(server_cores),
        generator_has_own_core=not server_cores & generator_cores,
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        versions={name: version for name in PACKAGES if (version := _version(name))},
        load_before=round(os.getloadavg()[0], 2),
        begun=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def share_cores(available: set[int]) -> tuple[set[int], set[int]]:
    """Return the server's and the generator's cores: its own from three cores on, below that all are shared."""
    if len(available) < 3:
        return available, available
    own = max(available)
    return available - {own}, {own}


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
