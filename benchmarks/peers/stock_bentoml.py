"""Stock BentoML: the batchable API as its documentation shows it, with BentoML's own dispatcher.

`bentoml serve benchmarks.peers.stock_bentoml:Stock`; the model is named by the environment, because BentoML imports
this file itself. Several workers are several processes of one session each.
"""

import os
from pathlib import Path
from typing import Any

import bentoml

from benchmarks.peers.classifier import MAX_BATCH_SIZE, Classifier

MODEL_DIR, THREADS, WORKERS = "BENCHMARK_MODEL_DIR", "BENCHMARK_THREADS", "BENCHMARK_WORKERS"
MAX_LATENCY_MS = 10_000  # as `service.py`: no request of the benchmark shall be dropped for having waited


@bentoml.service(
    name="stock",
    workers=int(os.environ.get(WORKERS, "1")),
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},
)
class Stock:
    def __init__(self) -> None:
        self.classifier = Classifier.load(Path(os.environ[MODEL_DIR]), int(os.environ[THREADS]))

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH_SIZE, max_latency_ms=MAX_LATENCY_MS)  # type: ignore[untyped-decorator]
    def predict(self, images: list[Path]) -> list[dict[str, Any]]:
        """Decode and classify a batch."""
        return self.classifier.predict([self.classifier.decode(path.read_bytes()) for path in images])
