"""What the answers of a segmentation model cost on a picture of 12 megapixels: `python -m benchmarks.outlines`.

For 1, 10 and 100 regions in a map of 224 x 224, drawn here: the time to make the answer of the map, to write it as
JSON, as an index mask and as an overlay, and the size of each. Then the time to find the connected parts of the hardest
maps of 1024 x 1024. Times are this thread's processor time, the best of several rounds: no step uses another thread.
"""

import argparse
import io
import json
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image

from project.command import command
from runtime.answers.classification import ModelIdentity
from runtime.answers.connected_parts import UintMap, find_parts
from runtime.answers.index_mask import index_mask
from runtime.answers.overlay import overlay
from runtime.answers.segmentation import Segmentation, to_segmentations
from runtime.model.contract import FOREGROUND, LOGITS, PROBABILITIES, REGION_MAP, Outputs, SegmentationContract
from runtime.model.preprocess import placement

SIZE = (4000, 3000)
SIDE = 224
NUM_ROUNDS = 5
_MODEL = ModelIdentity(name="drawn", version="1", sha256="0" * 64)
_CONTRACT = SegmentationContract(
    classes=("free", "mark"), regions=("mark",), height=SIDE, width=SIDE, mean=(0.5,) * 3, std=(0.5,) * 3
)


def drawn_outputs(num_regions: int) -> Outputs:
    """Return the outputs for a picture with so many discs, in rows and columns, that fill 40% of it."""
    per_row = int(np.ceil(np.sqrt(num_regions)))
    pitch = SIDE / per_row
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    away = np.hypot(columns % pitch - pitch / 2, rows % pitch - pitch / 2)
    number = (rows // pitch) * per_row + columns // pitch
    edge = (pitch * 0.357 - away) / 2 + 0.5  # a network's edges are a few cells wide
    foreground = np.where(number < num_regions, edge.clip(0, 1), 0).astype(np.float32)
    picture = np.array([[0.1, 0.9]], np.float32)
    region_map = np.ones((1, SIDE, SIDE), np.uint8)
    return {PROBABILITIES: picture, LOGITS: np.log(picture), REGION_MAP: region_map, FOREGROUND: foreground[None]}


def best_ms(work: Callable[[], object]) -> float:
    """Return the shortest processor time of several rounds."""
    times = []
    for _ in range(NUM_ROUNDS):
        started_at = time.thread_time()
        work()
        times.append(time.thread_time() - started_at)
    return round(min(times) * 1e3, 1)


def costs_of_answers(num_regions: int, picture: bytes) -> dict[str, float]:
    """Return milliseconds and kilobytes of one answer with so many regions; `picture` is encoded, of `SIZE`."""
    outputs, places = drawn_outputs(num_regions), [placement(*SIZE, _CONTRACT)]

    def answer() -> Segmentation:
        [found] = to_segmentations(outputs, places, _CONTRACT, _MODEL)
        assert found is not None
        return found

    made = answer()
    assert len(made.regions) == num_regions
    return {
        "regions": num_regions,
        "answer_ms": best_ms(answer),
        "json_ms": best_ms(made.model_dump_json),
        "json_kb": round(len(made.model_dump_json()) / 1e3, 1),
        "index_mask_ms": best_ms(lambda: index_mask(made)),
        "index_mask_kb": round(len(index_mask(made)) / 1e3, 1),
        "overlay_ms": best_ms(lambda: overlay(picture, made)),
    }


def hard_maps(side: int) -> dict[str, UintMap]:
    """Return maps whose connected parts are many, or wind through all of them."""
    rng = np.random.default_rng(0)
    return {
        "noise, half marked": (rng.random((side, side)) < 0.5).astype(np.uint8),
        "noise of 5 regions": rng.integers(1, 6, (side, side)).astype(np.uint8),
        "noise of 254 regions": rng.integers(1, 255, (side, side)).astype(np.uint8),
        "chequers": (np.indices((side, side)).sum(axis=0) % 2).astype(np.uint8),
    }


@command()
def main(_: argparse.Namespace) -> None:
    """Print one line of JSON for each number of regions, and one for each hard map."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize(SIZE).convert("RGB").save(file, "JPEG", quality=90)
    lines: list[dict[str, object]] = [dict(costs_of_answers(number, file.getvalue())) for number in (1, 10, 100)]
    for name, values in hard_maps(1024).items():
        lines.append({"map": name, "parts": len(find_parts(values).sizes), "ms": best_ms(partial(find_parts, values))})
    sys.stdout.write("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
