"""An answer of any task becomes what Label Studio takes for a template: shares in percent, names that it has."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from runtime.answers.classification import ModelIdentity, Prediction
from runtime.answers.detection import DetectedBox, Detection, Detections
from runtime.answers.segmentation import Box, Region, RunLengths, Segmentation
from runtime.label_studio.brush_runs import decode_brush
from runtime.label_studio.results import to_corners, to_percent
from runtime.label_studio.suggestions import suggest, unknown_names
from runtime.label_studio.template import TemplateError, read_template

MODEL = ModelIdentity(name="vision-classifier", version="abc", sha256="f" * 64)
CLASSES = """<View><Image name="image" value="$picture"/><Choices name="class" toName="image">
<Choice value="good"/><Choice value="scratch"/></Choices></View>"""
REGIONS = """<View><Image name="image" value="$image"/>
<RectangleLabels name="box" toName="image"><Label value="scratch"/><Label value="dent"/></RectangleLabels>
<BrushLabels name="brush" toName="image"><Label value="scratch"/></BrushLabels>
<Choices name="nothing" toName="image"><Choice value="nothing to mark"/></Choices></View>"""


def _prediction(label: str = "scratch") -> Prediction:
    probabilities = {"good": 0.25, "scratch": 0.75}
    return Prediction(
        label=label, class_id=1, probability=0.75, probabilities=probabilities, logits=probabilities, model=MODEL
    )


def _mask() -> np.ndarray:
    mask = np.zeros((6, 8), bool)
    mask[1:4, 2:5] = True
    mask[3, 3] = False
    return mask


def _runs() -> RunLengths:
    counts: bytes = coco.encode(np.asfortranarray(_mask().astype(np.uint8)))["counts"]
    return RunLengths(size=(6, 8), counts=counts.decode())


def _detections(*found: Detection) -> Detections:
    return Detections(**dict(_prediction()), width=8, height=6, detections=list(found))


def _detection(name: str = "scratch", mask: RunLengths | None = None) -> Detection:
    box = DetectedBox(x1=1.5, y1=0.0, x2=4.0, y2=3.0)
    return Detection(box=box, score=0.6, class_id=0, class_name=name, mask_rle=mask)


def test_a_class_is_suggested_with_its_probability_and_the_models_version() -> None:
    suggestion = suggest(_prediction(), read_template(CLASSES))
    value = {"choices": ["scratch"]}
    assert suggestion == {
        "result": [{"from_name": "class", "to_name": "image", "type": "choices", "value": value, "score": 0.75}],
        "score": 0.75,
        "model_version": "vision-classifier:abc:ffffffffffff",
    }


def test_a_class_that_the_template_does_not_have_is_left_out() -> None:
    assert suggest(_prediction("dent"), read_template(CLASSES))["result"] == []
    assert unknown_names(("dent", "good"), read_template(CLASSES)) == ["dent"]


def test_boxes_are_in_percent_and_the_least_sure_gives_the_score() -> None:
    template = read_template(REGIONS)
    [result] = suggest(_detections(_detection("dent")), template)["result"]
    assert (result["from_name"], result["original_width"], result["original_height"]) == ("box", 8, 6)
    assert result["value"] == {
        "x": 18.75, "y": 0.0, "width": 31.25, "height": 50.0, "rotation": 0, "rectanglelabels": ["dent"]
    }  # fmt: skip
    sure = _detection().model_copy(update={"score": 0.9})
    assert suggest(_detections(sure, _detection()), template)["score"] == 0.6


def test_masks_of_a_detector_and_of_a_segmenter_are_brushes_pixel_for_pixel() -> None:
    region = Region(
        label="scratch", class_id=0, score=0.7, box=Box(left=2, top=1, right=5, bottom=4), area_px=8, area_share=8 / 48,
        mask=_runs(),
    )  # fmt: skip
    segmentation = Segmentation(**dict(_prediction()), width=8, height=6, regions=[region], num_regions=1)
    for answer in (segmentation, _detections(_detection(mask=_runs()))):
        results = suggest(answer, read_template(REGIONS))["result"]
        assert [result["type"] for result in results] == ["rectanglelabels", "brushlabels"]
        np.testing.assert_array_equal(decode_brush(results[1]["value"]["rle"], 8, 6), _mask())
        assert len({result["id"] for result in results}) == 2


def test_where_nothing_is_found_that_is_suggested_and_not_an_empty_answer() -> None:
    [result] = suggest(_detections(), read_template(REGIONS))["result"]
    assert (result["from_name"], result["value"]) == ("nothing", {"choices": ["nothing to mark"]})
    assert suggest(_prediction(), read_template(REGIONS))["result"] == []


_SIDE = st.integers(1, 9000)


@given(_SIDE, _SIDE, st.tuples(*[st.integers(0, 10**6)] * 4))
def test_a_box_in_pixels_is_the_same_after_percent(width: int, height: int, shares: tuple[int, ...]) -> None:
    left, right = sorted(round(share * width / 1e6, 3) for share in shares[:2])
    top, bottom = sorted(round(share * height / 1e6, 3) for share in shares[2:])
    box = to_percent((left, top, right, bottom), width, height)
    back = to_corners(box["x"], box["y"], box["width"], box["height"], width, height)
    assert back == (left, top, right, bottom)


def test_labels_of_means_that_are_not_known_are_no_others() -> None:
    polygons = '<PolygonLabels name="p" toName="image"><Label value="hole"/></PolygonLabels><Label value="loose"/>'
    template = read_template(REGIONS.replace("<Choices", f"{polygons}<Choices"))
    assert [control.values for control in template.controls] == [
        ("scratch", "dent"), ("scratch",), ("nothing to mark",)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<View>", "no XML"),
        ("<View/>", "shows no picture"),
        ('<View><Image name="i" value="$image"/></View>', "none of <Choices>"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><View/>', "document type"),
        (CLASSES.replace("$picture", "a.png"), "not a key of the task's data"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(text: str, reason: str) -> None:
    with pytest.raises(TemplateError, match=reason):
        read_template(text)
