"""The links of the chain after training: what runs in which, and what of each other they need.

`python -m slurm.links evaluate export` runs links in this process's place, one after the other, and stops at the first
that fails. `slurm/chain.sh` makes each a job that depends on the one before.
"""

import argparse
import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PYTHON = ".venv/bin/python"
logger = logging.getLogger(__name__)


def commands_of(artifacts: Path, data: Path, params: Path) -> dict[str, list[list[str]]]:
    """Return link -> modules with arguments, in order. A link needs only files that links before it wrote."""
    checkpoint, export, evaluation = (
        artifacts / "training/checkpoint.pt",
        artifacts / "export",
        artifacts / "evaluation",
    )
    card, by_image, predictions = artifacts / "MODEL_CARD.md", artifacts / "by_image", artifacts / "predictions.csv"
    manifest = data / "manifest.csv"
    modules: dict[str, list[list[object]]] = {
        "evaluate": [
            ["training.predict", "--manifest", manifest, "--checkpoint", checkpoint, "--out", predictions],
            ["training.compare_protocols", "--data", data, "--params", params, "--out", by_image],
            ["evaluation.evaluate", "--predictions", predictions, "--by-image", by_image, "--data", data, "--params",
             params, "--out", evaluation],
        ],
        "export": [
            ["export.export", "--manifest", manifest, "--checkpoint", checkpoint, "--params", params, "--out", export],
        ],
        "register": [
            ["evaluation.card", "--evaluation", evaluation, "--contract", export / "contract.json", "--parity",
             export / "parity.json", "--onnx", export / "model.onnx", "--data", data, "--out", card],
            ["export.register", "--checkpoint", checkpoint, "--export", export, "--evaluation", evaluation, "--card",
             card],
        ],
        "bento": [["export.bento", "--record", artifacts / "bento.json"]],
    }  # fmt: skip
    return {link: [list(map(str, words)) for words in parts] for link, parts in modules.items()}


LINKS = tuple(commands_of(Path(), Path(), Path()))


def run_links(links: Sequence[str], artifacts: Path, data: Path, params: Path) -> int:
    """Run links in order and return the status of the first that fails, or 0."""
    commands = commands_of(artifacts, data, params)
    for link in links:
        for words in commands[link]:
            logger.info("%s: %s", link, " ".join(words))
            status = subprocess.run([PYTHON, "-m", *words]).returncode
            if status:
                logger.error("the chain stops at '%s': %s ended with status %d", link, words[0], status)
                return status
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("links", nargs="+", choices=LINKS)
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"))
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return run_links(arguments.links, arguments.artifacts, arguments.data, arguments.params)


if __name__ == "__main__":
    sys.exit(main())
