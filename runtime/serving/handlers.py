"""The request handlers of a deployment, one a model, and what they share."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from runtime.model.contract import Task
from runtime.serving.request_batching import RequestHandler
from runtime.serving.request_threads import RequestThreads
from runtime.serving.served_model import ServedModel

# What the service calls its API for each task; the path is the same. An API without a model is not there.
APIS: dict[Task, str] = {"classification": "predict", "segmentation": "segment"}


@dataclass(frozen=True)
class Handlers:
    """The handler of each API that is served, by the API's name.

    They share the threads that decode: it is the machine's cores that bound decoding, not an API. Each has a queue of
    its own, so that a crowd at one does not shut the other's door.
    """

    by_api: dict[str, RequestHandler]

    @classmethod
    def of(cls, served: Mapping[Task, ServedModel], inference_services: Sequence[str] = ()) -> Self:
        """Make a handler for each model. inference_services: names of those that compute, if others do."""
        decoders = RequestThreads(next(iter(served.values())).settings.decode_threads)
        return cls(
            {APIS[task]: RequestHandler.of(model, decoders, inference_services) for task, model in served.items()}
        )

    @property
    def is_ready(self) -> bool:
        return all(handler.is_ready for handler in self.by_api.values())

    @property
    def is_alive(self) -> bool:
        return all(handler.is_alive for handler in self.by_api.values())

    async def start(self) -> None:
        """Wait for those who compute; must be called on the loop that serves."""
        await asyncio.gather(*(handler.start() for handler in self.by_api.values()))

    async def close(self) -> None:
        """Refuse what waits, let running batches end. Safe to call twice."""
        await asyncio.gather(*(handler.close() for handler in self.by_api.values()))

    def of_path(self, path: str) -> RequestHandler:
        """Return who counts a request to that path: the API's, and the first for a path that is none."""
        return self.by_api.get(path.removeprefix("/").partition("/")[0]) or next(iter(self.by_api.values()))
