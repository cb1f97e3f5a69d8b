"""Write the model card and the complete report from what was measured: `python -m evaluation.card`.

The report is that of `evaluation.evaluate` with what needs the exported model: robustness, attention, lineage.
"""

import argparse
import logging
import sys
from pathlib import Path

from dataset.description import read_description
from dataset.manifest import Manifest, ManifestError
from evaluation.crops.document import BEHIND_FILE, BehindDetector
from evaluation.evaluation import BY_IMAGE_FILE, EVALUATION_FILE, Evaluation, EvaluationError
from evaluation.model_review import REVIEW_FILE, ModelReview, ReviewError
from evaluation.out_of_fold import OUT_OF_FOLD_FILE
from evaluation.pages.model_card import Measured, lineage_section, render_model_card
from evaluation.pages.report import Reviewed, render_report
from evaluation.predictions import NOT_COMPARED_FILE
from evaluation.statistics.parity import Parity, ParityError
from project.command import command
from project.write_whole import write_whole
from runtime.model.card import CardError
from runtime.model.contract import ContractError, read_contract
from runtime.model.hashing import file_sha256

KNOWN_ERRORS = (CardError, ContractError, EvaluationError, ManifestError, ParityError, ReviewError)

logger = logging.getLogger(__name__)


def read_measured(
    evaluation_dir: Path,
    contract_path: Path,
    parity_path: Path,
    data_dir: Path,
    onnx_path: Path,
    review_dir: Path,
    behind_dir: Path | None = None,
) -> Measured:
    """Read all that a card speaks of. Raises one of KNOWN_ERRORS if a part is missing or the parts do not fit."""
    by_image_path, review_path = evaluation_dir / BY_IMAGE_FILE, review_dir / REVIEW_FILE
    out_of_fold_path = evaluation_dir / OUT_OF_FOLD_FILE
    return Measured(
        evaluation=Evaluation.read(evaluation_dir / EVALUATION_FILE),
        by_image=Evaluation.read(by_image_path) if by_image_path.exists() else None,
        contract=read_contract(contract_path),
        parity=Parity.read(parity_path),
        description=read_description(data_dir),
        manifest=Manifest.read(data_dir / "manifest.csv"),
        onnx_sha256=_sha256(onnx_path),
        review=ModelReview.read(review_path) if review_path.exists() else None,
        out_of_fold=Evaluation.read(out_of_fold_path) if out_of_fold_path.exists() else None,
        behind=BehindDetector.read(behind_dir / BEHIND_FILE) if behind_dir else None,
    )


def render_complete_report(measured: Measured, evaluation_dir: Path, by_image_dir: Path, review_dir: Path) -> str:
    """Return the report's HTML. Raises EvaluationError if a picture to be shown is missing."""
    note_path = by_image_dir / NOT_COMPARED_FILE
    worst = _worst(measured.evaluation)
    return render_report(
        measured.evaluation,
        measured.by_image,
        measured.description,
        measured.manifest,
        note_path.read_text(encoding="utf-8") if note_path.exists() and worst is None else "",
        Reviewed(
            measured.review, review_dir, lineage_section(measured), measured.contract.temperature, measured.behind
        ),
        measured.out_of_fold,
        drawings=_read_drawings(worst, evaluation_dir) if worst is not None else None,
    )


def _worst(evaluation: Evaluation) -> list[str] | None:
    """Return the files of the worst outlines or boxes; None for a model that only names a class."""
    located = evaluation.outlines or evaluation.boxes
    return [item.picture for item in located.worst] if located else None


def _read_drawings(files: list[str], evaluation_dir: Path) -> dict[str, bytes]:
    """Read drawings of the evaluation. Raises EvaluationError naming one that is missing."""
    try:
        return {file: (evaluation_dir / file).read_bytes() for file in files}
    except OSError as exc:
        raise EvaluationError(f"cannot show the drawing {exc.filename}: {exc.strerror}; run `make eval`") from exc


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as exc:
        raise CardError(f"cannot read the model {path}: {exc.strerror}; run `make export`") from exc


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--evaluation", type=Path, default=Path("artifacts/evaluation"))
    parser.add_argument("--contract", type=Path, default=Path("artifacts/export/contract.json"))
    parser.add_argument("--parity", type=Path, default=Path("artifacts/export/parity.json"))
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--onnx", type=Path, default=Path("artifacts/export/model.onnx"))
    parser.add_argument("--by-image", type=Path, default=Path("artifacts/by_image"))
    parser.add_argument("--review", type=Path, default=Path("artifacts/review"), help="what evaluation.review wrote")
    parser.add_argument("--behind", type=Path, help="of crops: what evaluation.crops.behind_detector wrote")
    parser.add_argument("--report", type=Path, default=Path("artifacts/report.html"), help="where the report goes")
    parser.add_argument("--out", type=Path, default=Path("artifacts/MODEL_CARD.md"))


@command(_arguments, known=KNOWN_ERRORS)
def main(arguments: argparse.Namespace) -> None:
    measured = read_measured(
        arguments.evaluation,
        arguments.contract,
        arguments.parity,
        arguments.data,
        arguments.onnx,
        arguments.review,
        arguments.behind,
    )
    card = render_model_card(measured)
    report = render_complete_report(measured, arguments.evaluation, arguments.by_image, arguments.review)
    write_whole(arguments.report, report)
    write_whole(arguments.out, card)
    logger.info("report: %s", arguments.report)
    logger.info("model card: %s", arguments.out)


if __name__ == "__main__":
    sys.exit(main())
