"""The requirement files agree with each other, name no index, and keep training out of production."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parent.parent / "requirements"
NOT_IN_PRODUCTION = {"torch", "torchvision", "timm", "albumentations", "mlflow", "dvc", "scikit-learn", "pandas"}


def _pins(name: str) -> dict[str, str]:
    text = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^ ]+) \\$", text, re.M))


@pytest.mark.parametrize(
    ("smaller", "larger"), [("serve", "train"), ("train", "dev"), ("serve", "bench"), ("serve", "serve-gpu")]
)
def test_what_a_smaller_set_pins_the_larger_pins_alike(smaller: str, larger: str) -> None:
    pins = _pins(larger)
    assert len(_pins(smaller)) > 20
    assert {name: pins.get(name) for name in _pins(smaller)} == _pins(smaller)


@pytest.mark.parametrize("name", ["uv", "serve", "serve-cpu", "serve-gpu", "train", "dev", "bench", "triton", "labels"])
def test_every_package_is_pinned_with_hashes_and_no_index_is_named(name: str) -> None:
    text = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert "index" not in re.sub(r"^[a-z0-9-]+==", "", text)
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text.strip())
    assert all("--hash=sha256:" in block for block in blocks)
    assert len(blocks) == len(_pins(name))


def test_images_for_cpus_and_gpus_differ_in_the_build_of_onnx_runtime_alone() -> None:
    cpu, host = _pins("serve-cpu"), _pins("serve")
    assert cpu.pop("onnxruntime") == host.pop("onnxruntime-gpu")
    assert cpu == host
    added = _pins("serve-gpu").keys() - _pins("serve").keys()
    assert {"nvidia-cudnn-cu13", "nvidia-cublas", "nvidia-cuda-runtime"} <= added
    assert all(name.startswith("nvidia-") for name in added)


def test_production_holds_no_training_package() -> None:
    assert not NOT_IN_PRODUCTION & {*_pins("serve"), *_pins("serve-cpu"), *_pins("serve-gpu")}
    assert _pins("train").keys() >= NOT_IN_PRODUCTION


def test_albumentations_stays_at_its_last_mit_release() -> None:
    assert _pins("train")["albumentations"] == "2.0.8"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A machine with a few commands, without Python 3.11 and with a uv that notes what it is asked for."""
    (bin_dir := tmp_path / "bin").mkdir()
    for name in ("bash", "env", "mkdir", "dirname", "id", "touch", "cat"):
        (bin_dir / name).symlink_to(str(shutil.which(name)))
    (tmp_path / "requirements").mkdir()
    shutil.copy(REQUIREMENTS / "install.sh", tmp_path / "requirements")
    _command(bin_dir / "python3", "echo 3.13")
    _command(
        bin_dir / "uv", 'echo "uv $*" >> asked; [ "$1" != venv ] || [ -n "$OFFLINE" ] || mkdir -p .venv/bin; '
        'echo "cache $UV_CACHE_DIR" >> asked; [ -z "$OFFLINE" ]',
    )  # fmt: skip
    return tmp_path


def _command(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)


def _install(host: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [host / "requirements/install.sh", "train"], cwd=host, capture_output=True, text=True,
        env={"PATH": str(host / "bin"), "HOME": str(host), "OFFLINE": "", **environment},
    )  # fmt: skip


def test_uv_brings_python_where_the_host_has_another(host: Path) -> None:
    done = _install(host)
    assert done.returncode == 0, done.stderr
    assert "uv venv --quiet --relocatable --python 3.11 .venv" in (host / "asked").read_text()
    assert "uv brings it" in done.stderr


def test_without_network_the_missing_python_is_named(host: Path) -> None:
    done = _install(host, OFFLINE="yes")
    assert done.returncode == 2
    assert "needs Python 3.11, and found" in done.stderr
    assert "(3.13)" in done.stderr


def test_uv_itself_says_so_where_it_may_fetch_nothing(host: Path) -> None:
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert uv
    (host / "bin/uv").unlink()
    (host / "bin/uv").symlink_to(uv)
    done = _install(host, UV_PYTHON_DOWNLOADS="never", UV_PYTHON_INSTALL_DIR=str(host / "pythons"))
    assert done.returncode == 2
    assert "needs Python 3.11, and found" in done.stderr


def test_a_python_3_11_of_the_hosts_is_taken_and_a_name_without_one_is_not(host: Path) -> None:
    _command(host / "bin/python3.11", "exit 127")  # pyenv's, for a version that is not chosen
    _install(host)
    assert "--python 3.11 .venv" in (host / "asked").read_text()
    shutil.rmtree(host / ".venv")
    _command(host / "bin/python3.11", "echo 3.11")
    _install(host)
    assert f"--python {host}/bin/python3.11 .venv" in (host / "asked").read_text()


def test_a_machine_without_any_python_or_uv_is_told_so(host: Path) -> None:
    for name in ("uv", "python3"):
        (host / "bin" / name).unlink()
    done = _install(host)
    assert done.returncode == 2
    assert "found neither a Python nor uv" in done.stderr


def test_a_home_that_cannot_be_written_is_no_place_for_uvs_cache(host: Path) -> None:
    for home, cache in ((str(host), ""), ("/dev/null", f"{host}/.uv/cache")):
        _install(host, HOME=home)
        assert set(re.findall("^cache (.*)$", (host / "asked").read_text(), re.M)) == {cache}
        (host / "asked").unlink()
