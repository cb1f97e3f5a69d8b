"""What is asked of a Label Studio server, by its HTTP interface."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

_PAGE = 500  # tasks at a time
_CHUNK = 50  # tasks in one import: a brush of a large picture takes hundreds of kilobytes
_TIMEOUT_S = 300.0

logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells of every request


class LabelStudioError(ValueError):
    """A server that cannot be reached or refuses what is asked; the message says what it answered."""


class LabelStudio:
    """A Label Studio server. Every function raises LabelStudioError if the server cannot be reached or refuses."""

    def __init__(self, url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        """Take the address and the token of an account. transport: what carries requests, in place of the network."""
        self.url = url
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Token {token}"},
            timeout=_TIMEOUT_S,
            trust_env=False,
            transport=transport,
        )

    def close(self) -> None:
        self._client.close()

    def is_ours(self) -> bool:
        """Tell whether the server knows the token."""
        return self._asked("GET", "/api/current-user/whoami").status_code == 200

    def project(self, title: str) -> dict[str, Any] | None:
        """Return the project of that title, None if there is none."""
        found = self._json("GET", "/api/projects", params={"title": title, "page_size": _PAGE})["results"]
        return next((project for project in found if project["title"] == title), None)

    def make_project(self, title: str, template: str) -> dict[str, Any]:
        """Make a project that shows the task of the least sure suggestion first."""
        settings = {"title": title, "label_config": template, "sampling": "Uncertainty sampling"}
        project: dict[str, Any] = self._json("POST", "/api/projects", json=settings)
        return project

    def show_files(self, project: int, folder: Path) -> None:
        """Let the tasks of a project show the files of `folder`, wherever the checkout lies now."""
        path = str(folder.absolute())
        storages = self._json("GET", "/api/storages/localfiles", params={"project": project})
        if not any(storage["path"] == path for storage in storages):
            storage = {"project": project, "path": path, "use_blob_urls": True, "title": "pictures"}
            self._json("POST", "/api/storages/localfiles", json=storage)

    def change_project(self, project: int, **settings: object) -> None:
        self._json("PATCH", f"/api/projects/{project}", json=settings)

    def tasks(self, project: int) -> Iterator[dict[str, Any]]:
        """Yield the tasks of a project, with their data and whether they are labelled."""
        page = 1
        while True:
            query = {"project": project, "page": page, "page_size": _PAGE, "fields": "all"}
            answer = self._json("GET", "/api/tasks", params=query)
            yield from answer["tasks"]
            if page * _PAGE >= answer["total"]:
                return
            page += 1

    def add_tasks(self, project: int, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Add tasks, in order. tasks: each with `data` and, where there are any, `predictions`."""
        for start in range(0, len(tasks), _CHUNK):
            self._json("POST", f"/api/projects/{project}/import", json=list(tasks[start : start + _CHUNK]))

    def add_predictions(self, project: int, predictions: Sequence[Mapping[str, Any]]) -> None:
        """Add suggestions to tasks that are there. predictions: each with its `task`."""
        for start in range(0, len(predictions), _CHUNK):
            chunk = list(predictions[start : start + _CHUNK])
            self._json("POST", f"/api/projects/{project}/import/predictions", json=chunk)

    def suggested(self, project: int, version: str) -> set[int]:
        """Return the tasks that have a suggestion of that model."""
        found = self._json("GET", "/api/predictions/", params={"task__project": project})
        return {one["task"] for one in found if one["model_version"] == version}

    def export(self, project: int) -> bytes:
        """Return all tasks and annotations as JSON, as the server writes it."""
        query = {"exportType": "JSON", "download_all_tasks": "true"}
        return self._answered("GET", f"/api/projects/{project}/export", params=query).content

    def _json(self, method: str, path: str, **more: Any) -> Any:
        answer = self._answered(method, path, **more)
        try:
            return answer.json()
        except json.JSONDecodeError as exc:
            raise LabelStudioError(f"{self.url}{path} answered with no JSON: {answer.text[:200]!r}") from exc

    def _answered(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = self._asked(method, path, **more)
        if answer.is_error:
            raise LabelStudioError(f"{self.url}{path} answered with {answer.status_code}: {answer.text[:500]}")
        return answer

    def _asked(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, **more)
        except httpx.HTTPError as exc:
            raise LabelStudioError(
                f"Label Studio cannot be reached at {self.url}: {exc or type(exc).__name__}"
            ) from exc
