"""A stand-in for Label Studio that keeps what it is given; `test_real_server.py` asks a real one."""

import json
from collections.abc import Callable
from typing import Any

import httpx

from annotation.api import LabelStudio


class RememberingServer:
    """Projects, tasks and predictions as they were sent."""

    def __init__(self) -> None:
        self.projects: list[dict[str, Any]] = []
        self.storages: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []
        self.predictions: list[dict[str, Any]] = []

    def client(self) -> LabelStudio:
        return LabelStudio("http://127.0.0.1:1", "token", httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        body: Any = json.loads(request.content) if request.content else None
        answers: dict[tuple[str, str], Callable[[], Any]] = {
            ("GET", "/api/projects"): lambda: {"results": self.projects},
            ("POST", "/api/projects"): lambda: self._add(self.projects, body),
            ("PATCH", "/api/projects/1"): lambda: self.projects[0].update(body),
            ("GET", "/api/storages/localfiles"): lambda: self.storages,
            ("POST", "/api/storages/localfiles"): lambda: self._add(self.storages, body),
            ("GET", "/api/tasks"): lambda: {"tasks": self.tasks, "total": len(self.tasks)},
            ("POST", "/api/projects/1/import"): lambda: self._import(body),
            ("POST", "/api/projects/1/import/predictions"): lambda: self.predictions.extend(body),
            ("GET", "/api/predictions/"): lambda: self.predictions,
        }
        answer = answers[request.method, request.url.path]()
        return httpx.Response(200, json=answer if answer is not None else {})

    @staticmethod
    def _add(entries: list[dict[str, Any]], entry: dict[str, Any]) -> dict[str, Any]:
        entries.append({**entry, "id": len(entries) + 1})
        return entries[-1]

    def _import(self, tasks: list[dict[str, Any]]) -> None:
        for task in tasks:
            added = self._add(self.tasks, {"data": task["data"], "is_labeled": False})
            self.predictions += [{"task": added["id"], **one} for one in task["predictions"]]
