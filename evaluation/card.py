"""Write the model card from what was measured: `python -m evaluation.card`."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from dataset.manifest import Manifest, ManifestError
from evaluation.evaluate import read_description
from evaluation.evaluation import BY_IMAGE_FILE, EVALUATION_FILE, Evaluation, EvaluationError
from evaluation.model_card import Measured, render_model_card
from evaluation.parity import Parity, ParityError
from runtime.card import CardError
from runtime.contract import ContractError, ModelContract
from runtime.hashing import file_sha256

KNOWN_ERRORS = (CardError, ContractError, EvaluationError, ManifestError, ParityError)

logger = logging.getLogger(__name__)


def read_measured(
    evaluation_dir: Path, contract_path: Path, parity_path: Path, data_dir: Path, onnx_path: Path
) -> Measured:
    """Read all that a card speaks of. Raises one of KNOWN_ERRORS if a part is missing or the parts do not fit."""
    by_image_path = evaluation_dir / BY_IMAGE_FILE
    return Measured(
        evaluation=Evaluation.read(evaluation_dir / EVALUATION_FILE),
        by_image=Evaluation.read(by_image_path) if by_image_path.exists() else None,
        contract=ModelContract.read(contract_path),
        parity=Parity.read(parity_path),
        description=read_description(data_dir),
        manifest=Manifest.read(data_dir / "manifest.csv"),
        onnx_sha256=_sha256(onnx_path),
    )


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as exc:
        raise CardError(f"cannot read the model {path}: {exc.strerror}; run `make export`") from exc


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluation", type=Path, default=Path("artifacts/evaluation"))
    parser.add_argument("--contract", type=Path, default=Path("artifacts/export/contract.json"))
    parser.add_argument("--parity", type=Path, default=Path("artifacts/export/parity.json"))
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--onnx", type=Path, default=Path("artifacts/export/model.onnx"))
    parser.add_argument("--out", type=Path, default=Path("artifacts/MODEL_CARD.md"))
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        measured = read_measured(
            arguments.evaluation, arguments.contract, arguments.parity, arguments.data, arguments.onnx
        )
        card = render_model_card(measured)
    except KNOWN_ERRORS as exc:
        sys.stderr.write(f"card: {exc}\n")
        return 2
    out_path: Path = arguments.out
    out_path.parent.mkdir(parents=True, exist_ok=True)
    temporary = out_path.with_name(out_path.name + ".tmp")
    temporary.write_text(card, encoding="utf-8")
    temporary.replace(out_path)
    logger.info("model card: %s", out_path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
