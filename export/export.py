"""Export a checkpoint to ONNX and prove parity: `python -m export.export`.

Writes `model.onnx`, `contract.json` and `parity.json` to `--out`. Failing parity is an error and removes `model.onnx`.
"""

import argparse
import logging
import sys
from pathlib import Path

import torch

from dataset.manifest import Manifest, ManifestError
from evaluation.statistics.parity import (
    PARITY_FILE,
    FloatArray,
    ImageBatch,
    Parity,
    ParityError,
    Predict,
    measure_parity,
)
from export.graph import ServedModel, write_onnx
from export.params import ExportParams
from project.command import command
from project.params import ParamsError, add_params_option, read_section
from project.write_whole import write_whole
from runtime.model.contract import CONTRACT_FILE, ONNX_FILE, PROBABILITIES, Filters
from runtime.model.session import Predictor
from training.data.tensors import PictureDataset
from training.network.backbones import BackboneError
from training.network.classifier import load_classifier
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
    model = ServedModel(load_classifier(contract, checkpoint.state_dict), contract.temperature).eval()
    write_onnx(model, contract, onnx_path, params.opset)
    write_whole(out_dir / CONTRACT_FILE, contract.to_json())
    dataset = PictureDataset(manifest.select("val"), contract)
    images = [dataset[i].image for i in range(len(dataset))]
    parity = measure_parity(
        images,
        expected=_torch_probabilities(model),
        exported=_onnx_probabilities(out_dir),
        batch_sizes=params.batch_sizes,
        limit=params.max_probability_difference,
        split="val",
    )
    write_whole(out_dir / PARITY_FILE, parity.model_dump_json(indent=2) + "\n")
    try:
        parity.check()
    except ParityError:
        onnx_path.unlink()
        raise
    return parity


def _torch_probabilities(model: ServedModel) -> Predict:
    @torch.inference_mode()
    def predict(images: ImageBatch) -> FloatArray:
        probabilities: FloatArray = model(torch.from_numpy(images))[0].numpy()
        return probabilities

    return predict


def _onnx_probabilities(model_dir: Path) -> Predict:
    predictor = Predictor.load(model_dir)
    return lambda images: predictor.predict(images)[PROBABILITIES]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", type=Path, default=Path("artifacts/training/checkpoint.pt"))
    parser.add_argument("--manifest", type=Path, default=Path("data/manifest.csv"))
    add_params_option(parser)
    parser.add_argument("--out", type=Path, default=Path("artifacts/export"))


@command(_arguments, known=KNOWN_ERRORS)
def main(arguments: argparse.Namespace) -> None:
    keep_freed_memory()
    params = read_section(arguments.params, "export", ExportParams)
    filters = read_section(arguments.params, "contract", ContractParams).filters
    checkpoint, manifest = Checkpoint.load(arguments.checkpoint), Manifest.read(arguments.manifest)
    parity = export_checkpoint(checkpoint, manifest, params, filters, arguments.out)
    logger.info(
        "parity over %d val pictures at batches %s: largest difference of a probability %.2e, same class in all",
        parity.num_images, list(parity.batch_sizes), parity.max_probability_difference,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
