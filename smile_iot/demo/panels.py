"""Grafana's panels over the demo's own rows: each query is sent as Grafana's InfluxDB data source would send it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx

from ingest.store.local_influx import LocalInflux

DASHBOARD = Path(__file__).parents[2] / "dashboards" / "grafana" / "dashboards" / "cold-chain.json"


def as_sent(query: str, variables: list[str], from_ms: int, to_ms: int) -> str:
    """The query with Grafana's macros and "all" for each variable."""
    sent = query.replace("$timeFilter", f"time >= {from_ms}ms and time <= {to_ms}ms").replace("$__interval", "15m")
    for name in variables:
        sent = re.sub(rf"\${name}\b", ".*", sent)
    return sent


def rows_of_panels(influx: LocalInflux, from_ms: int, to_ms: int) -> dict[str, int]:
    """Panel title -> rows that its queries return."""
    board: dict[str, Any] = json.loads(DASHBOARD.read_text())
    variables = [str(v["name"]) for v in board["templating"]["list"]]
    counts: dict[str, int] = {}
    for panel in board["panels"]:
        queries = [as_sent(t["query"], variables, from_ms, to_ms) for t in panel["targets"]]
        counts[str(panel["title"])] = sum(_rows(influx, query) for query in queries)
    return counts


def _rows(influx: LocalInflux, query: str) -> int:
    answer = httpx.get(
        f"{influx.url}/query",
        params={"db": influx.bucket, "epoch": "ms", "q": query},
        headers={"Authorization": f"Token {influx.token}"},
        timeout=20,
    )
    answer.raise_for_status()
    result = answer.json()["results"][0]
    if "error" in result:
        raise RuntimeError(f"{result['error']}: {query}")
    return sum(len(series["values"]) for series in result.get("series", ()))
