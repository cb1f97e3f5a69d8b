"""Whether a client that has finished sending is still there to read its answer.

To a server the end of what a client sends looks the same whether it waits for the answer or has gone: only writing to
it tells, because who has gone answers with a reset. So the first bytes of the answer, which are those of any answer,
are sent at once.
"""

import asyncio
import select
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_PREFIX = b"HTTP/1.1 "  # every answer of uvicorn begins so
_FIRST_POLL_S, _LAST_POLL_S = 0.005, 0.25


class DepartureProbe:
    """Aborts a connection once its client is known to be gone; until `cancel`.

    cycle: the request that is being answered. The client must have ended its side of `transport`.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, cycle: RequestResponseCycle
    ) -> None:
        self._loop, self._transport = loop, transport
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), 0)  # errors and resets are always told
        if not cycle.response_started:
            transport.write(_PREFIX)
            cycle.transport = _AfterPrefix(transport)  # type: ignore[assignment]
        self._interval_s = _FIRST_POLL_S
        self._timer = loop.call_later(self._interval_s, self._look)

    def cancel(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        if self._transport.is_closing():
            return
        if self._poll.poll(0):
            self._transport.abort()
            return
        self._interval_s = min(2 * self._interval_s, _LAST_POLL_S)
        self._timer = self._loop.call_later(self._interval_s, self._look)


class _AfterPrefix:
    """A transport for the rest of an answer whose prefix is out."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._is_prefix_due = True

    def write(self, data: bytes) -> None:
        if self._is_prefix_due:
            assert data.startswith(_PREFIX)
            data, self._is_prefix_due = data[len(_PREFIX) :], False
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
