"""Raw output to answers, by the contract's task: the last step of the one way an image takes."""

from collections.abc import Callable, Iterable, Sequence

from runtime.answers.classification import ModelIdentity, Prediction, to_predictions
from runtime.answers.detection import to_detections
from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.answers.segmentation import to_segmentations
from runtime.model.contract import DetectionContract, ModelContract, Outputs, SegmentationContract
from runtime.model.preprocess import Placement

__all__ = ["ANSWERS", "NOT_FINITE", "ModelIdentity", "Prediction", "only_predictions", "to_predictions"]

NOT_FINITE = "the model's output for this picture is not finite (NaN or infinity)"
Answers = Sequence[Prediction | None]


def _classification(
    outputs: Outputs, _places: Sequence[Placement], contract: ModelContract, model: ModelIdentity
) -> Answers:
    return to_predictions(outputs, contract, model)


def _segmentation(
    outputs: Outputs, places: Sequence[Placement], contract: ModelContract, model: ModelIdentity
) -> Answers:
    assert isinstance(contract, SegmentationContract)
    return to_segmentations(outputs, places, contract, model)


def _detection(outputs: Outputs, places: Sequence[Placement], contract: ModelContract, model: ModelIdentity) -> Answers:
    assert isinstance(contract, DetectionContract)
    return to_detections(outputs, places, contract, model)


# By the contract's task: what makes answers of a request's outputs, given where each picture lies in its input.
ANSWERS: dict[str, Callable[[Outputs, Sequence[Placement], ModelContract, ModelIdentity], Answers]] = {
    "classification": _classification,
    "segmentation": _segmentation,
    "detection": _detection,
}


def only_predictions(answers: Iterable[Prediction | None]) -> list[Prediction]:
    """Return a request's answers if each is a prediction. Raises RequestRefused for the first that is none."""
    predictions = []
    for index, answer in enumerate(answers):
        if answer is None:
            message = f"{NOT_FINITE}; to send it again does not help"
            raise RequestRefused(RequestErrorCode.MODEL_OUTPUT_INVALID, message, index)
        predictions.append(answer)
    return predictions
