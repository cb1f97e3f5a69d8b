"""Computed outputs to an HTTP answer: what costs more than a moment is done in threads, never on the event loop."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from pydantic import TypeAdapter
from starlette.responses import Response

from runtime.answers.index_mask import index_mask
from runtime.answers.outputs import Row, stack_rows
from runtime.answers.overlay import overlay
from runtime.answers.results import Prediction, to_predictions
from runtime.answers.segmentation import Segmentation
from runtime.answers.tiled import to_tiled_segmentation
from runtime.image_filters.looking import Area
from runtime.model.contract import SegmentationContract, Task
from runtime.model.preprocess import Placement
from runtime.model.tiles import PixelBox
from runtime.serving.intake.body_forms import JSON
from runtime.serving.intake.images import ReadImages, RunInThreads
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
    rows: Sequence[Row], images: ReadImages, served: ServedModel, record: RequestRecord, run: RunInThreads
) -> Sequence[Prediction | None]:
    """Return what the model says of each image of a request, None where it says nothing.

    rows: what was computed of `images.pixels`. A label is there in microseconds. Outlines take milliseconds, and are
    made by `run`, an image a thread.
    """
    if not isinstance(served.contract, SegmentationContract):
        return to_predictions(stack_rows(rows), served.contract, served.identity)
    of_images, start = [], 0
    for places in images.places:
        of_images.append((rows[start : start + len(places)], places))
        start += len(places)
    outline = partial(_outline, served.contract, served, images.parts.roi)
    with record.encoding():
        return await run([partial(outline, own, places) for own, places in of_images])


def _outline(
    contract: SegmentationContract,
    served: ServedModel,
    roi: PixelBox | None,
    rows: Sequence[Row],
    places: Sequence[Placement],
) -> Segmentation | None:
    return to_tiled_segmentation(stack_rows(rows), places, contract, served.identity, roi)


async def write_answer(
    predictions: Sequence[Prediction],
    wanted: WantedAnswer,
    encoded: Sequence[bytes],
    served: ServedModel,
    record: RequestRecord,
    run: RunInThreads,
    blurred: Sequence[Area] = (),
) -> Response:
    """Write a request's answers, in order, in the form that it wants.

    encoded: the files of its images, if the answer is drawn on them. blurred: what is, of the one image that is drawn.
    """
    if wanted.form == "json":
        return Response(_JSON[served.contract.task].dump_json(predictions), media_type=JSON)
    [answer] = predictions
    assert isinstance(answer, Segmentation)  # nothing else is answered with pictures
    draw = partial(index_mask, answer)
    if wanted.form == "overlay":
        draw = partial(
            overlay, encoded[0], answer, "PNG", served.settings.max_pixels, served.contract.max_value, blurred
        )
    with record.encoding():
        [picture] = await run([draw])
    return Response(picture, media_type=PNG)
