"""The jobs of a deployment: what keeps them, and what works on them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from runtime.model.roles import Role
from runtime.serving.jobs.image_work import ImageWork
from runtime.serving.jobs.lock import FolderLock
from runtime.serving.jobs.runner import JobRunner
from runtime.serving.jobs.store import JobStore
from runtime.serving.jobs.store_thread import StoreThread
from runtime.serving.pipeline.pipeline import Pipeline
from runtime.serving.request_batching import RequestHandler
from runtime.serving.request_threads import RequestThreads
from runtime.serving.settings import ServingSettings


@dataclass(frozen=True)
class Jobs:
    """Jobs in a folder. readers: threads that read the bodies of requests for new ones."""

    settings: ServingSettings
    store: StoreThread
    work: ImageWork
    runner: JobRunner
    readers: RequestThreads

    @classmethod
    def of(cls, folder: Path, by_role: Mapping[Role, RequestHandler], pipeline: Pipeline | None) -> Self:
        """Make what works with these handlers. Nothing is opened yet."""
        settings = next(iter(by_role.values())).served.settings
        store = StoreThread(JobStore(folder, settings.max_jobs, settings.max_jobs_bytes))
        work = ImageWork.of(by_role, pipeline)
        runner = JobRunner(store, work, FolderLock(folder), settings.job_images_in_flight, settings.keep_jobs_h * 3600)
        return cls(settings, store, work, runner, RequestThreads(1, "job-read"))

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks that a job may have."""
        return tuple(self.work.by_task)

    async def close(self) -> None:
        """Let go of what is in hand; it goes on with the next start. Safe to call twice."""
        await self.runner.close()
        self.work.close()
        self.readers.close()
        await self.store.close()
