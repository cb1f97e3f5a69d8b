"""The batch step of a job that runs `counting_run` over its nodes, as `slurm.train` runs training."""

import logging
import sys
from pathlib import Path

from slurm.allocation import Allocation
from slurm.doctor import meeting_point
from slurm.job import run_on_all_nodes
from slurm.nodes import look_at_nodes


def main(folder: Path) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    allocation = Allocation.current()
    report = look_at_nodes(allocation, Path("data/manifest.csv"), folder / "slurm")
    head = meeting_point(allocation, report, 0)
    return run_on_all_nodes(allocation, head, folder / "slurm", ["tests.slurm.counting_run", str(folder)])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
