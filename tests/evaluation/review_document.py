"""A review with made-up numbers: what card and report make of one is tested without a model."""

from pathlib import Path

from PIL import Image

from dataset.manifest import Manifest
from evaluation.analyses.attention import Attention, MaskAgreement, OcclusionMap
from evaluation.analyses.robustness import Robustness, RobustnessCurve, RobustnessPoint
from evaluation.document import Estimate, Figure
from evaluation.model_review import ModelReview
from runtime.model.hashing import file_sha256


def point(level: float, accuracy: float) -> RobustnessPoint:
    estimate = Estimate(value=accuracy, low=accuracy - 0.1, high=min(1, accuracy + 0.1))
    return RobustnessPoint(level=level, accuracy=estimate, macro_f1=estimate)


def write_review(review_dir: Path, onnx_path: Path, manifest: Manifest, **changes: object) -> None:
    review_dir.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), (200, 0, 0)).save(review_dir / "map.png")
    row = manifest.select("test").table.iloc[0]
    curve = RobustnessCurve(
        change="blur", unit="radius, px", unchanged_level=0, points=(point(0, 0.9), point(1, 0.7), point(4, 0.3))
    )
    seen = OcclusionMap(
        path=row["path"], sha256=row["sha256"], label=row["label"], predicted=row["label"], probability=0.8,
        is_error=False, picture="map.png", share_in_mask=0.6, mask_share=0.2,
    )  # fmt: skip
    agreement = MaskAgreement(
        num_images=8, num_groups=4, share_in_mask=Estimate(value=0.6, low=0.5, high=0.7),
        chance=Estimate(value=0.2, low=0.1, high=0.3), ratio=Figure(value=3, low=2, high=4),
    )  # fmt: skip
    review = ModelReview(
        onnx_sha256=file_sha256(onnx_path),
        data_sha256=manifest.sha256,
        robustness=Robustness(num_images=20, num_groups=4, seed=0, unchanged=point(0, 0.9), curves=(curve,)),
        attention=Attention(patch_px=8, stride_px=4, maps=(seen,), mask_agreement=agreement),
    )
    review.model_copy(update=changes).write(review_dir / "review.json")
