"""The gate as `params.yaml` sets it, with few resamples."""

from pathlib import Path

from evaluation.params import EvaluateParams
from export.gate import Gate
from export.params import GateParams


def gate(out_dir: Path, accept_worse: str = "") -> Gate:
    return Gate(
        GateParams(max_macro_f1_drop=0.02, max_recall_drop=0.05, max_dice_drop=0.05, max_ap_drop=0.05),
        EvaluateParams.model_validate({"seed": 0, "confidence": 0.95, "bootstrap_samples": 100}),
        out_dir / "comparison",
        accept_worse,
    )
