"""Every answer says where its time went, and the log says the same."""

import json
import time
from pathlib import Path

import httpx
import pytest

from tests.bento_project import Served
from tests.service.requests import png, stage_times_ms, truncated_jpeg


def log_line(served: Served, request_id: str) -> dict[str, object]:
    """Find the JSON line of one request; it is written after the answer is sent."""
    log = Path(served.project.home).parent / "empty" / "server.log"
    for _ in range(100):
        lines = [line for line in log.read_text().splitlines() if line.startswith("{") and request_id in line]
        if lines:
            [line] = lines
            return dict(json.loads(line))
        time.sleep(0.05)
    raise AssertionError(f"no line of {request_id}")


def test_prediction_names_all_stages_and_the_log_line_has_the_same_numbers(served: Served) -> None:
    response = httpx.post(f"{served.url}/predict", files=[("images", png())] * 3, headers={"X-Request-ID": "timed-1"})
    stages = stage_times_ms(response)
    assert list(stages) == ["read", "decode", "queue", "inference", "total"]
    assert stages["decode"] > 0
    assert stages["inference"] > 0
    # Each is rounded to 0.01 ms.
    assert sum(stages[name] for name in ("read", "decode", "queue", "inference")) <= stages["total"] + 0.02
    line = log_line(served, "timed-1")
    assert {name: line[f"{name}_ms"] for name in stages} == stages
    expected = {"event": "request", "method": "POST", "path": "/predict", "status": 200, "refusal": None}
    assert line | expected == line
    assert (line["images"], line["tiles"]) == (3, None)
    assert line["batch_images"] in (1, 2, 3), "sessions that are free share them, and there is one for each core"


@pytest.mark.parametrize(
    ("path", "files", "status", "refusal", "stages"),
    [
        ("/predict", [("images", truncated_jpeg())], 400, "corrupt_image", ["read", "total"]),
        ("/nothing", [("images", png())], 404, None, ["total"]),
        ("/predict", [("images", png())] * 5, 413, "too_many_images", ["read", "total"]),
    ],
)
def test_refusal_has_its_total_and_its_reason(
    served: Served, path: str, files: list[tuple[str, bytes]], status: int, refusal: str | None, stages: list[str]
) -> None:
    name = f"timed-{path[1:]}-{status}"
    response = httpx.post(f"{served.url}{path}", files=files, headers={"X-Request-ID": name})
    assert (response.status_code, list(stage_times_ms(response))) == (status, stages), response.text
    line = log_line(served, name)
    assert (line["status"], line["refusal"], line["inference_ms"]) == (status, refusal, None)


def test_health_checks_are_timed_but_do_not_fill_the_log(served: Served) -> None:
    response = httpx.get(f"{served.url}/readyz", headers={"X-Request-ID": "probe-1"})
    assert list(stage_times_ms(response)) == ["total"]
    httpx.get(f"{served.url}/nothing", headers={"X-Request-ID": "after-probe"})
    log_line(served, "after-probe")
    assert "probe-1" not in (Path(served.project.home).parent / "empty" / "server.log").read_text()


def test_path_in_the_log_is_cut_and_cannot_break_the_line(served: Served) -> None:
    httpx.get(f"{served.url}/%0A%22" + "a" * 5000, headers={"X-Request-ID": "long-path"})
    path = log_line(served, "long-path")["path"]
    assert isinstance(path, str)
    assert path.startswith('/\n"aaa')
    assert len(path) == 200
