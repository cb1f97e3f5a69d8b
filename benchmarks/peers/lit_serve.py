"""LitServe, batches of up to 32 with a window of 10 ms, as many workers as sessions.

LitServe hands an upload from its HTTP process to a worker by pickling it, so uploads must stay in memory.
"""

import sys
from collections.abc import Sequence

import litserve  # type: ignore[import-not-found]  # not in the training environment
from starlette.formparsers import MultiPartParser
from starlette.requests import Request

from benchmarks.peers.classifier import HOST, MAX_BATCH_SIZE, WINDOW_S, Classifier, Options
from runtime.model.image import ImageArray

# Above 1 MB Starlette would write an upload to a file, which cannot be pickled.
MAX_UPLOAD_BYTES = 64 * 1024 * 1024


class ClassifierApi(litserve.LitAPI):  # type: ignore[misc]
    def __init__(self, options: Options) -> None:
        super().__init__(max_batch_size=MAX_BATCH_SIZE, batch_timeout=WINDOW_S, api_path="/predict")
        self.options = options

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's interface; sessions run on the CPU
        self.classifier = Classifier.load(self.options.model_dir, self.options.threads)

    def decode_request(self, request: Request) -> ImageArray:
        return self.classifier.decode(request["images"].file.read())

    def batch(self, inputs: list[ImageArray]) -> list[ImageArray]:
        return inputs

    def predict(self, x: list[ImageArray]) -> list[dict[str, object]]:
        return self.classifier.predict(x)

    def unbatch(self, output: list[dict[str, object]]) -> list[dict[str, object]]:
        return output

    def encode_response(self, output: dict[str, object]) -> list[dict[str, object]]:
        return [output]


def main(argv: Sequence[str] | None = None) -> int:
    options = Options.parse(argv, "Serve with LitServe.")
    MultiPartParser.spool_max_size = MAX_UPLOAD_BYTES
    server = litserve.LitServer(
        ClassifierApi(options), accelerator="cpu", workers_per_device=options.sessions, timeout=60
    )
    server.run(host=HOST, port=options.port, generate_client_file=False, log_level="warning")
    return 0


if __name__ == "__main__":
    sys.exit(main())
