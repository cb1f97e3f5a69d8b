"""Waiting, overload, deadlines and departures behind front workers.

The imported tests are those of one process; `environment` below takes the place of the one that they have there.
"""

from collections.abc import Callable

import pytest

from tests.bento_project import Project
from tests.service import test_batching
from tests.service.test_batching import (
    SETTINGS,
    patient,
    project,
    test_overload_is_refused_at_once_and_every_request_is_answered,
    test_request_past_its_deadline_is_answered_with_504_and_the_rest_of_it_is_not_computed,
    url,
)

__all__ = [
    "patient",
    "project",
    "test_overload_is_refused_at_once_and_every_request_is_answered",
    "test_request_past_its_deadline_is_answered_with_504_and_the_rest_of_it_is_not_computed",
    "url",
]

pytestmark = pytest.mark.slow  # the imported tests do not bring theirs


@pytest.fixture(scope="module")
def environment(project: Project) -> dict[str, str]:
    return {**project.environment, **SETTINGS, "VISION_FRONT_WORKERS": "2"}


# Not imported: the last of them stops the server.
def test_request_of_a_client_that_went_away_leaves_the_queue(patient: tuple[str, Callable[[], None]]) -> None:
    test_batching.test_request_of_a_client_that_went_away_leaves_the_queue(patient)


def test_request_in_flight_is_answered_when_the_server_is_stopped(patient: tuple[str, Callable[[], None]]) -> None:
    test_batching.test_request_in_flight_is_answered_when_the_server_is_stopped(patient)
