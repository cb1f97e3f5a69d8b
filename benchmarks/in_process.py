"""What the cores give without a server: `python -m benchmarks.in_process --model-dir DIR --picture tile.jpg`.

Adds to `benchmarks/session.py` the shape that servers run in, several sessions at once, each decoding and inferring on
a thread of its own: the limit of any server on these cores. Prints JSON, a `Ceilings`.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from benchmarks.peers.classifier import Classifier
from benchmarks.rates.ceilings import Ceilings
from benchmarks.rates.in_process_rates import measure, variants_of
from project.command import command
from runtime.model.contract import ContractError
from runtime.model.errors import ImageError

LIMIT_BATCH_SIZES = (1, 4)
BATCHES_PER_SESSION = 16  # in one call: enough that a thread that ends early idles for little of it


def ceilings(model_dir: Path, encoded: bytes, sessions: int, threads: int, num_rounds: int) -> Ceilings:
    """Measure on the cores that this process may use. Raises ContractError or ImageError if there is nothing to run."""
    classifiers = [Classifier.load(model_dir, threads) for _ in range(sessions)]
    whole = Classifier.load(model_dir, sessions * threads)
    first = classifiers[0]
    single = f"decode and infer one, 1 x {threads} thread"
    variants = variants_of(whole.predictor, encoded)
    variants[single] = (lambda: first.predict([first.decode(encoded)]), 1)
    with ThreadPoolExecutor(sessions) as pool:
        limits = {}
        for size in LIMIT_BATCH_SIZES:
            name = f"decode and infer at once, {sessions} x {threads} thread, batch {size}"
            limits[name] = (_at_once(pool, classifiers, encoded, size), size * BATCHES_PER_SESSION * sessions)
        rates = {rate.name: rate for rate in measure(variants | limits, num_rounds)}
    answer = first.predict([first.decode(encoded)])[0]
    probabilities = answer["probabilities"]
    assert isinstance(probabilities, dict)
    return Ceilings(
        rates=rates,
        single_ms=1e3 / rates[single].median,
        limit_per_s=max(rates[name].median for name in limits),
        probabilities=probabilities,
        sha256=first.predictor.sha256,
    )


def _at_once(
    pool: ThreadPoolExecutor, classifiers: Sequence[Classifier], encoded: bytes, batch_size: int
) -> Callable[[], object]:
    """Return a call in which the sessions take batches from one heap until it is empty."""

    def call() -> None:
        heap = iter(range(BATCHES_PER_SESSION * len(classifiers)))  # `next` on it is atomic

        def work(classifier: Classifier) -> None:
            for _ in heap:
                classifier.predict([classifier.decode(encoded) for _ in range(batch_size)])

        list(pool.map(work, classifiers))

    return call


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model-dir", type=Path, required=True)
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)


@command(_arguments, known=(ContractError, ImageError, OSError), speaker="benchmark")
def main(args: argparse.Namespace) -> None:
    encoded = args.picture.read_bytes()
    result = ceilings(args.model_dir, encoded, args.sessions, args.threads, args.rounds)
    sys.stdout.write(json.dumps(asdict(result)) + "\n")


if __name__ == "__main__":
    sys.exit(main())
