"""What the cores give without a server, the limit of any server on them: measured in a process of its own."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.servers import Served
from benchmarks.load.turns import run_module
from benchmarks.rates.in_process_rates import Rate


@dataclass(frozen=True)
class Ceilings:
    """rates: of one session with every thread, and of `LIMIT` and `SINGLE`. single_ms: decode and infer one picture."""

    rates: dict[str, Rate]
    single_ms: float
    limit_per_s: float
    probabilities: dict[str, float]  # what every server must answer to the picture
    sha256: str  # of the ONNX file


def ceilings_of(served: Served, picture: bytes, cores: set[int], num_rounds: int) -> Ceilings:
    """Have `benchmarks.in_process` measure what is served on `cores`. Raises ServerFailedError if it cannot.

    picture: an encoded one.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "small.jpg"
        path.write_bytes(picture)
        arguments = [f"--model-dir={served.model_dir}", f"--picture={path}", f"--sessions={served.sessions}"]
        arguments += [f"--threads={served.threads}", f"--rounds={num_rounds}"]
        printed = run_module("benchmarks.in_process", arguments, cores)
    rates = {name: Rate(**rate) for name, rate in printed.pop("rates").items()}
    return Ceilings(rates=rates, **printed)
