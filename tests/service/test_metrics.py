"""What Prometheus reads: counts that are right, and labels that no client can add to."""

import uuid

import httpx

from tests.bento_project import Served
from tests.service.metrics_page import read_metrics, total
from tests.service.requests import truncated_jpeg


def test_images_batches_and_answers_are_counted(served: Served) -> None:
    before = read_metrics(served.url)
    for _ in range(2):
        files = [("images", served.pictures[name].read_bytes()) for name in ("red", "blue", "blue")]
        assert httpx.post(f"{served.url}/predict", files=files).status_code == 200
    after = read_metrics(served.url)

    def grown(name: str, **labels: str) -> float:
        return total(after, name, **labels) - total(before, name, **labels)

    assert [grown("vision_predictions_total", label=name) for name in ("red", "green", "blue")] == [2, 0, 4]
    assert grown("vision_confidence_count") == 6
    assert 6 * 0.9 < grown("vision_confidence_sum") <= 6
    assert grown("vision_batch_images_sum") == 6
    num_batches = grown("vision_batch_images_count")  # a request for each, or sessions that are free share it
    assert 2 <= num_batches <= 6
    assert (grown("vision_batch_requests_count"), grown("vision_batch_requests_sum")) == (num_batches, num_batches)
    counts = {"vision_decode_seconds": 2, "vision_queue_wait_seconds": 2, "vision_inference_seconds": num_batches}
    for name, count in counts.items():
        assert grown(f"{name}_count") == count
        assert grown(f"{name}_sum") > 0
    assert total(after, "vision_queue_images") == 0


def test_refusals_are_counted_by_reason(served: Served) -> None:
    before = read_metrics(served.url)
    httpx.post(f"{served.url}/predict", files=[("images", truncated_jpeg())])
    after = read_metrics(served.url)
    grown = {key: value - before.get(key, 0) for key, value in after.items() if key[0] == "vision_refusals_total"}
    assert {key: value for key, value in grown.items() if value} == {
        ("vision_refusals_total", frozenset({("reason", "corrupt_image")})): 1
    }
    # Every reason has its series from the start, so that a rate is right at its first occurrence.
    assert {dict(labels)["reason"] for _, labels in grown} >= {"overloaded", "deadline_exceeded", "client_gone"}


def test_random_paths_add_no_label_values(served: Served) -> None:
    def endpoints() -> set[str]:
        return {value for _, labels in read_metrics(served.url) for label, value in labels if label == "endpoint"}

    paths = ["/{0}", "/predict/{0}", "/static_content/{0}", "/static_content/../{0}", "/livez/{0}", "/metrics/{0}"]
    for path in paths:
        assert httpx.get(served.url + path.format("known")).status_code == 404
    before = endpoints()
    for path in paths:
        assert httpx.get(served.url + path.format(uuid.uuid4().hex)).status_code == 404
    assert endpoints() == before
    assert "/{unknown}" in before
    assert httpx.get(f"{served.url}/static_content/swagger-ui.css").status_code == 200
