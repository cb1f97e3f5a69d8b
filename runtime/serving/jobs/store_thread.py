"""The store of jobs beside the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from runtime.serving.jobs.store import JobStore

T = TypeVar("T")


class StoreThread:
    """One thread, to which SQLite's connection belongs: what is asked of the store happens one after the other."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="jobs")
        self._is_closed = False

    async def call(self, ask: Callable[[JobStore], T]) -> T:
        """Return what `ask` returns. Raises RequestRefused where the store does."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, ask, self._store)

    async def close(self) -> None:
        """Close the store once all that was asked is done. Safe to call twice."""
        if not self._is_closed:
            self._is_closed = True
            await self.call(JobStore.close)
            self._thread.shutdown()
