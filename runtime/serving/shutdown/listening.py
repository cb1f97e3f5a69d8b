"""Closing a listening socket without a connection that is established and then reset.

The kernel completes connections before they are accepted here, and closing the socket resets those that wait: their
clients have sent a request and cannot know whether it was seen. So it first drops attempts to connect, unheard, then
those that wait are accepted, and only then is the socket shut. Who was unheard tries again a second later, as TCP does,
and is refused.
"""

import asyncio
import ctypes
import logging
import os
import socket
import struct
from contextlib import suppress

import uvicorn

ACCEPT_S = 2.0  # longest that what waits may take to be accepted, also on a busy machine
_POLL_S = 0.01
_SO_ATTACH_FILTER = 26  # Linux's; Python does not name it
_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)  # classic BPF: `ret #0`
_UNACKED_AT = 24  # bytes into `struct tcp_info`

logger = logging.getLogger("vision.drain")


async def stop_listening(server: uvicorn.Server, is_for_all: bool) -> None:
    """Accept no more connections.

    is_for_all: have the kernel refuse them in every process that has the socket. BentoML's first process does, so that
    to close it here alone would leave connections that the kernel accepts and nobody answers.
    """
    own = [socket.socket(fileno=os.dup(s.fileno())) for listener in server.servers for s in listener.sockets]
    if is_for_all:
        for listening in own:
            _drop_attempts(listening)
        with suppress(TimeoutError):
            async with asyncio.timeout(ACCEPT_S):
                while any(map(_num_waiting, own)):
                    await asyncio.sleep(_POLL_S)
    for listener in server.servers:
        listener.close()
    for listening in own:
        with listening:
            if is_for_all:
                listening.shutdown(socket.SHUT_RD)


def _num_waiting(listening: socket.socket) -> int:
    """Return how many connections are complete and not accepted; 0 where the kernel does not tell."""
    if listening.family == socket.AF_UNIX or not hasattr(socket, "TCP_INFO"):
        return 0
    # Of a listening socket Linux states the queue where it else has the unacknowledged segments, `tcpi_unacked`.
    info = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED_AT + 4)
    return int(struct.unpack_from("I", info, _UNACKED_AT)[0])


def _drop_attempts(listening: socket.socket) -> None:
    program = ctypes.create_string_buffer(_DROP_ALL)
    try:
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(program)))
    except OSError as exc:
        logger.warning("connections made at the last moment may be reset: the kernel takes no socket filter (%s)", exc)
