"""Ask a trained network of any task about pictures: a table of its predictions and, of segmentation, maps beside it."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dataset.manifest import SPLIT_COLUMNS, Manifest, Protocol
from evaluation.predicted_maps import remove_maps, write_map
from evaluation.predictions import Predictions
from project.write_whole import write_whole
from runtime.model.contract import CONTRACT_FILE
from training.data.tensors import Batch, PictureDataset
from training.network.classifier import Classifier, load_classifier
from training.network.pyramid import MaskNetwork, region_outputs
from training.process.distributed import Worker, single_worker
from training.run.checkpoint import Checkpoint
from training.run.loop import FloatArray, over_all, run_model

BATCH_SIZE = 32


def predict(
    manifest: Manifest,
    protocol: Protocol,
    checkpoint: Checkpoint,
    splits: tuple[str, ...] = ("val", "test"),
    maps_dir: Path | None = None,
) -> Predictions:
    """Return the probabilities of all pictures of `splits`, softmax(logits / temperature).

    maps_dir: of segmentation, where each picture's map is written under its row of what is returned, with the contract
    beside them; maps of an earlier call are removed there.
    """
    contract = checkpoint.contract
    column = SPLIT_COLUMNS[protocol]
    rows = manifest.table[manifest.table[column].isin(splits)].reset_index(drop=True)
    rows = rows.assign(split=rows[column])
    this = single_worker()
    model = load_classifier(contract, checkpoint.state_dict).to(this.device)
    dataset = PictureDataset(Manifest(rows, manifest.root), contract)
    if maps_dir is None:
        logits = run_model(model, dataset, BATCH_SIZE, this, "predict").logits
    else:
        (maps_dir / CONTRACT_FILE).unlink(missing_ok=True)  # written last: with it all maps are there
        remove_maps(maps_dir)
        logits = _write_maps(model, dataset, this, maps_dir)
        write_whole(maps_dir / CONTRACT_FILE, contract.to_json())
    probs = torch.from_numpy(logits.astype(np.float64) / contract.temperature).softmax(dim=1).numpy()
    return Predictions.from_table(pd.DataFrame(rows), probs, contract.classes)


def _write_maps(model: Classifier, dataset: PictureDataset, this: Worker, maps_dir: Path) -> FloatArray:
    """Write the map of every picture as it is found; return the logits of the pictures, `(N, classes)`."""
    network = model.backbone
    assert isinstance(network, MaskNetwork)

    def answer(batch: Batch) -> tuple[torch.Tensor, ...]:
        pixels = network.pixel_logits(model.normalise(batch.images.to(this.device)))
        region_maps, foregrounds = region_outputs(pixels, (batch.images.shape[1], batch.images.shape[2]))
        maps = zip(batch.indices.tolist(), region_maps.cpu().numpy(), foregrounds.cpu().numpy(), strict=True)
        for row, region_map, foreground in maps:
            write_map(maps_dir, row, region_map, foreground)
        return (network.class_logits(pixels),)

    model.eval()
    (logits,) = over_all(answer, dataset, BATCH_SIZE, this, "predict")
    return logits
