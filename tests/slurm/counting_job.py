"""The batch step of a job that runs `counting_run` over its nodes, as `slurm.train` runs training."""

import logging
import sys

from slurm.attempts import Attempts
from slurm.claim import SCRATCH_DIR
from slurm.job import batch_step
from slurm.train import train

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    module = ["tests.slurm.counting_run", sys.argv[1]]
    sys.exit(
        batch_step(lambda allocation, warnings: train(allocation, warnings, Attempts(SCRATCH_DIR, allocation), module))
    )
