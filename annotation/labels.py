"""Start Label Studio with pictures to label, and what the newest model suggests for each.

    python -m annotation.labels [--pictures FOLDER] [--task classification|segmentation|detection] [--port 8080]

Serves on this machine alone until Ctrl-C. A second run adds the pictures that are new and the suggestions of a newer
model, and nothing twice; where the server runs already, it brings them to that one and ends.
"""

import argparse
import logging
import sys
from pathlib import Path

from annotation.api import LabelStudioError
from annotation.home import ACCESS, read_access
from annotation.push import push
from annotation.reaching import add_server_options, reached
from annotation.server import wait_for_end
from annotation.template import AnnotationParams, names_for
from dataset.manifest import ManifestError
from dataset.outputs.tasks import add_task_option
from project.command import UsageError, command
from project.params import ParamsError, add_params_option, read_section
from runtime.model.contract import ContractError

logger = logging.getLogger(__name__)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pictures", type=Path, help="folder of pictures, whose subfolders are read as well")
    parser.add_argument("--data", type=Path, default=Path("data"))
    add_server_options(parser)
    parser.add_argument("--once", action="store_true", help="end as soon as all is brought")
    add_task_option(parser, of_pictures=True)
    add_params_option(parser)


@command(_arguments, known=(ManifestError, ParamsError, LabelStudioError, ContractError), speaker="error")
def main(args: argparse.Namespace) -> int:
    names = names_for(args.task, read_section(args.params, "annotation", AnnotationParams), args.data)
    if args.pictures is None and read_access(args.home) is None:
        raise UsageError("name the folder of pictures to label: make labels PICTURES=folder")
    with reached(args.home, args.port, args.environment) as reach:
        pushed = push(reach.server, args.home, args.task, names, args.pictures)
        logger.info("labels: %d new picture(s), %d with a suggestion", pushed.num_new, pushed.num_suggested)
        place = f"{reach.server.url}/projects/{pushed.project}"
        logger.info("labels: %s, user %s, password in %s", place, reach.username, args.home / ACCESS)
        if reach.process and not args.once:
            logger.info("labels: serves until Ctrl-C")
            try:
                wait_for_end(reach.process, args.home)
            except KeyboardInterrupt:
                logger.info("labels: ended; what was labelled is kept")
    return 1 if pushed.left_out else 0


if __name__ == "__main__":
    sys.exit(main())
