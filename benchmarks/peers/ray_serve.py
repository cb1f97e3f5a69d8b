"""Ray Serve, `@serve.batch` of up to 32 with a window of 10 ms, as many replicas as sessions."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ray  # type: ignore[import-not-found]  # not in the training environment
from ray import serve
from ray._private import services  # type: ignore[import-not-found]
from ray.serve.schema import LoggingConfig  # type: ignore[import-not-found]
from starlette.requests import Request

from benchmarks.peers.classifier import HOST, MAX_BATCH_SIZE, WINDOW_S, Classifier, Options
from runtime.model.image import ImageArray

MAX_ONGOING_REQUESTS = 128  # of a replica: above 64 clients, so that requests wait where batches are made
QUIET = LoggingConfig(log_level="WARNING", enable_access_log=False)


@serve.deployment(max_ongoing_requests=MAX_ONGOING_REQUESTS, ray_actor_options={"num_cpus": 0}, logging_config=QUIET)
class ClassifierDeployment:
    def __init__(self, options: Options) -> None:
        self.classifier = Classifier.load(options.model_dir, options.threads)
        self.executor = ThreadPoolExecutor(2)  # decoding and inference, beside the replica's event loop

    @serve.batch(max_batch_size=MAX_BATCH_SIZE, batch_wait_timeout_s=WINDOW_S)  # type: ignore[untyped-decorator]
    async def classify(self, images: list[ImageArray]) -> list[dict[str, object]]:
        return await asyncio.get_running_loop().run_in_executor(self.executor, self.classifier.predict, images)

    async def __call__(self, request: Request) -> list[dict[str, object]]:
        async with request.form() as form:
            encoded = [await file.read() for _, file in form.multi_items() if not isinstance(file, str)]
        loop = asyncio.get_running_loop()
        pixels = [await loop.run_in_executor(self.executor, self.classifier.decode, data) for data in encoded]
        return list(await asyncio.gather(*map(self.classify, pixels)))


def listen_on_loopback() -> None:
    """Make a replica's internal gRPC port one of the loopback; Ray has no setting for it. Runs in Ray's processes."""
    from ray._common import tls_utils  # type: ignore[import-not-found]

    add_port = tls_utils.add_port_to_grpc_server
    tls_utils.add_port_to_grpc_server = lambda server, address: add_port(server, address.replace("[::]", HOST))


def main(argv: Sequence[str] | None = None) -> int:
    options = Options.parse(argv, "Serve with Ray Serve.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # Ray's own processes end with this one
    deployment: Any = ClassifierDeployment  # the decorator makes another thing of the class
    bound = deployment.options(num_replicas=options.sessions).bind(options)
    # Ray puts the network's address in the place of the loopback's and then listens on every interface.
    services.resolve_ip_for_localhost = lambda host: host
    ray.init(
        address="local",
        num_cpus=options.sessions,
        include_dashboard=False,
        object_store_memory=128 * 1024 * 1024,
        _node_ip_address=HOST,
        _temp_dir=str(Path("ray").resolve()),  # short, for its sockets' sake: the working directory
        runtime_env={"worker_process_setup_hook": listen_on_loopback},
    )
    try:
        serve.start(http_options={"host": HOST, "port": options.port}, logging_config=QUIET)
        serve.run(bound, route_prefix="/predict", blocking=True)
    finally:
        serve.shutdown()
        ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
