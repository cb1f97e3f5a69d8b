"""What a search has found so far: a table for the terminal, a CSV, and plots."""

import csv
import datetime
import io
import os
from collections import Counter
from pathlib import Path

import optuna
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from training.sweeps.study import REASON, RETRY_OF, WORKER

MIN_TRIALS_FOR_IMPORTANCES = 4
_DPI = 120
_INK, _FAINT, _LINE = "#1f2933", "#9aa5b1", "#2b6cb0"
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


def write_summary(study: optuna.Study, out_dir: Path) -> None:
    """Write `trials.csv`, `history.png`, `epochs.png` and, from four finished trials on, `importances.png`."""
    trials = study.get_trials(deepcopy=False)
    _replace(out_dir / "trials.csv", _csv(trials).encode())
    finished = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    _replace(out_dir / "history.png", _draw_history(trials))
    _replace(out_dir / "epochs.png", _draw_epochs(trials))
    if len(finished) >= MIN_TRIALS_FOR_IMPORTANCES and len({trial.value for trial in finished}) > 1:
        evaluator = FanovaImportanceEvaluator(seed=0)
        _replace(out_dir / "importances.png", _draw_importances(get_param_importances(study, evaluator=evaluator)))


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


def _csv(trials: list[FrozenTrial]) -> str:
    keys = sorted({key for trial in trials for key in trial.params})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", "value", "epochs", "seconds", "retry_of", "reason", "mlflow_run_id", *keys])
    for trial in trials:
        seconds = _seconds(trial)
        writer.writerow(
            [
                trial.number,
                trial.state.name.lower(),
                _best(trial) if trial.intermediate_values else "",
                len(trial.intermediate_values),
                "" if seconds is None else round(seconds, 1),
                trial.user_attrs.get(RETRY_OF, ""),
                trial.user_attrs.get(REASON, ""),
                trial.user_attrs.get("mlflow_run_id", ""),
                *(trial.params.get(key, "") for key in keys),
            ]
        )
    return text.getvalue()


def _draw_history(trials: list[FrozenTrial]) -> bytes:
    """Draw each trial's best epoch and the best so far; what was given up is hollow."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for state, colour, face in ((TrialState.COMPLETE, _LINE, _LINE), (TrialState.PRUNED, _FAINT, "none")):
        shown = [trial for trial in trials if trial.state == state and trial.intermediate_values]
        label = "finished" if state == TrialState.COMPLETE else "given up"
        if shown:
            axes.plot([t.number for t in shown], [_best(t) for t in shown], "o", label=label, color=colour, mfc=face)
    finished = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    best_so_far = [max(_best(t) for t in finished[: i + 1]) for i in range(len(finished))]
    axes.step([t.number for t in finished], best_so_far, where="post", color=_INK, linewidth=1, label="best so far")
    _label(axes, "trial", "best epoch's value")
    axes.legend(frameon=False)
    return _png(figure)


def _draw_epochs(trials: list[FrozenTrial]) -> bytes:
    """Draw each trial's value by epoch: what pruning saw."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    best = max((t for t in trials if t.state == TrialState.COMPLETE), key=_best, default=None)
    for trial in trials:
        if trial.intermediate_values:
            is_best = trial is best
            is_whole = trial.state == TrialState.COMPLETE
            axes.plot(
                list(trial.intermediate_values),
                list(trial.intermediate_values.values()),
                color=_LINE if is_best else _FAINT,
                linewidth=2 if is_best else 1,
                linestyle="-" if is_whole else ":",
                marker="" if is_whole else "x",
                markevery=[-1],
                zorder=3 if is_best else 2,
            )
    if best is not None:
        axes.set_title(f"best: trial {best.number}; dotted trials were given up", fontsize=10, loc="left")
    _label(axes, "epoch", "value on the validation split")
    return _png(figure)


def _draw_importances(importances: dict[str, float]) -> bytes:
    """Draw each key's share of the variance of the finished trials' values (fANOVA), the largest on top."""
    ordered = sorted(importances.items(), key=lambda item: item[1])
    figure = Figure(figsize=(7, 1.2 + 0.35 * len(ordered)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh([key for key, _ in ordered], [share for _, share in ordered], color=_LINE)
    for position, (_, share) in enumerate(ordered):
        axes.text(share, position, f" {share:.2f}", va="center", color=_INK, fontsize=9)
    axes.set_xlim(0, 1.12 * max(share for _, share in ordered) or 1)
    _label(axes, "share of the finished trials' variance (fANOVA)", "")
    return _png(figure)


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    if x in ("trial", "epoch"):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def _replace(path: Path, content: bytes) -> None:
    """Write at once: several workers may end together."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)
