"""What evaluation measures is what the service answers: the same parts, regions, sizes and scores."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from evaluation.outlines.parts import label_parts, match_parts, without_small
from runtime.answers.classification import ModelIdentity
from runtime.answers.segmentation import to_segmentations
from runtime.model.preprocess import placement
from tests.onnx_segmenter import segmentation_contract

SIZE = 48, 64


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("threshold", "min_region_px"), [(0.5, 1), (0.6, 12)])
def test_parts_are_those_that_the_service_answers(seed: int, threshold: float, min_region_px: int) -> None:
    rng = np.random.default_rng(seed)
    smooth = [gaussian_filter(rng.normal(size=SIZE), 2) for _ in range(2)]
    foreground = np.clip(0.5 + 2 * smooth[0], 0, 1).astype(np.float32)
    region_map = np.where(smooth[1] > 0, 2, 1).astype(np.uint8)
    contract = segmentation_contract(*SIZE, threshold=threshold, min_region_px=min_region_px)
    outputs = {
        "probabilities": np.array([[0.2, 0.5, 0.3]], np.float32), "logits": np.zeros((1, 3), np.float32),
        "region_map": region_map[None], "foreground": foreground[None],
    }  # fmt: skip
    place = placement(SIZE[1], SIZE[0], contract)  # a picture of the input's own size: its pixels are the map's
    (answer,) = to_segmentations(outputs, [place], contract, ModelIdentity(name="m", version="1", sha256="0" * 64))
    assert answer is not None
    assert answer.num_regions > 2
    measured = without_small(np.where(foreground >= threshold, region_map, 0).astype(np.uint8), min_region_px)
    found = match_parts(np.zeros(SIZE, np.uint8), measured, foreground)
    areas = label_parts(measured).areas_px
    served = sorted((region.class_id + 1, region.area_px, region.score) for region in answer.regions)
    expected = sorted(zip(found.part_regions.tolist(), areas.tolist(), found.scores.tolist(), strict=True))
    assert [one[:2] for one in served] == [one[:2] for one in expected]
    assert sorted(one[2] for one in served) == pytest.approx(sorted(one[2] for one in expected), abs=1e-5)
