"""What a search has found so far: a table for the terminal, a CSV, and Optuna's own plots."""

import datetime
import io
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import matplotlib
import optuna
import pandas as pd
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.exceptions import ExperimentalWarning
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization.matplotlib import (
    plot_intermediate_values,
    plot_optimization_history,
    plot_param_importances,
)

from project.write_whole import write_whole
from training.sweeps.study import REASON, RETRY_OF, RUN_ID, WORKER

MIN_TRIALS_FOR_IMPORTANCES = 4
_DPI = 120
_ORDER = (TrialState.RUNNING, TrialState.WAITING, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def live_table(study: optuna.Study, max_rows: int = 15) -> str:
    """Return the trials as `squeue` would: who runs what, then the best so far, then what was given up."""
    trials = study.get_trials(deepcopy=False)
    counts = Counter(trial.state for trial in trials)
    head = ", ".join(f"{counts[state]} {state.name.lower()}" for state in _ORDER if counts[state]) or "no trials yet"
    rows = sorted(trials, key=_rank)[:max_rows]
    keys = sorted({key for trial in rows for key in trial.params})
    table = [["TRIAL", "STATE", "TIME", "EPOCH", "LAST", "BEST", "WORKER", *keys], *(_row(t, keys) for t in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    more = [f"... and {len(trials) - len(rows)} more"] if len(trials) > len(rows) else []
    return "\n".join([head, *lines, *more])


def write_summary(study: optuna.Study, metric: str, out_dir: Path) -> None:
    """Write `trials.csv`, `history.png`, `epochs.png` and, from four finished trials on, `importances.png`.

    metric: name of the trials' value on the plots.
    """
    matplotlib.use("agg")  # without a display, and whatever the environment asks for
    trials = study.get_trials(deepcopy=False)
    write_whole(out_dir / "trials.csv", _table(trials).to_csv(index=False))
    write_whole(out_dir / "history.png", _png(lambda: plot_optimization_history(study, target_name=metric)))
    write_whole(out_dir / "epochs.png", _png(lambda: plot_intermediate_values(study)))
    finished = [trial.value for trial in trials if trial.state == TrialState.COMPLETE]
    if len(finished) >= MIN_TRIALS_FOR_IMPORTANCES and len(set(finished)) > 1:
        evaluator = FanovaImportanceEvaluator(seed=0)
        options: dict[str, Any] = {"target": lambda trial: trial.value, "target_name": metric}
        png = _png(lambda: plot_param_importances(study, evaluator=evaluator, **options))
        write_whole(out_dir / "importances.png", png)


def _rank(trial: FrozenTrial) -> tuple[int, float, int]:
    return _ORDER.index(trial.state), -_best(trial) if trial.intermediate_values else 0.0, trial.number


def _best(trial: FrozenTrial) -> float:
    return max(trial.intermediate_values.values())


def _seconds(trial: FrozenTrial) -> float | None:
    if trial.datetime_start is None:
        return None
    end = trial.datetime_complete or datetime.datetime.now()
    return (end - trial.datetime_start).total_seconds()


def _row(trial: FrozenTrial, keys: list[str]) -> list[str]:
    seconds = _seconds(trial)
    steps = trial.intermediate_values
    figures = [str(max(steps)), f"{steps[max(steps)]:.4f}", f"{_best(trial):.4f}"] if steps else ["-", "-", "-"]
    return [
        str(trial.number),
        trial.state.name,
        "-" if seconds is None else f"{int(seconds // 60)}:{int(seconds % 60):02d}",
        *figures,
        trial.user_attrs.get(WORKER, "-"),
        *(_shown(trial.params.get(key, "-")) for key in keys),
    ]


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(trials: list[FrozenTrial]) -> pd.DataFrame:
    """Return a row for each trial; what it does not have is empty."""
    keys = sorted({key for trial in trials for key in trial.params})
    rows: list[dict[str, Any]] = []
    for trial in trials:
        seconds = _seconds(trial)
        rows.append(
            {
                "trial": trial.number,
                "state": trial.state.name.lower(),
                "value": _best(trial) if trial.intermediate_values else "",
                "epochs": len(trial.intermediate_values),
                "seconds": "" if seconds is None else round(seconds, 1),
                **{key: trial.user_attrs.get(key, "") for key in (RETRY_OF, REASON, RUN_ID)},
                **{key: trial.params.get(key, "") for key in keys},
            }
        )
    return pd.DataFrame(rows, dtype=object)


def _png(plot: Callable[[], Axes]) -> bytes:
    """Draw one of Optuna's plots, which go through pyplot and set its style, and leave pyplot as it was."""
    with pyplot.style.context("default"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        figure = cast(Figure, plot().figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight")
        pyplot.close(figure)
    return buffer.getvalue()
