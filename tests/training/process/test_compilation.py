"""`train.compile: true` trains the same model by other code, or says what is missing."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.training.run.interrupted_runs import run_in
from training.run.checkpoint import Checkpoint

# What torch reads of the environment when it is loaded, for a process that is forked after that: the compiler, the
# folder of compiled code, and no pool of compiling processes.
COMPILED = """
import os, sys
from torch._inductor import config
config.cpp.cxx, os.environ["TORCHINDUCTOR_CACHE_DIR"], config.compile_threads = (None, sys.argv[1]), sys.argv[2], 1
from training import train
sys.exit(train.main(sys.argv[3:]))
"""
CXX = os.environ.get("CXX", "g++")


@pytest.fixture
def arguments(tiny_tiles_dir: Path, tiny_params: dict[str, Any], tmp_path: Path) -> list[str]:
    """Both phases of a small network, so that it is compiled with a frozen part and without."""
    tiny_params["contract"] |= {"height": 32, "width": 32}
    tiny_params["model"] = {"backbone": "two_layer_cnn", "pretrained": "none", "drop_rate": 0.0}
    for compiled in (False, True):
        tiny_params["train"]["compile"] = compiled
        (tmp_path / f"{compiled}.yaml").write_text(yaml.safe_dump(tiny_params), encoding="utf-8")
    return ["--manifest", str(tiny_tiles_dir / "manifest.csv")]


def _train(arguments: list[str], tmp_path: Path, compiled: bool, expected: int = 0, compiler: str = CXX) -> str:
    out = tmp_path / f"run-{compiled}"
    words = [*arguments, "--params", str(tmp_path / f"{compiled}.yaml"), "--out", str(out)]
    if not compiled:
        return run_in(out, "training.train", *words, expected=expected)
    return run_in(out, "-c", COMPILED, compiler, str(tmp_path / "compiled"), *words, expected=expected)


def _losses(out: Path) -> list[tuple[float, float]]:
    records = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [(record["train_loss"], record["val_loss"]) for record in records]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which(CXX) is None, reason="NOT TESTED: there is no C++ compiler")
def test_a_compiled_run_gives_the_figures_of_one_that_is_not(arguments: list[str], tmp_path: Path) -> None:
    for compiled in (False, True):
        _train(arguments, tmp_path, compiled)
    whole, compiled_losses = (_losses(tmp_path / f"run-{compiled}") for compiled in (False, True))
    assert compiled_losses == [pytest.approx(pair, rel=1e-3) for pair in whole]
    code = [path.read_text(encoding="utf-8") for path in (tmp_path / "compiled").rglob("*.py")]
    assert any("convolution" in module for module in code), "the network was not compiled"
    ours, theirs = (Checkpoint.load(tmp_path / f"run-{flag}" / "checkpoint.pt").state_dict for flag in (True, False))
    assert list(ours) == list(theirs)  # no name tells that it was compiled
    assert all(torch.allclose(tensor, theirs[name], atol=1e-2) for name, tensor in ours.items())


@pytest.mark.slow
def test_without_a_compiler_the_key_and_the_remedy_are_named(arguments: list[str], tmp_path: Path) -> None:
    printed = _train(arguments, tmp_path, compiled=True, expected=2, compiler="/no/such/compiler")
    assert "train.compile is true, but torch.compile does not work here" in printed
    assert "apt-get install g++" in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "run-True/log.jsonl").exists()
