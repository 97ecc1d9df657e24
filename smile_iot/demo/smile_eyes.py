"""SMILE as a person sees it: log in with an account of one's own and read back by GET.

It never uses the adapter's account: a second log-in would end the adapter's session (facts/smile-core-api.md 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

PROGRAM = "1"
EYES_USERNAME = "wms-contoh"
EYES_PASSWORD = "demo-word-wms"  # noqa: S105  (a word of the stand-in's seed, known to all the world)


@dataclass(slots=True)
class SmileEyes:
    """Reads from the stand-in. ``bases`` are its core, main and wms addresses."""

    bases: Mapping[str, str]
    _http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=20.0))
    _token: str = ""

    def _headers(self) -> dict[str, str]:
        if not self._token:
            body = {"username": EYES_USERNAME, "password": EYES_PASSWORD}
            answer = self._http.post(f"{self.bases['core']}/api/auth/login", json=body)
            answer.raise_for_status()
            self._token = answer.json()["token_login"]
        return {
            "authorization": f"Bearer {self._token}",
            "accept-language": "en",
            "x-program-id": PROGRAM,
            "device-type": "mobile",
        }

    def _get(self, url: str, **params: object) -> Any:
        answer = self._http.get(url, params={k: str(v) for k, v in params.items()}, headers=self._headers())
        answer.raise_for_status()
        return answer.json()

    def temperatures(self, logger_id: int) -> list[dict[str, Any]]:
        """All rows of one logger's history."""
        rows: list[dict[str, Any]] = []
        page = 1
        while True:
            url = f"{self.bases['core']}/asset-monitoring-temperature/{logger_id}/history"
            body = self._get(url, page=page, paginate=100)
            rows += body["data"]
            if page >= body["total_page"]:
                return rows
            page += 1

    def discards(self, entity_id: int, start: str, end: str) -> list[dict[str, Any]]:
        url = f"{self.bases['main']}/transactions/discard"
        found: list[dict[str, Any]] = self._get(
            url, entity_id=entity_id, start_date=start, end_date=end, page=1, paginate=100
        )["data"]
        return found

    def waste_bags(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._get(f"{self.bases['wms']}/api/v1/waste", limit=100)["data"]["data"]
        return found

    def print_labels(self, facility_id: int, source_id: int, classification_id: int, count: int) -> list[str]:
        """QR labels as a sanitarian orders them in SMILE; their codes."""
        body = [
            {
                "healthcareFacilityId": facility_id,
                "wasteSourceId": source_id,
                "wasteClassificationId": classification_id,
                "labelCount": count,
            }
        ]
        url = f"{self.bases['wms']}/api/v1/waste-bag-qrcode"
        answer = self._http.post(url, json=body, headers=self._headers())
        answer.raise_for_status()
        labels = answer.json()
        rows = labels["data"] if isinstance(labels, dict) else labels
        return [row["qrCode"] for row in rows]

    def close(self) -> None:
        self._http.close()
