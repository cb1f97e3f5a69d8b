"""Compare ways to train, several seeds each: `python -m training.ablate augmentation`, `training` or `backbones`.

Every arm has the epochs of `params.yaml` and is judged on the validation split. A run is a trial of a search whose
values are an arm's name and a seed: what is done is kept, the same command goes on after a stop, and several at once
share the runs. Writes `table.csv`, `table.md`, `plot.png` to `artifacts/ablations/<name>`: docs/ABLATIONS.md.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import optuna
import yaml
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from dataset.manifest import Manifest, ManifestError
from evaluation.predictions import PREDICTIONS_FILE, Predictions
from evaluation.statistics.metrics import confusion_matrix, metrics_of_confusion
from project.command import UsageError, command
from project.params import ParamsError, add_params_option
from training.params import Params
from training.process.child_run import CHILD_LOG, DEATH_SIGNAL, read_log, start_child, stop_child
from training.sweeps.ablation_table import Row, write_tables
from training.sweeps.ablations import ABLATIONS, Arm, Document
from training.sweeps.search_space import PrunerParams, SamplerParams, TrialParams, check_trial
from training.sweeps.search_worker import Recipe, work
from training.sweeps.study import IDENTITY, REASON, SearchError, SearchStudy, open_study, trial_dir

EXPLAINED = 2  # exit status of a run that has said what is wrong
QUEUED_ONLY = TrialParams(trials=0, sampler=SamplerParams(name="random"), pruner=PrunerParams(name="none"))
ANY_SEED = IntDistribution(0, 2**31 - 1)


class AblationError(RuntimeError):
    """A run that broke; its log is named."""


KNOWN_ERRORS = (AblationError, ManifestError, ParamsError, SearchError)


@dataclass(frozen=True)
class Ablation:
    """What one call compares and where it keeps the runs."""

    arms: tuple[Arm, ...]
    document: Document
    manifest_path: Path
    out_dir: Path
    num_seeds: int
    shows_test: bool = False

    def run(self) -> Iterator[list[Row]]:
        """Train what is not yet trained; yield a row for each arm, in order, after every seed.

        An arm that cannot be trained with one seed is not tried with another.
        """
        for arm in self.arms:
            check_trial(self._params_text(arm.name, 0), f"the arm '{arm.name}' changes params.yaml")
        names = [arm.name for arm in self.arms]
        space: dict[str, BaseDistribution] = {"arm": CategoricalDistribution(names), "seed": ANY_SEED}
        shared = open_study(self.out_dir, QUEUED_ONLY, space, json.dumps(names))
        rows = [Row(name) for name in names]
        for seed in range(self.num_seeds):
            wanted = [row.name for row in rows if not row.reason]
            shared.queue(({"arm": name, "seed": seed}, self._identity(name, seed)) for name in wanted)
            work(shared, Recipe(self.manifest_path, self._recipe, _name, self._look))
            rows = [self._row(shared, name, seed + 1) for name in names]
            yield rows

    @cached_property
    def _data_sha256(self) -> str:
        return Manifest.read(self.manifest_path).sha256

    def _params_text(self, name: str, seed: int) -> str:
        (arm,) = (arm for arm in self.arms if arm.name == name)
        return yaml.safe_dump(arm.params(self.document, seed), sort_keys=False)

    def _identity(self, name: str, seed: int) -> str:
        """Return what names all that a run's figures depend on."""
        facts = [name, yaml.safe_load(self._params_text(name, seed)), self._data_sha256]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def _recipe(self, trial: Trial) -> str | None:
        run = trial.params["arm"], trial.params["seed"]
        return self._params_text(*run) if trial.user_attrs[IDENTITY] == self._identity(*run) else None

    def _look(self, trial: Trial, _failure: str, status: int) -> None:
        """Raise AblationError if training broke; what it only refused is said in the arm's row."""
        if status not in (0, EXPLAINED):
            log = trial_dir(self.out_dir, trial.number) / CHILD_LOG
            raise AblationError(f"{_name(trial)} ended with status {status}: see {log}")

    def _row(self, shared: SearchStudy, name: str, num_seeds: int) -> Row:
        """Sum up an arm's runs with the first seeds; of several with one seed the last counts."""
        row = Row(name)
        trials = {trial.user_attrs[IDENTITY]: trial for trial in shared.study.get_trials(deepcopy=False)}
        for seed in range(num_seeds):
            trial = trials.get(self._identity(name, seed))
            if trial is not None and trial.state == TrialState.COMPLETE:
                row.add(self._figures(shared, trial))
            elif trial is not None and trial.state == TrialState.FAIL:
                row.reason = trial.user_attrs[REASON].removeprefix("training: ")
        return row

    def _figures(self, shared: SearchStudy, trial: FrozenTrial) -> dict[str, float]:
        """Return the figures of the epoch that the checkpoint keeps: the best macro-F1, then the lowest loss."""
        folder = shared.trial_dir(trial.number)
        best = max(read_log(folder), key=lambda record: (record["val_macro_f1"], -record["val_loss"]))
        figures = {name: float(best[name]) for name in ("val_macro_f1", "val_accuracy", "val_balanced_accuracy")}
        return figures | (self._test(folder) if self.shows_test else {}) | {"seconds": shared.seconds(trial)}

    def _test(self, folder: Path) -> dict[str, float]:
        """Predict the test split with the run's checkpoint, in a process of its own, unless that is done."""
        from training.fit import CHECKPOINT_FILE  # imports PyTorch: seconds that no other call needs

        files = ["--manifest", str(self.manifest_path), "--checkpoint", str(folder / CHECKPOINT_FILE)]
        out = folder / PREDICTIONS_FILE
        if not out.is_file():
            child = start_child(DEATH_SIGNAL, ["training.predict", *files, "--out", str(out)], folder / "predict.log")
            try:
                status = child.wait()
            finally:
                stop_child(child)
            if status:
                raise AblationError(f"training.predict ended with status {status}: see {folder / 'predict.log'}")
        test = Predictions.read(out).select("test")
        figures = metrics_of_confusion(confusion_matrix(test.labels, test.predicted, len(test.classes))).headline()
        return {f"test_{name}": figures[name] for name in ("macro_f1", "accuracy")}


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=ABLATIONS)
    add_params_option(parser)
    parser.add_argument("--manifest", type=Path, default=Path("data/manifest.csv"))
    parser.add_argument("--out", type=Path, default=Path("artifacts/ablations"))
    parser.add_argument("--seeds", type=int, default=3, help="runs of each arm")
    parser.add_argument("--test", action="store_true", help="show the test split too, once, when all is decided")


@command(_arguments, known=KNOWN_ERRORS)
def main(arguments: argparse.Namespace) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if arguments.seeds < 1:
        raise UsageError(f"--seeds must be at least 1, got {arguments.seeds}")
    Params.read(arguments.params)
    document = yaml.safe_load(arguments.params.read_text(encoding="utf-8"))
    out_dir = arguments.out / arguments.name
    arms = ABLATIONS[arguments.name]
    markdown = ""
    for rows in Ablation(arms, document, arguments.manifest, out_dir, arguments.seeds, arguments.test).run():
        markdown = write_tables(arguments.name, rows, out_dir)  # after every seed, for whoever stops it
    sys.stdout.write(markdown)


def _name(trial: Trial) -> str:
    return "'{arm}', seed {seed}".format(**trial.params)


if __name__ == "__main__":
    sys.exit(main())
