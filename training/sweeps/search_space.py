"""`search.yaml`: which keys of `params.yaml` a search may change, how it chooses and when it gives a trial up."""

import tempfile
from pathlib import Path
from typing import Annotated, Literal, Self

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import Field, model_validator

from project.params import ParamsError, Section, read_whole
from runtime.model.roles import Role
from training.params import Params
from training.sweeps.yaml_edit import Value, edit_yaml
from training.task_params import OWN_SECTIONS

SEARCH_FILE = Path("search.yaml")


class FloatRange(Section):
    """Any number from `low` to `high`; `log` draws its exponent evenly."""

    type: Literal["float"]
    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.distribution()  # Optuna refuses what is no range
        return self

    def distribution(self) -> BaseDistribution:
        return FloatDistribution(self.low, self.high, log=self.log)

    def corners(self) -> tuple[Value, ...]:
        return self.low, self.high


class IntRange(Section):
    """A whole number from `low` to `high`, both included, in steps of `step`."""

    type: Literal["int"]
    low: int
    high: int
    step: Annotated[int, Field(ge=1)] = 1
    log: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.high - self.low) % self.step:
            raise ValueError(f"high ({self.high}) is not a whole number of steps of {self.step} above low ({self.low})")
        self.distribution()  # Optuna refuses what is no range
        return self

    def distribution(self) -> BaseDistribution:
        return IntDistribution(self.low, self.high, log=self.log, step=self.step)

    def corners(self) -> tuple[Value, ...]:
        return self.low, self.high


class Choices(Section):
    """One of several values."""

    type: Literal["categorical"]
    choices: Annotated[tuple[Value, ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        for choice in self.choices:
            if isinstance(choice, str) and _is_number(choice):
                raise ValueError(f"YAML reads {choice} as a text: write it with a dot, such as 1.0e-4")
        return self

    def distribution(self) -> BaseDistribution:
        return CategoricalDistribution(self.choices)

    def corners(self) -> tuple[Value, ...]:
        return self.choices


class SamplerParams(Section):
    """`sampler:` how values are chosen. The first `startup_trials` of TPE are random."""

    name: Literal["tpe", "random"]
    seed: Annotated[int, Field(ge=0)] = 0
    startup_trials: Annotated[int, Field(ge=1)] = 10


class PrunerParams(Section):
    """`pruner:` when a trial is given up early: below the median of the others, or by successive halving."""

    name: Literal["median", "halving", "none"]
    startup_trials: Annotated[int, Field(ge=0)] = 5
    warm_up_epochs: Annotated[int, Field(ge=0)] = 0


Domain = Annotated[FloatRange | IntRange | Choices, Field(discriminator="type")]


class TrialParams(Section):
    """How many trials are drawn and how, and when one is given up or tried again."""

    metric: str = "val_macro_f1"  # logged by epoch; the best epoch counts, and more is better
    trials: Annotated[int, Field(ge=0)]  # drawn by all workers together; a retried trial counts once
    max_retries: Annotated[int, Field(ge=0)] = 3  # of a trial whose worker was killed
    sampler: SamplerParams
    pruner: PrunerParams


class SearchConfig(TrialParams):
    """The whole of `search.yaml`."""

    trials: Annotated[int, Field(ge=1)]
    space: Annotated[dict[str, Domain], Field(min_length=1)]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file. Raises ParamsError naming what is wrong."""
        return read_whole(path, cls)

    def distributions(self) -> dict[str, BaseDistribution]:
        return {key: domain.distribution() for key, domain in self.space.items()}

    def check(self, params_text: str, task: Role = "classification") -> None:
        """Try the ends of every range and every choice on the params file, one key at a time.

        Raises ParamsError if a key is not in it, its reader refuses a value, or the task does not read it: before a
        trial is spent on it.
        """
        if not self.metric.startswith("val_"):
            raise ParamsError(f"metric is {self.metric}: a search may only look at the validation split (val_...)")
        for key, domain in self.space.items():
            tried = [
                check_trial(edit_yaml(params_text, {key: value}), f"the search space of '{key}' holds {value!r}", task)
                for value in domain.corners()
            ]
            if len({*domain.corners()}) > 1 and all(params == tried[0] for params in tried):
                own = OWN_SECTIONS[task][0] if task in OWN_SECTIONS else ""
                raise ParamsError(
                    f"the search space has '{key}', which {task} does not read: it would change nothing"
                    + (f". Keys of {own}.{key.split('.')[0]} replace others" if own else "")
                )


def check_trial(params_text: str, what: str, task: Role = "classification") -> Params:
    """Read a trial's params file as training would, to refuse it before the first trial.

    what: the clause that a ParamsError begins with, such as "the search space of 'train.lr' holds 0".
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        path.write_text(params_text, encoding="utf-8")
        try:
            return Params.read(path, task)
        except ParamsError as exc:
            raise ParamsError(f"{what}, but {str(exc).removeprefix(f'{path}: ')}") from exc


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
