"""What decoding JPEGs at reduced scale gains and what it costs: `python -m benchmarks.decoding`.

Each of several pictures of 12 megapixels, drawn here or scaled up from the data set, is decoded whole and at reduced
scale and brought to a model's input. Reported: the ratio of the times, the difference of the pixels, and the largest
change of a probability of the registered model; beside it what saving the same picture again at JPEG quality 85 does,
which no one would call another picture. Times are the best of rounds in which both take turns.
"""

import argparse
import io
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from project.command import command
from project.progress import progress
from runtime.model.contract import DEFAULT_MODEL, PROBABILITIES, ModelContract
from runtime.model.image import ImageArray, decode_image
from runtime.model.preprocess import preprocess, read_for_model
from runtime.model.session import Predictor
from runtime.serving.model_reference import ModelUnavailable, find_model

SIZE = (4000, 3000)  # 12 megapixels, as most phones take
NUM_ROUNDS = 5
NUM_TILES = 8
QUALITY, SAVED_AGAIN_QUALITY = 90, 85


@dataclass(frozen=True)
class Comparison:
    """One picture both ways; pixel differences in units of 0 to 255, probabilities in [0, 1]."""

    picture: str
    ratio: float
    mean_difference: float
    p99_difference: float
    max_difference: float
    probability_change: float
    saved_again_probability_change: float


def pictures(tiles: Sequence[Path]) -> Iterator[tuple[str, Image.Image]]:
    """Yield names and pictures of `SIZE`: tiles scaled up, noise of several grains, thin lines and text."""
    for path in tiles:
        whole = Image.fromarray(decode_image(path.read_bytes()))
        yield f"tile {path.stem}", whole.resize(SIZE, Image.Resampling.BICUBIC)
    rng = np.random.default_rng(0)
    for grain in (1, 2, 4, 8, 16):
        values = rng.normal(128, 40, (SIZE[1] // grain, SIZE[0] // grain, 3)).clip(0, 255).astype(np.uint8)
        yield f"noise, grain {grain} px", Image.fromarray(values).resize(SIZE, Image.Resampling.BICUBIC)
    lines = Image.new("RGB", SIZE, "white")
    text = lines.copy()
    draw = ImageDraw.Draw(lines)
    for x in range(0, SIZE[0], 97):
        draw.line((x, 0, SIZE[0] - x, SIZE[1]), fill=(x % 256, 0, 80), width=3)
    draw = ImageDraw.Draw(text)
    for y in range(0, SIZE[1], 40):
        draw.text((10, y), "The quick brown fox jumps over the lazy dog. " * 8, fill="black", font_size=28)
    yield "thin saturated lines", lines
    yield "text", text


def compare(name: str, image: Image.Image, predictor: Predictor) -> Comparison:
    """Bring one picture to the model's input both ways."""
    contract = predictor.contract
    data, again = _jpeg(image, QUALITY), _jpeg(image, SAVED_AGAIN_QUALITY)
    ways: tuple[Callable[[], ImageArray], ...] = (
        lambda: _whole(data, contract),
        lambda: read_for_model(data, contract),
    )
    best_s = [min(times) for times in zip(*([_seconds(way) for way in ways] for _ in range(NUM_ROUNDS)), strict=True)]
    whole, reduced = (way() for way in ways)
    difference = np.abs(whole.astype(int) - reduced)
    probs = predictor.predict(np.stack([whole, reduced, _whole(again, contract)]))[PROBABILITIES]
    return Comparison(
        picture=name,
        ratio=best_s[0] / best_s[1],
        mean_difference=float(difference.mean()),
        p99_difference=float(np.percentile(difference, 99)),
        max_difference=float(difference.max()),
        probability_change=float(np.abs(probs[0] - probs[1]).max()),
        saved_again_probability_change=float(np.abs(probs[0] - probs[2]).max()),
    )


def _whole(data: bytes, contract: ModelContract) -> ImageArray:
    return preprocess(decode_image(data), contract)


def _jpeg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def table(comparisons: Sequence[Comparison]) -> str:
    """Lay the comparisons out as Markdown."""
    head = "| picture | times faster | mean | p99 | max | probability | saved again |\n|---|---|---|---|---|---|---|\n"
    return head + "".join(
        f"| {c.picture} | {c.ratio:.1f} | {c.mean_difference:.2f} | {c.p99_difference:.0f} | {c.max_difference:.0f} "
        f"| {c.probability_change:.4f} | {c.saved_again_probability_change:.4f} |\n"
        for c in comparisons
    )


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default=DEFAULT_MODEL, help="tag in the model store")
    parser.add_argument("--pictures", type=Path, default=Path("data/pictures/images"), help="folder to take tiles from")
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")


@command(_arguments, known=(ModelUnavailable, ValueError), speaker="error")
def main(args: argparse.Namespace) -> None:
    found = sorted(path for path in args.pictures.rglob("*") if path.is_file())
    if not found:
        raise ValueError(f"there is no picture in {args.pictures}; run `make data`")
    predictor = Predictor.load(Path(find_model(args.model).path), "cpu", threads=1)
    drawn = pictures(found[:: max(1, len(found) // NUM_TILES)][:NUM_TILES])
    comparisons = [compare(name, image, predictor) for name, image in progress(drawn, "pictures")]
    sys.stdout.write(table(comparisons))
    if args.out:
        args.out.write_text(json.dumps([asdict(c) for c in comparisons], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
