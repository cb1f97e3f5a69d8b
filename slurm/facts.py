"""What one node sees, as one line of JSON: `python -m slurm.facts`; the doctor compares nodes by it."""

import argparse
import json
import sys
from pathlib import Path

from project.command import command
from project.packages import RequirementsError
from slurm.node_facts import LINE_MARK, NodeFacts


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--manifest", type=Path, default=Path("data/manifest.csv"))
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)


@command(_arguments, known=(RequirementsError,))
def main(arguments: argparse.Namespace) -> None:
    facts = NodeFacts.gather(arguments.manifest, arguments.token_file, arguments.port)
    sys.stdout.write(LINE_MARK + json.dumps(facts.model_dump(mode="json")) + "\n")


if __name__ == "__main__":
    sys.exit(main())
