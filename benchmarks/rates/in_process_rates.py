"""How many images a second callables in this process treat, in turns; and a model's steps as such callables."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from project.progress import progress
from runtime.model.preprocess import read_for_model
from runtime.model.session import Predictor

BATCH_SIZES = (1, 8, 32)
MIN_ROUND_S = 0.2  # of one variant in one round: long against the clock's and the scheduler's grain


@dataclass(frozen=True)
class Rate:
    """Images a second: median and quartiles over rounds."""

    name: str
    median: float
    low: float
    high: float


def measure(variants: dict[str, tuple[Callable[[], object], int]], num_rounds: int) -> list[Rate]:
    """Time callables in turns. variants: name -> (callable, images that one call treats)."""
    for call, _ in variants.values():
        call()
    rates: dict[str, list[float]] = {name: [] for name in variants}
    for _ in progress(range(num_rounds), "rounds"):
        for name, (call, num_images) in variants.items():
            rates[name].append(_images_per_s(call, num_images))
    quartiles = {name: np.percentile(values, (50, 25, 75)) for name, values in rates.items()}
    return [Rate(name, *map(float, values)) for name, values in quartiles.items()]


def _images_per_s(call: Callable[[], object], num_images: int) -> float:
    start = time.perf_counter()
    num_calls = 0
    while (elapsed := time.perf_counter() - start) < MIN_ROUND_S:
        call()
        num_calls += 1
    return num_calls * num_images / elapsed


def variants_of(predictor: Predictor, encoded: bytes) -> dict[str, tuple[Callable[[], object], int]]:
    """Return what is measured for one model and one encoded picture."""
    contract = predictor.contract
    pixels = read_for_model(encoded, contract)
    variants: dict[str, tuple[Callable[[], object], int]] = {
        "decode and resize": (lambda: read_for_model(encoded, contract), 1)
    }
    for size in BATCH_SIZES:
        batch = np.repeat(pixels[None], size, axis=0)
        variants[f"session, batch {size}"] = (partial(predictor.predict, batch), size)
    return variants
