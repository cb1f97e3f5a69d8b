"""The links of the chain after training: `python -m slurm.links evaluate export` runs links one after the other.

Which commands a link runs is read from the task's dvc.yaml (`slurm/chain_commands.py`). `slurm/chain.sh` makes each
link a job that depends on the one before.

Every command that reads params gets `--params`: a model that was trained with a file of its own is also compared,
evaluated, exported and judged by it.
"""

import argparse
import sys
from contextlib import nullcontext

from dataset.outputs.tasks import add_task_option
from project.command import command
from project.params import ParamsError, add_params_option
from slurm.allocation import SlurmError, current_job_id
from slurm.chain_commands import LINKS, check_params, run_links
from slurm.claim import claimed


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("links", nargs="+", choices=LINKS)
    add_task_option(parser)
    add_params_option(parser, "what the model was trained with")
    parser.add_argument("--chain", default="", metavar="JOB", help="first job of the chain that this job belongs to")


@command(_arguments, known=(ParamsError, SlurmError), logs_to="stdout")
def main(arguments: argparse.Namespace) -> int:
    check_params(arguments.params)
    job_id = current_job_id()
    with claimed(job_id, arguments.chain) if job_id else nullcontext():
        return run_links(arguments.links, arguments.params, arguments.task)


if __name__ == "__main__":
    sys.exit(main())
