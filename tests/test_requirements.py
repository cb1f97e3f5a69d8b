"""The requirement files agree with each other, name no index, and keep training out of production."""

import re
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parent.parent / "requirements"
NOT_IN_PRODUCTION = {"torch", "torchvision", "timm", "albumentations", "mlflow", "dvc", "scikit-learn", "pandas"}


def _pins(name: str) -> dict[str, str]:
    text = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^ ]+) \\$", text, re.M))


@pytest.mark.parametrize(("smaller", "larger"), [("serve", "train"), ("train", "dev"), ("serve", "bench")])
def test_what_a_smaller_set_pins_the_larger_pins_alike(smaller: str, larger: str) -> None:
    pins = _pins(larger)
    assert len(_pins(smaller)) > 20
    assert {name: pins.get(name) for name in _pins(smaller)} == _pins(smaller)


@pytest.mark.parametrize("name", ["uv", "serve", "train", "dev", "bench", "triton"])
def test_every_package_is_pinned_with_hashes_and_no_index_is_named(name: str) -> None:
    text = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert "index" not in re.sub(r"^[a-z0-9-]+==", "", text)
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text.strip())
    assert all("--hash=sha256:" in block for block in blocks)
    assert len(blocks) == len(_pins(name))


def test_production_holds_no_training_package() -> None:
    assert not NOT_IN_PRODUCTION & set(_pins("serve"))
    assert _pins("train").keys() >= NOT_IN_PRODUCTION


def test_albumentations_stays_at_its_last_mit_release() -> None:
    assert _pins("train")["albumentations"] == "2.0.8"
