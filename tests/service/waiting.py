"""Waiting for something that happens in another process, and never without end."""

import time
from collections.abc import Callable

import httpx

from tests.service.metrics_page import read_metrics, total
from tests.service.requests import png

PATIENCE_S = 100  # far above what anything here takes, also on a busy machine
POLL_S = 0.02


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Return once it is so. Fails, naming `what`, after PATIENCE_S."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited in vain for {what}"
        time.sleep(POLL_S)


def wait_until_idle(url: str) -> None:
    """Return once a request is answered with 200 again."""

    def is_idle() -> bool:
        files = [("images", png())]
        return httpx.post(f"{url}/predict", files=files, timeout=PATIENCE_S).status_code == 200

    wait_for(is_idle, "an answer of 200")


def num_queued(url: str) -> float:
    """Images that wait for a session at this moment."""
    return total(read_metrics(url), "vision_queue_images")
