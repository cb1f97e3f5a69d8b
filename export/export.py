"""Export a checkpoint to ONNX and prove parity: `python -m export.export`.

Writes `model.onnx`, `contract.json` and `parity.json` to `--out`. Failing parity is an error and removes `model.onnx`.
"""

import argparse
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from dataset.manifest import Manifest, ManifestError
from dataset.outputs.tasks import ARTIFACTS, add_task_option, manifest_of
from evaluation.statistics.parity import (
    PARITY_FILE,
    Compute,
    ImageBatch,
    Parity,
    ParityError,
    measure_parity,
)
from export.graph import ServedDetector, ServedModel, ServedSegmenter, served_model, write_onnx
from export.params import ExportParams
from project.command import UsageError, command
from project.params import ParamsError, add_params_option, read_section
from project.write_whole import write_whole
from runtime.model.contract import (
    BOXES,
    CONTRACT_FILE,
    FOREGROUND,
    OBJECTS,
    ONNX_FILE,
    PROBABILITIES,
    REGION_MAP,
    SCORES,
    Outputs,
    SegmentationContract,
)
from runtime.model.roles import role_of
from runtime.model.session import Predictor
from runtime.model.stated_filters import Filters
from training.data.tensors import PictureDataset
from training.network.backbones import BackboneError
from training.network.centre_points import candidates
from training.network.classifier import load_classifier
from training.network.pyramid import PyramidNetwork, region_outputs
from training.params import ContractParams
from training.process.memory import keep_freed_memory
from training.run.checkpoint import Checkpoint, CheckpointError

KNOWN_ERRORS = (BackboneError, CheckpointError, ManifestError, ParamsError, ParityError)

logger = logging.getLogger(__name__)


def export_checkpoint(
    checkpoint: Checkpoint, manifest: Manifest, params: ExportParams, filters: Filters, out_dir: Path
) -> Parity:
    """Write the ONNX file and its contract, and prove parity over the validation pictures.

    filters: of the contract; set here and not in training, so that other filters need no other training.
    Raises ParityError, after which the ONNX file is gone but `parity.json` tells what was measured.
    """
    onnx_path = out_dir / ONNX_FILE
    contract = checkpoint.contract.model_copy(update={"filters": filters})
    logger.info("exporting %s to ONNX", contract.lineage.backbone)
    model = served_model(load_classifier(contract, checkpoint.state_dict), contract)
    write_onnx(model, contract, onnx_path, params.opset)
    write_whole(out_dir / CONTRACT_FILE, contract.to_json())
    parity = measure_parity(
        _Images(PictureDataset(manifest.select("val"), contract)),
        expected=_by_network(model),
        exported=Predictor.load(out_dir).predict,
        batch_sizes=params.batch_sizes,
        limit=params.max_probability_difference,
        split="val",
        threshold=contract.threshold if isinstance(contract, SegmentationContract) else None,
    )
    write_whole(out_dir / PARITY_FILE, parity.to_json())
    try:
        parity.check()
    except ParityError:
        onnx_path.unlink()
        raise
    return parity


@dataclass(frozen=True)
class _Images:
    """The pictures as the model takes them, read when they are asked for."""

    dataset: PictureDataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> ImageBatch:
        return self.dataset[index].image


def _by_network(model: ServedModel) -> Compute:
    """Return what computes a graph's outputs by the trained network itself, which knows nothing of serving."""
    classifier = model.classifier

    @torch.inference_mode()
    def compute(images: ImageBatch) -> Outputs:
        pixels, outputs = torch.from_numpy(images), {}
        if isinstance(model, ServedSegmenter):
            network = cast(PyramidNetwork, classifier.backbone)
            scores = network.cell_outputs(classifier.normalise(pixels))
            size_px = cast("tuple[int, int]", images.shape[1:3])
            outputs[REGION_MAP], outputs[FOREGROUND] = region_outputs(scores, size_px)
            logits = network.class_logits(scores)
        elif isinstance(model, ServedDetector):
            centres = cast(PyramidNetwork, classifier.backbone)
            cells = centres.cell_outputs(classifier.normalise(pixels))
            found = candidates(cells, model.max_boxes, cast("tuple[int, int]", images.shape[1:3]))
            outputs |= dict(zip((BOXES, SCORES, OBJECTS), found, strict=True))
            logits = centres.class_logits(cells)
        else:
            logits = classifier(pixels)
        outputs[PROBABILITIES] = (logits / model.temperature).softmax(dim=1)
        return {name: output.numpy() for name, output in outputs.items()}

    return compute


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_task_option(parser)
    parser.add_argument("--checkpoint", type=Path, help="artifacts/training/checkpoint.pt, or that of the task")
    parser.add_argument("--manifest", type=Path, help="data/manifest.csv, or that of the task")
    add_params_option(parser)
    parser.add_argument("--out", type=Path, help="artifacts/export, or that of the task")


@command(_arguments, known=KNOWN_ERRORS)
def main(arguments: argparse.Namespace) -> None:
    keep_freed_memory()
    artifacts = ARTIFACTS[arguments.task]
    checkpoint_path: Path = arguments.checkpoint or artifacts / "training" / "checkpoint.pt"
    params = read_section(arguments.params, "export", ExportParams)
    filters = read_section(arguments.params, "contract", ContractParams).filters
    manifest = Manifest.read(arguments.manifest or manifest_of(arguments.task))
    checkpoint = Checkpoint.load(checkpoint_path)
    if (role := role_of(checkpoint.contract)) != arguments.task:
        raise UsageError(f"{checkpoint_path} is of {role}: say --task {role}")
    parity = export_checkpoint(checkpoint, manifest, params, filters, arguments.out or artifacts / "export")
    logger.info(
        "parity over %d val pictures at batches %s: largest difference of a probability %.2e, same class in all%s%s",
        parity.num_images, list(parity.batch_sizes), parity.max_probability_difference, _pixels_in_words(parity),
        _boxes_in_words(parity),
    )  # fmt: skip


def _pixels_in_words(parity: Parity) -> str:
    if parity.map_agreement is None:
        return ""
    return (
        f", of a pixel's probability {parity.max_foreground_difference:.2e}, same region in "
        f"{parity.map_agreement:.4%} of the pixels"
    )


def _boxes_in_words(parity: Parity) -> str:
    if parity.box_agreement is None:
        return ""
    return (
        f", same box in {parity.box_agreement:.3%} of {parity.num_boxes} candidates, of which a side differs by up to "
        f"{parity.max_box_difference:.1e} pixels and a score by {parity.max_score_difference:.1e}"
    )


if __name__ == "__main__":
    sys.exit(main())
