"""The naive server of outlines: one picture after the other, decoded, computed and answered as each request comes.

So a script that somebody put behind HTTP behaves. It does the same work by the runtime's own functions and writes the
same fields into its log, so that it differs from `service.py` in how it takes requests and in nothing else.
"""

import json
import sys
import time
from collections.abc import Sequence

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.peers.classifier import HOST, Options
from runtime.answers.results import ANSWERS, ModelIdentity, only_predictions
from runtime.model.preprocess import read_placed
from runtime.model.session import Predictor


class NaiveSegmenter:
    """One session with all threads, asked about one picture at a time."""

    def __init__(self, options: Options) -> None:
        threads = options.sessions * options.threads
        self.predictor = Predictor.load(options.model_dir, device="cpu", threads=threads)
        self.predictor.warm_up()
        self.identity = ModelIdentity(name="benchmark", version="1", sha256=self.predictor.sha256)

    async def segment(self, request: Request) -> JSONResponse:
        """Answer the form's one picture; nothing else runs meanwhile, since nothing here waits."""
        async with request.form() as form:
            upload = form["images"]
            assert isinstance(upload, UploadFile)
            encoded = await upload.read()
        contract, begin_s = self.predictor.contract, time.perf_counter()
        image, place = read_placed(encoded, contract)
        decoded_s = time.perf_counter()
        outputs = self.predictor.predict(image[None])
        computed_s = time.perf_counter()
        answers = only_predictions(ANSWERS[contract.task](outputs, [place], contract, self.identity))
        response = JSONResponse([answer.model_dump(mode="json") for answer in answers])
        times = {"decode": decoded_s - begin_s, "inference": computed_s - decoded_s}
        times["encode"] = time.perf_counter() - computed_s
        line = {"event": "request", "status": 200, **{f"{name}_ms": 1e3 * spent_s for name, spent_s in times.items()}}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        return response


def main(argv: Sequence[str] | None = None) -> int:
    options = Options.parse(argv, "Serve outlines one picture at a time.")
    routes = [Route("/segment", NaiveSegmenter(options).segment, methods=["POST"])]
    uvicorn.run(Starlette(routes=routes), host=HOST, port=options.port, log_level="warning")
    return 0


if __name__ == "__main__":
    sys.exit(main())
