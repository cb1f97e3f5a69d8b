"""Hooks that hang: what others get meanwhile, when that ends, and that a process ends without them."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from functools import partial

import pytest

from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.serving import hook_threads
from runtime.serving.hook_threads import HookThreads

LONG_S = 60.0
ENDS_WHILE_A_HOOK_HANGS = """
import asyncio, threading
from runtime.serving.hook_threads import HookThreads
from runtime.answers.refusals import RequestRefused

try:
    asyncio.run(HookThreads().run(threading.Event().wait, 0.05))
except RequestRefused:
    print("given up")
"""


def run_with_gate(scenario: Callable[[threading.Event], Coroutine[None, None, None]]) -> None:
    gate = threading.Event()
    try:
        asyncio.run(scenario(gate))
    finally:
        gate.set()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG_S):
        while not condition():
            await asyncio.sleep(0.001)


async def hang(threads: HookThreads, gate: threading.Event) -> None:
    with pytest.raises(RequestRefused, match="did not end within the deadline"):
        await threads.run(partial(gate.wait, LONG_S), 0.05)


def test_one_that_hangs_takes_a_thread_and_nothing_else_until_all_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(gate: threading.Event) -> None:
        threads = HookThreads(2)
        await hang(threads, gate)
        assert await threads.run(lambda: "answer", LONG_S) == "answer"
        assert (threads.all_hang, threads.is_alive) == (False, True)
        await hang(threads, gate)
        with pytest.raises(RequestRefused) as refused:
            await threads.run(lambda: "answer", LONG_S)
        assert (refused.value.code, refused.value.retry_after_s) == (RequestErrorCode.FILTERS_HANG, 30)
        assert (threads.all_hang, threads.is_alive) == (True, True)  # it may be a slow moment
        monkeypatch.setattr(hook_threads, "DEAD_AFTER_S", 0.0)
        assert (threads.all_hang, threads.is_alive) == (True, False)
        gate.set()
        await until(lambda: not threads.all_hang)
        assert threads.is_alive
        assert await threads.run(lambda: "answer", LONG_S) == "answer"
        threads.close()

    run_with_gate(scenario)


def test_call_that_waits_for_a_thread_until_its_time_is_over_is_not_made_and_does_not_hang() -> None:
    async def scenario(gate: threading.Event) -> None:
        threads = HookThreads(1)
        slow = asyncio.create_task(threads.run(partial(gate.wait, LONG_S), LONG_S))
        await asyncio.sleep(0)
        with pytest.raises(RequestRefused, match="did not end within the deadline"):
            await threads.run(partial(pytest.fail, "made too late"), 0.01)
        assert not threads.all_hang
        gate.set()
        assert await slow
        assert await threads.run(lambda: "answer", LONG_S) == "answer"
        threads.close()

    run_with_gate(scenario)


def test_threads_are_used_again_and_what_a_call_raises_comes_back() -> None:
    async def scenario(_gate: threading.Event) -> None:
        threads = HookThreads(8)
        thread = await threads.run(threading.current_thread, LONG_S)
        for error in (ValueError, SystemExit):
            with pytest.raises(error):
                await threads.run(partial(_raise, error), LONG_S)
        assert await threads.run(threading.current_thread, LONG_S) is thread
        assert not threads.all_hang
        threads.close()
        await until(lambda: not thread.is_alive())

    run_with_gate(scenario)


def _raise(error: type[BaseException]) -> None:
    raise error("said by a hook")


def test_process_ends_while_a_hook_hangs() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDS_WHILE_A_HOOK_HANGS], capture_output=True, text=True, timeout=LONG_S, check=True
    )
    assert done.stdout == "given up\n"
