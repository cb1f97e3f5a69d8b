"""The usual hand-made server: FastAPI, one asyncio queue, batches of up to 32 gathered for 10 ms.

Decoding runs in a thread pool beside the event loop. As many consumers as sessions take batches from the queue.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, UploadFile

from benchmarks.peers.classifier import HOST, MAX_BATCH_SIZE, WINDOW_S, Classifier, Options
from runtime.model.image import ImageArray

Item = tuple[ImageArray, asyncio.Future[dict[str, object]]]


async def gather_batch(queue: asyncio.Queue[Item]) -> list[Item]:
    """Wait for a first item, then for more until the batch is full or the window is over."""
    batch = [await queue.get()]
    end_s = asyncio.get_running_loop().time() + WINDOW_S
    while len(batch) < MAX_BATCH_SIZE:
        try:
            async with asyncio.timeout_at(end_s):
                batch.append(await queue.get())
        except TimeoutError:
            break
    return batch


async def consume(queue: asyncio.Queue[Item], classifier: Classifier, executor: ThreadPoolExecutor) -> None:
    loop = asyncio.get_running_loop()
    while True:
        batch = await gather_batch(queue)
        answers = await loop.run_in_executor(executor, classifier.predict, [pixels for pixels, _ in batch])
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)


def build_app(options: Options) -> FastAPI:
    queue: asyncio.Queue[Item] = asyncio.Queue()
    classifiers = [Classifier.load(options.model_dir, options.threads) for _ in range(options.sessions)]
    executor = ThreadPoolExecutor(2 * options.sessions)  # decoding and inference

    @asynccontextmanager
    async def consuming(_: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(consume(queue, classifier, executor)) for classifier in classifiers]
        yield
        for task in tasks:
            task.cancel()
        executor.shutdown(wait=False)

    app = FastAPI(lifespan=consuming)

    @app.post("/predict")
    async def predict(images: list[UploadFile]) -> list[dict[str, object]]:
        loop = asyncio.get_running_loop()
        futures = []
        for image in images:
            pixels = await loop.run_in_executor(executor, classifiers[0].decode, await image.read())
            futures.append(loop.create_future())
            queue.put_nowait((pixels, futures[-1]))
        return list(await asyncio.gather(*futures))

    return app


def main(argv: Sequence[str] | None = None) -> int:
    options = Options.parse(argv, "Serve with FastAPI and a window.")
    uvicorn.run(build_app(options), host=HOST, port=options.port, log_level="warning", access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
