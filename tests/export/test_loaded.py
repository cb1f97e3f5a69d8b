"""What commands of this room load: registering and packing copy files, so they start without training's packages."""

import json
import subprocess
import sys

import pytest

LARGE = {
    *("albumentations", "cleanlab", "cv2", "fairlearn", "matplotlib", "mlflow", "onnx", "optuna", "pandas"),
    *("scipy.optimize", "scipy.stats", "sklearn", "timm", "torch", "torchvision"),
}
PRINT_LOADED = "import {}, json, sys; print(json.dumps(sorted(sys.modules)))"


def _loaded(module: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PRINT_LOADED.format(module)], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("module", ["export.register", "export.bento"])
def test_what_copies_files_loads_pandas_of_the_large_packages_alone(module: str) -> None:
    assert _loaded(module) & LARGE == {"pandas"}


@pytest.mark.slow
def test_the_export_loads_the_network_and_nothing_of_the_loop() -> None:
    loaded = _loaded("export.export")
    assert {"torch", "timm", "onnx"} <= loaded
    assert not loaded & {"matplotlib", "mlflow", "optuna", "training.fit", "training.run.trainer", "training.train"}
