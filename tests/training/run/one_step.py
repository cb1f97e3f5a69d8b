"""Run by torchrun in test_distributed.py: one gradient and one evaluation with all processes, written by each."""

import json
import sys
from pathlib import Path

import timm
import torch
from torch.nn.parallel import DistributedDataParallel

from dataset.manifest import Manifest
from evaluation.statistics.metrics import confusion_matrix, metrics_of_confusion
from runtime.model.contract import ClassificationContract
from training.data.tensors import PictureDataset, training_batches
from training.network.classifier import Classifier
from training.network.losses import cross_entropy
from training.process.distributed import Worker, worker
from training.run.loop import run_model


def _gradient(model: Classifier, dataset: PictureDataset, this: Worker) -> list[float]:
    """The head's gradient of the first training batch of 12, averaged over processes as training does."""
    model.train()
    network = model if this.world_size == 1 else DistributedDataParallel(model, broadcast_buffers=False)
    batch = next(training_batches(dataset, 1, 12, this.rank, this.world_size, seed=0))
    weights = torch.linspace(0.5, 2.0, 6)
    cross_entropy(network(batch.images), batch.targets, weights, 0.1).backward()  # type: ignore[no-untyped-call]
    gradient = model.head_parameters()[0].grad
    assert gradient is not None
    return gradient.flatten().tolist()


def main(manifest_path: str, out_dir: str) -> None:
    # 29 pictures: neither 2 nor 3 divides them, so padding or dropping would show.
    manifest = Manifest.read(Path(manifest_path))
    rows = manifest.select("val").table.head(29)
    contract = ClassificationContract(
        classes=manifest.classes, height=64, width=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    )
    dataset = PictureDataset(Manifest(rows, manifest.root), contract)
    with worker() as this:
        torch.manual_seed(0)
        backbone = timm.create_model("resnet18", num_classes=len(contract.classes))
        model = Classifier(backbone, contract.mean, contract.std)
        outputs = run_model(model, dataset, 4, this, "test")
        confusion = confusion_matrix(dataset.labels, outputs.logits.argmax(axis=1), len(contract.classes))
        result = {
            "confusion": confusion.tolist(),
            "metrics": metrics_of_confusion(confusion).headline(),
            "losses": outputs.losses.tolist(),
            "gradient": _gradient(model, dataset, this),
        }
        (Path(out_dir) / f"rank{this.rank}.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
