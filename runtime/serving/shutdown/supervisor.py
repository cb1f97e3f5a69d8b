"""The order in which BentoML's first process ends the others: those that take requests before those that compute.

BentoML's own arbiter ends all at once, waits a day for one that hangs, and removes the unix sockets between them first.
`bentoml_app.check_bentoml` holds the version of BentoML for which this was written. Import it in the first process
alone: it loads circus.
"""

from collections.abc import Callable
from typing import Any

from bentoml._internal.utils import circus as bentoml_circus
from circus.arbiter import Arbiter as CircusArbiter  # type: ignore[import-untyped]

from runtime.serving.shutdown.drain import LINGER_S
from runtime.serving.shutdown.marker import mark_stopping

SERVICE_WATCHER = "service"  # what BentoML calls the processes that take requests
EXIT_S = 5.0  # for what ends after the last answer: batches, threads, the interpreter


def drain_on_stop(grace_s: float, timeout_s: float) -> None:
    """Have the arbiter that BentoML makes next end its processes in order. The arguments are those of `Drain`.

    A process that takes longer than all of it, and `EXIT_S` more, is killed.
    """
    limit_s = grace_s + timeout_s + LINGER_S + EXIT_S

    class DrainingArbiter(bentoml_circus.Arbiter):
        def start(self, cb: Callable[[Any], Any] | None = None) -> None:
            for watcher in self.watchers:
                watcher.graceful_timeout = limit_s if watcher.name == SERVICE_WATCHER else EXIT_S
            try:
                super().start(cb)
            finally:
                self.exit_stack.close()

        def stop(self) -> Any:
            # Past BentoML's own, which removes sockets that are still needed; `start` does it at the end.
            mark_stopping()
            return CircusArbiter.stop(self)

        async def _stop_watchers(self, *arguments: Any, **options: Any) -> None:
            if self._stopping:
                first = [w for w in self.iter_watchers(reverse=False) if w.name == SERVICE_WATCHER]
                for stopped in [watcher._stop(True) for watcher in first]:
                    await stopped
            await super()._stop_watchers(*arguments, **options)

    bentoml_circus.Arbiter = DrainingArbiter  # type: ignore[misc]  # it makes what this name says
