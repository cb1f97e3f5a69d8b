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

import uvicorn

ACCEPT_S = 0.2  # for the loop to accept what waits: many turns, also under load
_SO_ATTACH_FILTER = 26  # Linux's; Python does not name it
_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)  # classic BPF: `ret #0`

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
        await asyncio.sleep(ACCEPT_S)
    for listener in server.servers:
        listener.close()
    for listening in own:
        with listening:
            if is_for_all:
                listening.shutdown(socket.SHUT_RD)


def _drop_attempts(listening: socket.socket) -> None:
    program = ctypes.create_string_buffer(_DROP_ALL)
    try:
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(program)))
    except OSError as exc:
        logger.warning("connections made at the last moment may be reset: the kernel takes no socket filter (%s)", exc)
