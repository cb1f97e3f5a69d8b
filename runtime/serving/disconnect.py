"""Work that is given up when the one who asked for it goes away."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeVar

from starlette.types import Receive

T = TypeVar("T")


class ClientGoneError(RuntimeError):
    """The client closed the connection before the work was done."""


async def unless_disconnected(work: Coroutine[None, None, T], receive: Receive) -> T:
    """Await `work`; if the client goes first, cancel it and raise ClientGoneError.

    receive: of a request whose body has been read to its end.
    """
    task = asyncio.current_task()
    assert task is not None
    is_gone = False

    def abandon() -> None:
        nonlocal is_gone
        is_gone = task.cancel()

    watcher = asyncio.create_task(_until_disconnected(receive, abandon))
    try:
        return await work
    except asyncio.CancelledError:
        if not is_gone or task.uncancel():
            raise
        raise ClientGoneError("the client closed the connection") from None
    finally:
        watcher.cancel()


async def _until_disconnected(receive: Receive, abandon: Callable[[], object]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    abandon()
