"""Run a module as `python -m` does, with Slurm's warnings held back: `python -m slurm.early MODULE [ARGUMENTS]`.

Importing takes seconds on a cold network disk, and a signal that comes meanwhile would end the job for good. The module
hears what was held back once it enters `slurm.warning.Warnings`.
"""

import runpy
import signal
import sys

WARNINGS = (signal.SIGUSR1, signal.SIGTERM)


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, WARNINGS)
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
