"""Computed outputs to an HTTP answer: what costs more than a moment is done in threads, never on the event loop."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from pydantic import TypeAdapter
from starlette.responses import Response

from runtime.answers.index_mask import index_mask
from runtime.answers.outputs import Row, stack_rows
from runtime.answers.overlay import overlay
from runtime.answers.results import ANSWERS, Prediction
from runtime.answers.segmentation import Segmentation
from runtime.model.contract import Task
from runtime.model.preprocess import Placement
from runtime.serving.intake.body_forms import JSON
from runtime.serving.intake.images import RunInThreads
from runtime.serving.intake.wanted_answer import PNG, WantedAnswer
from runtime.serving.request_record import RequestRecord
from runtime.serving.served_model import ServedModel

# As BentoML would write it, but once: BentoML validates the predictions again, dumps them to look at their type, and
# dumps them a second time.
_JSON: dict[Task, TypeAdapter[Any]] = {
    "classification": TypeAdapter(list[Prediction]),
    "segmentation": TypeAdapter(list[Segmentation]),
}


async def make_answers(
    rows: Sequence[Row], places: Sequence[Placement], served: ServedModel, record: RequestRecord, run: RunInThreads
) -> Sequence[Prediction | None]:
    """Return what the model says of each image of a request, None where it says nothing (`ANSWERS`).

    A label is there in microseconds. Outlines take milliseconds, and are made by `run`, an image a thread.
    """
    make = ANSWERS[served.contract.task]
    if served.contract.task == "classification":
        return make(stack_rows(rows), places, served.contract, served.identity)
    calls = [
        partial(make, stack_rows([row]), [place], served.contract, served.identity)
        for row, place in zip(rows, places, strict=True)
    ]
    with record.encoding():
        return [answer for [answer] in await run(calls)]


async def write_answer(
    predictions: Sequence[Prediction],
    wanted: WantedAnswer,
    encoded: Sequence[bytes],
    served: ServedModel,
    record: RequestRecord,
    run: RunInThreads,
) -> Response:
    """Write a request's answers, in order, in the form that it wants.

    encoded: the files of its images, if the answer is drawn on them.
    """
    if wanted.form == "json":
        return Response(_JSON[served.contract.task].dump_json(predictions), media_type=JSON)
    [answer] = predictions
    assert isinstance(answer, Segmentation)  # nothing else is answered with pictures
    draw = partial(index_mask, answer)
    if wanted.form == "overlay":
        draw = partial(overlay, encoded[0], answer, "PNG", served.settings.max_pixels, served.contract.max_value)
    with record.encoding():
        [picture] = await run([draw])
    return Response(picture, media_type=PNG)
