"""Clients that never pause while a server ends, and what became of each of their requests."""

import http.client
import json
import threading
import time
from dataclasses import dataclass, field

from tests.service.waiting import PATIENCE_S

NUM_CLIENTS = 8
ANSWERED, REFUSED, NOT_ACCEPTED = "200", "503 shutting_down", "connection refused"


@dataclass
class Load:
    """Clients that send one request after another until nobody accepts them, and what became of each request."""

    port: int
    picture: bytes
    outcomes: list[tuple[float, str]] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        for number in range(NUM_CLIENTS):
            thread = threading.Thread(target=self._ask, args=(number % 2 == 0,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    def _ask(self, keeps_connection: bool) -> None:
        connection = self._connect()
        outcome = ""
        while outcome != NOT_ACCEPTED and not outcome.startswith("lost"):
            outcome = self._outcome(connection)
            self.outcomes.append((time.monotonic(), outcome))
            if not keeps_connection:
                connection.close()  # and it connects anew
        connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def _outcome(self, connection: http.client.HTTPConnection) -> str:
        try:
            connection.request("POST", "/predict", self.picture, {"Content-Type": "image/png"})
            response = connection.getresponse()
            body = json.loads(response.read())
        except ConnectionRefusedError:
            return NOT_ACCEPTED
        except (OSError, http.client.HTTPException) as exc:
            return f"lost: {exc!r}"
        if response.status == 503:
            assert response.headers["connection"] == "close"
            assert response.headers["retry-after"] == "1"
            return f"503 {body['error']['code']}"
        return str(response.status)

    def assert_none_lost_since(self, asked_s: float, grace_s: float) -> dict[str, int]:
        """Assert that no request was lost since the server was asked to end, and none refused within the grace.

        Return how many ended in which way.
        """
        self.join()
        since = [(ended_s, outcome) for ended_s, outcome in self.outcomes if ended_s > asked_s]
        counts = {kind: sum(outcome == kind for _, outcome in since) for kind in (ANSWERED, REFUSED, NOT_ACCEPTED)}
        assert sum(counts.values()) == len(since), since  # and none lost
        assert counts[NOT_ACCEPTED] == NUM_CLIENTS
        assert counts[ANSWERED]
        assert min(ended_s for ended_s, outcome in since if outcome == REFUSED) > asked_s + grace_s
        return counts
