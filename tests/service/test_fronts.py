"""With front workers the service is the same: the tests of one process, asked of two fronts and an inference worker.

`served` below takes the place of the one in conftest.py for all tests that are imported here.
"""

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from demo import serving
from tests.bento_project import Served
from tests.service.conftest import served_bento
from tests.service.metrics_page import read_metrics, total
from tests.service.requests import png, post
from tests.service.test_body_limit import (
    test_body_that_never_ends_is_refused_while_it_streams,
    test_client_that_goes_away_in_the_middle_leaves_the_service_well,
)
from tests.service.test_header_timeout import test_headers_that_never_end_are_answered_and_the_connection_is_closed
from tests.service.test_hostile import storm
from tests.service.test_metrics import (
    test_images_batches_and_answers_are_counted,
    test_refusals_are_counted_by_reason,
)
from tests.service.test_service import (
    test_answers_come_in_the_order_sent_and_name_the_model_in_the_bento,
    test_bad_image_in_a_burst_fails_only_its_own_request,
    test_errors_outside_the_api_have_the_same_body,
    test_health_endpoints_answer,
    test_refused_form_has_status_code_index_and_request_id,
)
from tests.service.test_timing import (
    test_prediction_names_all_stages_and_the_log_line_has_the_same_numbers,
    test_refusal_has_its_total_and_its_reason,
)

pytestmark = pytest.mark.slow

__all__ = [
    "test_answers_come_in_the_order_sent_and_name_the_model_in_the_bento",
    "test_bad_image_in_a_burst_fails_only_its_own_request",
    "test_body_that_never_ends_is_refused_while_it_streams",
    "test_client_that_goes_away_in_the_middle_leaves_the_service_well",
    "test_errors_outside_the_api_have_the_same_body",
    "test_headers_that_never_end_are_answered_and_the_connection_is_closed",
    "test_health_endpoints_answer",
    "test_images_batches_and_answers_are_counted",
    "test_prediction_names_all_stages_and_the_log_line_has_the_same_numbers",
    "test_refusal_has_its_total_and_its_reason",
    "test_refusals_are_counted_by_reason",
    "test_refused_form_has_status_code_index_and_request_id",
]

NUM_FRONTS = 2
NUM_HOSTILE = 400


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory, served: Served) -> Iterator[str]:
    """The same Bento in one process, beside it."""
    with serving("vision:latest", tmp_path_factory.mktemp("single"), served.project.environment) as url:
        yield url


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served_bento(tmp_path_factory.mktemp("fronts"), VISION_FRONT_WORKERS=str(NUM_FRONTS)) as served:
        yield served


def test_a_second_server_of_the_same_user_leaves_the_metrics_of_the_first_alone(
    served: Served, request: pytest.FixtureRequest
) -> None:
    """The tests before this one had answers; the second server starts now."""
    assert post(served, png(), "image/png").status_code == 200
    before = read_metrics(served.url)
    second = request.getfixturevalue("single")
    name = "vision_predictions_total"
    assert total(read_metrics(served.url), name) == total(before, name) > 0
    assert total(read_metrics(second), name) == 0
    assert httpx.post(f"{second}/predict", files=[("images", png())]).status_code == 200
    assert total(read_metrics(second), name) == 1
    assert total(read_metrics(served.url), name) == total(before, name)


def test_answers_of_both_shapes_are_the_same_to_the_last_digit(served: Served, single: str) -> None:
    colours = [(i * 37 % 256, i * 91 % 256, i * 53 % 256) for i in range(12)]
    for begin in range(0, 12, 3):
        files = [("images", png(colour=colour)) for colour in colours[begin : begin + 3]]
        answers = [httpx.post(f"{url}/predict", files=files) for url in (served.url, single)]
        assert answers[0].status_code == 200
        assert answers[0].json() == answers[1].json()


def test_damaged_requests_leave_no_500_and_no_hang(served: Served) -> None:
    statuses = asyncio.run(storm(served, range(NUM_HOSTILE)))
    assert len(statuses) >= 4
    assert statuses[200] > NUM_HOSTILE / 20
    assert post(served, png(), "image/png").status_code == 200
