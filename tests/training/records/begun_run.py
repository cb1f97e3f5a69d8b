"""`python -m tests.training.records.begun_run OUT`: a run that MLflow is told of from its begin to its end."""

import sys
from pathlib import Path

from training.records.run_log import Run

if __name__ == "__main__":
    with Run(Path(sys.argv[1]), {"lr": 1}, {}):
        pass
