"""Search for better values of `params.yaml`: `python -m training.search`, again to go on, many at once to go faster.

Draws values from `search.yaml`, trains with them in a child process, gives up early what looks worse than others, and
writes to `--out` (`artifacts/search`, or that of the task) the journal that all workers share, a folder for each trial,
a table and plots. `--table` shows the best so far; `--write-best FILE` writes params.yaml with the best values. See
docs/SEARCH.md.
"""

import argparse
import hashlib
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import yaml
from optuna.trial import Trial, TrialState

from dataset.manifest import Manifest, ManifestError
from dataset.outputs.tasks import ARTIFACTS, add_task_option, manifest_of
from project.command import command
from project.params import ParamsError, add_params_option
from runtime.model.roles import Role
from training.sweeps.search_space import SEARCH_FILE, SearchConfig
from training.sweeps.search_summary import live_table, write_summary
from training.sweeps.search_worker import Recipe, handing_back_on_sigterm, work
from training.sweeps.study import SearchError, SearchStudy, best_trial, open_study, read_study
from training.sweeps.yaml_edit import edit_yaml

KNOWN_ERRORS = (ManifestError, ParamsError, SearchError)
OUT_DIR = "search"  # among the artifacts of the task
FAILURES_IN_A_ROW = 3  # after so many failed trials something is wrong that no values mend
logger = logging.getLogger(__name__)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--space", type=Path, default=SEARCH_FILE)
    add_params_option(parser)
    parser.add_argument("--manifest", type=Path, help="data/manifest.csv, or that of the task")
    add_task_option(parser)
    parser.add_argument("--out", type=Path, help="artifacts/search, or that of the task")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="workers here, each on its share of the cores")
    parser.add_argument("--table", action="store_true", help="print the trials so far and end")
    parser.add_argument("--every", type=float, metavar="SECONDS", help="with --table: print again until none runs")
    parser.add_argument("--write-best", type=Path, metavar="FILE", help="write params.yaml with the best values")


@command(_arguments, known=KNOWN_ERRORS)
def main(arguments: argparse.Namespace) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    arguments.out = arguments.out or ARTIFACTS[arguments.task] / OUT_DIR
    arguments.manifest = arguments.manifest or manifest_of(arguments.task)
    if arguments.table:
        _show_table(arguments.out, arguments.every)
    elif arguments.write_best:
        _write_best(arguments.out, arguments.params, arguments.write_best)
    else:
        search(arguments)


def search(arguments: argparse.Namespace) -> None:
    """Check everything, run the trials, write the summary."""
    if arguments.jobs < 1:
        raise SearchError(f"--jobs must be at least 1, got {arguments.jobs}")
    config, manifest = SearchConfig.read(arguments.space), Manifest.read(arguments.manifest)
    params_text = _read_params(arguments.params)
    config.check(params_text, arguments.task)
    identity = _identity(config, params_text, manifest, arguments.task)
    shared = open_study(arguments.out, config, config.distributions(), identity)
    if arguments.jobs > 1:
        with handing_back_on_sigterm():
            _run_workers(arguments)
    # Alone, or to try again what a worker that was killed has left behind.
    work(shared, _recipe(arguments.manifest, params_text, arguments.task))
    _finish(shared)


def _recipe(manifest: Path, params_text: str, task: Role) -> Recipe:
    failed_in_a_row: list[int] = []

    def look(trial: Trial, failure: str, _status: int) -> None:
        failed_in_a_row[:] = [*failed_in_a_row, trial.number] if failure else []
        if len(failed_in_a_row) == FAILURES_IN_A_ROW:
            raise SearchError(f"{FAILURES_IN_A_ROW} trials in a row failed, the last with: {failure}")

    return Recipe(
        manifest, lambda trial: edit_yaml(params_text, trial.params), lambda trial: f"trial {trial.number}", look, task
    )


def _run_workers(arguments: argparse.Namespace) -> None:
    """Start workers as processes of their own, each on its share of the cores, and wait for them."""
    cores = sorted(os.sched_getaffinity(0))
    names = ("space", "params", "manifest", "out", "task")
    options = [word for name in names for word in (f"--{name}", str(getattr(arguments, name)))]
    # Ctrl-C reaches this process alone, which ends them in order; they end with it, too, if it is killed.
    bound = ["training.process.child_run", str(os.getpid()), str(int(signal.SIGTERM)), "training.search"]
    command = [sys.executable, "-m", *bound, *options]
    workers: list[subprocess.Popen[bytes]] = []
    try:
        for i in range(arguments.jobs):
            share = cores[i :: arguments.jobs] or [cores[i % len(cores)]]
            workers.append(subprocess.Popen(command, start_new_session=True))
            os.sched_setaffinity(workers[-1].pid, share)
        for worker in workers:
            worker.wait()
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.terminate()
                worker.wait()
    if all(worker.returncode == 2 for worker in workers):
        raise SearchError("every worker gave up; each has said why above")


def _finish(shared: SearchStudy) -> None:
    if not shared.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        raise SearchError(f"no trial finished with a value; what each said is in {shared.out_dir / 'trials'}")
    write_summary(shared.study, shared.config.metric, shared.out_dir)
    best = best_trial(shared.study)
    values = ", ".join(f"{key} {value}" for key, value in best.params.items())
    logger.info("best: trial %d, %s %.4f with %s", best.number, shared.config.metric, best.value, values)


def _identity(config: SearchConfig, params_text: str, manifest: Manifest, task: Role) -> str:
    """Name what a trial's figure depends on; keys that the search itself sets count by their ranges."""
    document = {
        "metric": config.metric,
        "space": config.model_dump(mode="json")["space"],
        "params": yaml.safe_load(edit_yaml(params_text, dict.fromkeys(config.space, ""))),
        "data": manifest.data_sha256(task),
    } | ({"task": task} if task != "classification" else {})
    return hashlib.sha256(yaml.safe_dump(document, sort_keys=True).encode()).hexdigest()


def _write_best(out_dir: Path, params_path: Path, target: Path) -> None:
    best = best_trial(read_study(out_dir))
    target.write_text(edit_yaml(_read_params(params_path), best.params), encoding="utf-8")
    logger.info("wrote %s: %s with the values of trial %d (%.4f)", target, params_path, best.number, best.value)


def _show_table(out_dir: Path, every_s: float | None) -> None:
    while True:
        study = read_study(out_dir)
        sys.stdout.write(live_table(study) + "\n")
        sys.stdout.flush()
        if not every_s or not study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
            return
        time.sleep(every_s)


def _read_params(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ParamsError(f"cannot read {path}: {exc}") from exc


if __name__ == "__main__":
    sys.exit(main())
