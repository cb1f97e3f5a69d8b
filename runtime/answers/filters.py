"""A short chain between the model and the answer, as the contract's `filters` name it. docs/FILTERS.md.

A hook is code of whoever runs the service. It is imported and its signature checked at start, and what it raises or
returns wrongly concerns the one request whose image it was called with.
"""

import importlib
import inspect
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self, TypeVar, cast

from runtime.answers.classification import Prediction
from runtime.answers.filtered_regions import checked_segmentation
from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.answers.segmentation import Segmentation
from runtime.model.contract import ModelContract, SegmentationContract
from runtime.model.stated_filters import AbstainFilter, HookFilter, ImageFilter

logger = logging.getLogger("vision.filters")

P = TypeVar("P", bound=Prediction)
Step = Callable[[Prediction], Prediction]


class FilterError(ValueError):
    """A filter in the contract that cannot be used; the message says what to change."""


@dataclass(frozen=True)
class FilterChain:
    """The filters of a contract, ready to be called from any thread.

    steps: name and function of each, in order. has_hooks: whether a step is code of the user's own, which may block.
    """

    steps: tuple[tuple[str, Step], ...] = ()
    has_hooks: bool = False

    @classmethod
    def load(cls, contract: ModelContract) -> Self:
        """Import the hooks. Raises FilterError if one is missing, is no function, or does not take its options.

        Filters that look at pixels are none of these: `runtime/image_filters`.
        """
        steps = tuple(
            ("abstain", partial(_abstain, filter_.below))
            if isinstance(filter_, AbstainFilter)
            else (filter_.path, _load_hook(filter_, contract))
            for filter_ in contract.filters
            if not isinstance(filter_, ImageFilter)
        )
        return cls(steps, any(isinstance(filter_, HookFilter) for filter_ in contract.filters))

    def apply(self, predictions: Sequence[P]) -> list[P]:
        """Return what each prediction becomes, in order and of its own type; see `_load_hook`.

        Raises RequestRefused, having logged the cause.
        """
        return [self._apply_to_one(prediction, index) for index, prediction in enumerate(predictions)]

    def _apply_to_one(self, prediction: P, index: int) -> P:
        for name, step in self.steps:
            try:
                prediction = cast(P, step(prediction))
            except (Exception, SystemExit) as exc:  # a hook's `sys.exit` must not end the service
                logger.exception("the filter %s failed", name)
                message = f"the filter {name} failed; the service's log has the cause"
                raise RequestRefused(RequestErrorCode.FILTER_FAILED, message, index) from exc
        return prediction


def _abstain(below: float, prediction: Prediction) -> Prediction:
    return prediction.model_copy(
        update={"abstained": prediction.abstained or prediction.probability < below, "abstain_below": below}
    )


def _load_hook(hook: HookFilter, contract: ModelContract) -> Step:
    function = import_function(hook.path)
    try:
        inspect.signature(function).bind(object(), **hook.options)
    except (TypeError, ValueError) as exc:
        wanted = ", ".join(["prediction", *(f"{name}=" for name in hook.options)])
        raise FilterError(f"the filter {hook.path} cannot be called with ({wanted}): {exc}") from exc

    def call(prediction: Prediction) -> Prediction:
        returned = function(with_its_own_list(prediction), **hook.options)
        return checked_answer(returned, prediction, contract, hook.path)

    return call


def checked_answer(returned: object, before: P, contract: ModelContract, path: str) -> P:
    """Return what a filter returned, if it can be an answer of the type that it was given.

    path: of the filter, for the message. Raises TypeError or ValueError.
    """
    wanted = type(before)  # of a segmentation model it is a Segmentation, whose regions must not be lost
    if not isinstance(returned, wanted):
        raise TypeError(f"{path} must return a {wanted.__name__}, got {type(returned).__name__}")
    try:
        # `model_copy(update=...)`, the natural way to change a frozen value, does not check anything.
        checked = wanted.model_validate(dict(returned))
        if isinstance(checked, Segmentation) and isinstance(contract, SegmentationContract):
            assert isinstance(before, Segmentation)
            return cast(P, checked_segmentation(checked, before, contract.regions))
    except ValueError as exc:  # pydantic's ValidationError is one
        raise ValueError(f"{path} returned a {wanted.__name__} that is none: {exc}") from exc
    return checked


def with_its_own_list(prediction: P) -> P:
    """Return the same, whose list of regions a hook may change without changing what its answer is compared with."""
    if not isinstance(prediction, Segmentation):
        return prediction
    return prediction.model_copy(update={"regions": list(prediction.regions)})


@contextmanager
def _project_on_path() -> Iterator[None]:
    """Find modules beside this package: BentoML's first process takes the Bento's folder off the path after loading."""
    folder = str(Path(__file__).parents[2])
    if folder in sys.path:
        yield
        return
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def import_function(path: str) -> Callable[..., object]:
    """Return the function that a filter's path names. Raises FilterError if there is none."""
    module_name, _, name = path.partition(":")
    try:
        with _project_on_path():
            module = importlib.import_module(module_name)
    except Exception as exc:  # whatever the user's module does on import
        hint = "in a Bento the module must be among the files that bentofile.yaml includes (docs/FILTERS.md)"
        raise FilterError(f"cannot import the filter {path}: {type(exc).__name__}: {exc}; {hint}") from exc
    function = getattr(module, name, None)
    if function is None:
        raise FilterError(f"the filter {path} does not exist: {module.__file__} has no '{name}'")
    if not callable(function) or inspect.iscoroutinefunction(function) or isinstance(function, type):
        raise FilterError(f"the filter {path} must be a plain function, got {type(function).__name__} '{name}'")
    checked: Callable[..., object] = function
    return checked
