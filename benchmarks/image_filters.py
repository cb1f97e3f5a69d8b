"""What the filters that look at pixels cost, in process: `python -m benchmarks.image_filters`.

Takes the filters of kind `image` from `params.yaml` and has each look at drawn pictures of three sizes, by turns.
Decoding the file once more at the filter's size and looking at it are timed apart: the median over the rounds, with the
least and the greatest. A service pays both for each picture, in a thread beside the others.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.pages.summary import Spread
from benchmarks.workload import camera_picture, large_picture, small_picture
from project.command import UsageError, command
from project.params import ParamsError, read_section
from project.write_whole import write_whole
from runtime.answers.filters import FilterError
from runtime.answers.segmentation import Segmentation
from runtime.image_filters.looking import ImageFile, ImageFilters, ImageStep
from runtime.model.contract import SegmentationContract
from training.params import ContractParams

NUM_ROUNDS = 9
_ANSWER = Segmentation.model_validate(
    {"label": "a", "class_id": 0, "probability": 1.0, "probabilities": {"a": 1.0, "b": 0.0}, "logits": {"a": 1, "b": 0}}
    | {
        "model": {"name": "none", "version": "0", "sha256": ""},
        "width": 1,
        "height": 1,
        "regions": [],
        "num_regions": 0,
    }
)


@dataclass(frozen=True)
class Cost:
    """What one filter took for one picture, in milliseconds."""

    filter: str
    picture: str
    decode_ms: Spread
    look_ms: Spread

    def in_words(self) -> str:
        """Return one line."""
        decode, look = self.decode_ms, self.look_ms
        return (
            f"{self.filter}, {self.picture}: decoding {decode.median:.1f} ms ({decode.low:.1f} to {decode.high:.1f}), "
            f"looking {look.median:.1f} ms ({look.low:.1f} to {look.high:.1f})\n"
        )


def measure(steps: Sequence[ImageStep], pictures: dict[str, bytes], num_rounds: int) -> list[Cost]:
    """Have every step look at every picture in each round; a round before them all warms up and is not counted."""
    taken: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for number in range(num_rounds + 1):
        for step in steps:
            for name, data in pictures.items():
                times = _time(step, data)
                if number:
                    taken.setdefault((step.stated.path, name), []).append(times)
    return [Cost(*key, *(_spread([pair[i] for pair in pairs]) for i in (0, 1))) for key, pairs in taken.items()]


def _time(step: ImageStep, data: bytes) -> tuple[float, float]:
    file, began_at = ImageFile(data), time.perf_counter()
    file.pixels(step.stated.side_px)
    decoded_at = time.perf_counter()
    step.look_at(file, _ANSWER)
    return 1e3 * (decoded_at - began_at), 1e3 * (time.perf_counter() - decoded_at)


def _spread(values: list[float]) -> Spread:
    found = Spread.of(values)
    assert found
    return found


def load_steps(params: Path) -> tuple[ImageStep, ...]:
    """Return the filters of `params.yaml` that look at pixels.

    Raises FilterError if there is none, ParamsError if the file cannot be used.
    """
    contract = SegmentationContract(
        classes=("a", "b"), regions=("a",), height=8, width=8, mean=(0, 0, 0), std=(1, 1, 1),
        filters=read_section(params, "contract", ContractParams).filters,
    )  # fmt: skip
    steps = ImageFilters.load(contract).steps
    if not steps:
        raise FilterError(
            f"{params} states no filter of kind `image` in contract.filters: docs/FILTERS.md has examples"
        )
    return steps


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--rounds", type=int, default=NUM_ROUNDS)
    parser.add_argument("--out", type=Path, default=Path("artifacts/benchmarks/image_filters.json"))


@command(_arguments, known=(FilterError, ParamsError, OSError), speaker="benchmark")
def main(args: argparse.Namespace) -> None:
    if args.rounds < 1:
        raise UsageError(f"--rounds must be at least 1, got {args.rounds}")
    steps = load_steps(args.params)
    pictures = {"224 x 224": small_picture(), "1200 x 900": camera_picture(), "4000 x 3000": large_picture()}
    costs = measure(steps, pictures, args.rounds)
    sys.stdout.write("".join(cost.in_words() for cost in costs))
    write_whole(args.out, json.dumps([asdict(cost) for cost in costs], indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
