"""Ask a trained network of any task about pictures: a table of its predictions, and maps or boxes beside it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dataset.manifest import SPLIT_COLUMNS, Manifest, Protocol
from evaluation.predicted_boxes import BOXES_DIR, PredictedBoxes, boxes_of_outputs, write_boxes
from evaluation.predicted_maps import MAPS_DIR, remove_maps, write_map
from evaluation.predictions import Predictions
from project.write_whole import write_whole
from runtime.model.contract import BOXES, CONTRACT_FILE, OBJECTS, SCORES, DetectionContract, Task
from runtime.model.preprocess import placement
from training.data.tensors import Batch, PictureDataset
from training.network.centre_points import CentreNetwork, candidates
from training.network.classifier import Classifier, load_classifier
from training.network.pyramid import MaskNetwork, region_outputs
from training.process.distributed import Worker, single_worker
from training.run.checkpoint import Checkpoint
from training.run.loop import FloatArray, over_all, run_model

BATCH_SIZE = 32
# Where what is found lies beside a table of predictions, of tasks that find something.
FOUND_DIRS: dict[Task, str] = {"segmentation": MAPS_DIR, "detection": BOXES_DIR}


def predict(
    manifest: Manifest,
    protocol: Protocol,
    checkpoint: Checkpoint,
    splits: tuple[str, ...] = ("val", "test"),
    found_dir: Path | None = None,
) -> Predictions:
    """Return the probabilities of all pictures of `splits`, softmax(logits / temperature).

    found_dir: where what is found in each picture is written under its row of what is returned, with the contract
    beside it: maps of segmentation, boxes of detection, in the place of those of an earlier call. None: nowhere.
    """
    contract = checkpoint.contract
    column = SPLIT_COLUMNS[protocol]
    rows = manifest.table[manifest.table[column].isin(splits)].reset_index(drop=True)
    rows = rows.assign(split=rows[column])
    this = single_worker()
    model = load_classifier(contract, checkpoint.state_dict).to(this.device)
    dataset = PictureDataset(Manifest(rows, manifest.root), contract)
    if found_dir is None:
        logits = run_model(model, dataset, BATCH_SIZE, this, "predict").logits
    elif contract.task == "detection":
        logits, boxes = _find_boxes(model, dataset, this, contract, rows[["width", "height"]].to_numpy().tolist())
        write_boxes(found_dir, boxes, contract)
    else:
        (found_dir / CONTRACT_FILE).unlink(missing_ok=True)  # written last: with it all maps are there
        remove_maps(found_dir)
        logits = _write_maps(model, dataset, this, found_dir)
        write_whole(found_dir / CONTRACT_FILE, contract.to_json())
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


def _find_boxes(
    model: Classifier,
    dataset: PictureDataset,
    this: Worker,
    contract: DetectionContract,
    sizes: Sequence[Sequence[int]],
) -> tuple[FloatArray, list[PredictedBoxes]]:
    """Return the logits of all pictures, `(N, classes)`, and the boxes in each; sizes: width and height of each."""
    network = model.backbone
    assert isinstance(network, CentreNetwork)

    def answer(batch: Batch) -> tuple[torch.Tensor, ...]:
        cells = network.cell_outputs(model.normalise(batch.images.to(this.device)))
        found = candidates(cells, contract.max_boxes, (batch.images.shape[1], batch.images.shape[2]))
        return network.class_logits(cells), *found

    model.eval()
    logits, *found = over_all(answer, dataset, BATCH_SIZE, this, "predict")
    places = [placement(width, height, contract) for width, height in sizes]
    return logits, boxes_of_outputs(dict(zip((BOXES, SCORES, OBJECTS), found, strict=True)), places)
