"""A person at the pages: logs in, reads, fills in forms. Over HTTP, with the forms' own hidden tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import httpx

_FOR_EVER_MS = 1 << 42
_TOKEN = re.compile(r'name="csrf" value="([^"]*)"')


@dataclass(slots=True)
class Person:
    """One browser session. ``page`` and ``ask`` read, ``send`` fills in a form of a page."""

    base_url: str
    name: str
    password: str
    _http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self._http = httpx.Client(base_url=self.base_url, timeout=20.0)

    def log_in(self) -> None:
        form = self._http.get("/login")
        form.raise_for_status()
        fields = {"csrf": self._token(form.text), "next": "/", "name": self.name, "password": self.password}
        answer = self._http.post("/login", data=fields)
        if answer.status_code != 303:
            raise RuntimeError(f"{self.name} could not log in: HTTP {answer.status_code}")

    @staticmethod
    def _token(page: str) -> str:
        found = _TOKEN.search(page)
        if found is None:
            raise RuntimeError("the page has no form token")
        return found.group(1)

    def page(self, path: str) -> str:
        """The HTML of a page."""
        answer = self._http.get(path, follow_redirects=True)
        answer.raise_for_status()
        return answer.text

    def ask(self, path: str, **params: Any) -> Any:
        """The JSON answer of the API."""
        answer = self._http.get(f"/api/v1{path}", params=params)
        answer.raise_for_status()
        return answer.json()

    def readings(self, site: str, stream: str) -> list[dict[str, Any]]:
        """The first thousand readings of a stream, oldest first; none while the stream is not known."""
        answer = self._http.get(
            f"/api/v1/sites/{site}/readings", params={"stream": stream, "from_ms": 0, "to_ms": _FOR_EVER_MS}
        )
        if answer.status_code == 404:
            return []
        answer.raise_for_status()
        rows: list[dict[str, Any]] = answer.json()["rows"]
        return rows

    def send(self, page: str, action: str, **fields: str) -> None:
        """Fill in the form of ``page`` that posts to ``action``; raises with the server's words if refused."""
        token = self._token(self.page(page))
        answer = self._http.post(action, data={"csrf": token, **fields}, headers={"referer": self.base_url + page})
        if answer.status_code != 303:
            raise RuntimeError(f"{action}: HTTP {answer.status_code}: {answer.text[:400]}")

    def command(self, path: str, body: dict[str, Any]) -> Any:
        """A command of the JSON API, with the session's own token; raises with the server's words if refused."""
        headers = {"x-csrf-token": self._token(self.page("/")), "referer": self.base_url + "/"}
        answer = self._http.post(f"/api/v1{path}", json=body, headers=headers)
        if answer.status_code >= 300:
            raise RuntimeError(f"{path}: HTTP {answer.status_code}: {answer.text[:400]}")
        return answer.json()

    def close(self) -> None:
        self._http.close()
