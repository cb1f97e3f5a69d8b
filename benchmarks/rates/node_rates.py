"""What one machine does of each step of offline scoring in a second: read, decode, infer, and all of it together."""

import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.rates.in_process_rates import Rate, measure
from runtime.model.cores import usable_cores
from runtime.model.preprocess import read_for_model
from scoring.pictures import ScoringError, list_pictures, root_of
from scoring.pipeline import Scorer

READ, DECODE, INFER, SCORE = "read", "decode and resize, one core", "infer, all sessions", "score, all steps"


class NodeRates(BaseModel):
    """Medians of one node, pictures a second except where said. bytes_per_picture: mean of the sample.

    read_mib_s: with as many threads as scoring has, the files' pages dropped from the cache before. device: cpu or
    cuda; on a CPU decoding and inference share the cores.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    cores: int
    num_sampled: int
    bytes_per_picture: float
    read_mib_s: float
    decode_per_core: float
    infer: float
    score: float

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what an earlier run measured. Raises ScoringError if it is not there or none."""
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError) as exc:
            raise ScoringError(f"{path} holds no rates of a node: {exc}") from exc


def sample(source: Path, size: int) -> list[str]:
    """Draw pictures evenly from a list of any length, the same ones every time, in one pass."""
    drawn: list[str] = []
    generator = random.Random(0)  # noqa: S311 - a sample, no secret
    for number, name in enumerate(list_pictures(source)):
        if len(drawn) < size:
            drawn.append(name)
        elif (place := generator.randrange(number + 1)) < size:
            drawn[place] = name
    if not drawn:
        raise ScoringError(f"{source} holds no picture")
    return drawn


def measure_node(source: Path, scorer: Scorer, sample_size: int, num_rounds: int) -> NodeRates:
    """Measure all steps in turns on a sample of `source`. Raises ScoringError or OSError if it cannot be read."""
    root, names = root_of(source), sample(source, sample_size)
    files = [root / name for name in names]
    encoded = [file.read_bytes() for file in files]
    with ThreadPoolExecutor(scorer.num_workers) as pool:
        variants = {
            READ: (lambda: _read_cold(files, pool), len(files)),
            DECODE: (_decoder(encoded, scorer), 1),
            INFER: _inference(encoded, scorer, pool),
            SCORE: (lambda: list(scorer.score(root, names)), len(names)),
        }
        rates = {rate.name: rate for rate in measure(variants, num_rounds)}
    return _to_node_rates(rates, encoded, scorer)


def _read_cold(files: list[Path], pool: ThreadPoolExecutor) -> None:
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    list(pool.map(Path.read_bytes, files))


def _decoder(encoded: list[bytes], scorer: Scorer) -> Callable[[], object]:
    def endless() -> Iterator[bytes]:
        while True:
            yield from encoded

    pictures = endless()
    return lambda: read_for_model(next(pictures), scorer.predictor.contract)


def _inference(encoded: list[bytes], scorer: Scorer, pool: ThreadPoolExecutor) -> tuple[Callable[[], object], int]:
    pixels = read_for_model(encoded[0], scorer.predictor.contract)
    batches = [np.repeat(pixels[None], scorer.batch_size, axis=0)] * (4 * len(scorer.predictor.sessions))
    return lambda: list(pool.map(scorer.predictor.predict, batches)), scorer.batch_size * len(batches)


def _to_node_rates(rates: dict[str, Rate], encoded: list[bytes], scorer: Scorer) -> NodeRates:
    bytes_per_picture = sum(map(len, encoded)) / len(encoded)
    return NodeRates(
        device=scorer.predictor.device,
        cores=usable_cores(),
        num_sampled=len(encoded),
        bytes_per_picture=_significant(bytes_per_picture),
        read_mib_s=_significant(rates[READ].median * bytes_per_picture / 2**20),
        decode_per_core=_significant(rates[DECODE].median),
        infer=_significant(rates[INFER].median),
        score=_significant(rates[SCORE].median),
    )


def _significant(value: float) -> float:
    """Round to six digits, however small: a slow disk's rate of small pictures is not to become none."""
    return float(f"{value:.6g}")
