"""Every query of the Grafana dashboard against a real InfluxDB 1.6.7, filled through our own store.

Grafana itself is not here: its macros and variables are replaced as its InfluxDB data source does it
(``$timeFilter``, ``$__interval``; a variable with several values is a group of escaped alternatives).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from ingest.store import Row
from ingest.store.identity import Fresh
from ingest.store.influx import InfluxStore
from ingest.store.line_protocol import lines_of
from ingest.store.local_influx import LocalInflux
from ingest.store.model import batches_of
from telemetry.quantities import QUANTITIES
from telemetry.readings import Origin, Quality, Sync

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "dashboards" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "cold-chain.json").read_text())
MIN = 60_000
T0 = 1_790_000_000_000
DAY = 86_400_000
VARIABLES: list[dict[str, Any]] = DASHBOARD["templating"]["list"]
TARGETS = [
    pytest.param(panel, target, id=f"{panel['title']} {target['refId']}")
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]
_GROUP = re.compile(r"GROUP BY (.*?)(?: fill\(| ORDER BY|$)")


def base(stream: str, t_ms: int, value: str | None, seq: int, **more: Any) -> Row:
    kept: dict[str, Any] = {
        "site": "PKM-01",
        "stream_id": stream,
        "t_ms": t_ms,
        "value": None if value is None else Decimal(value),
        "quality": Quality.GOOD if value is not None else Quality.SENSOR_FAULT,
        "origin": Origin.LIVE,
        "device_seq": None,
        "variant": 0,
        "edge": "E1",
        "epoch": "ep1",
        "seq": seq,
        "sync": Sync.SYNCED,
        "max_error_ms": 50,
        "received_at_ms": t_ms + 2_000,
    }
    return Row(**(kept | more))


def demo_rows() -> list[Row]:
    """A day of two loggers: hot hours, an open door, a power cut, a reading back from memory, a conflict, a fault."""
    rows: list[Row] = []
    for serial in ("ATC_A4C138", "RUUVI.01"):
        for i in range(96):
            t_ms = T0 + i * 15 * MIN
            late = {"origin": Origin.MEMORY, "received_at_ms": T0 + DAY} if 40 <= i < 48 else {}
            values = {
                "temperature_c": None if i == 70 else ("9.125" if 20 <= i < 60 else "4.5"),
                "door_open": "1" if i == 30 else "0",
                "mains_power_on": "0" if 50 <= i < 54 else "1",
                "battery_percent": str(100 - i // 10),
                "rssi_dbm": str(-60 - i % 7),
            }
            rows += [
                base(f"{serial}/{q}", t_ms, v, len(rows) + n, **late) for n, (q, v) in enumerate(values.items(), 1)
            ]
    rows.append(base("RUUVI.01/temperature_c", T0, "30.0", 9_999))  # the same time, another value
    return rows


@dataclass(frozen=True, slots=True)
class Bench:
    """``ask(query)`` as Grafana's proxy would; rows as dicts with their tags."""

    server: LocalInflux

    def ask(self, query: str) -> list[dict[str, Any]]:
        answer = httpx.get(
            f"{self.server.url}/query",
            params={"db": self.server.bucket, "epoch": "ms", "q": query},
            headers={"Authorization": f"Token {self.server.token}"},
            timeout=20,
        )
        result = answer.json()["results"][0]
        assert "error" not in result, f"{result['error']}: {query}"
        return [
            dict(zip(series["columns"], values, strict=True)) | series.get("tags", {})
            for series in result.get("series", ())
            for values in series["values"]
        ]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("grafana")
    server = LocalInflux(folder / "influx")
    server.start()
    try:
        store = InfluxStore(server.url, server.org, server.bucket, server.token, index_path=folder / "index.db")
        result = store.append(demo_rows())
        store.close()
        assert (result.conflicts, result.rejected) == (1, ())
        yield Bench(server)
    finally:
        server.stop()


def interpolated(values: list[str]) -> str:
    """A variable with several values inside a regex, as Grafana writes it."""
    escaped = [re.sub(r"[\\^$*+?.()|\[\]{}/]", lambda m: "\\" + m.group(), v) for v in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def filled(query: str, interval: str = "15m", **variables: str) -> str:
    """The query as it is sent. ``$__interval`` before the variables: neither is a part of the other here."""
    out = query.replace("$timeFilter", f"time >= {T0}ms and time <= {T0 + DAY}ms").replace("$__interval", interval)
    for name in (v["name"] for v in VARIABLES):
        value = variables.get(name, ".*").replace("\\", "\\\\")
        out = re.sub(rf"\${name}\b", value, out)
    return out


@pytest.mark.neighbour("influxdb")
@pytest.mark.parametrize(("panel", "target"), TARGETS)
@pytest.mark.parametrize("interval", ["1m", "15m", "6h"])
def test_every_panel_gets_rows(bench: Bench, panel: dict[str, Any], target: dict[str, Any], interval: str) -> None:
    query = filled(target["query"], interval)
    assert "$" not in query.replace("/^.*$/", ""), query
    rows = bench.ask(query)
    assert rows, query
    value = next(c for c in rows[0] if c not in ("time", "stream", "site", "variant"))
    assert any(row[value] is not None for row in rows)


@pytest.mark.neighbour("influxdb")
@pytest.mark.parametrize(("panel", "target"), TARGETS)
def test_the_variables_choose(bench: Bench, panel: dict[str, Any], target: dict[str, Any]) -> None:
    """One stream, several, and none of another site."""
    quantity = next((q for q in QUANTITIES if f"/{q}/" in target["query"].replace("\\/", "/")), "temperature_c")
    one, other = f"RUUVI.01/{quantity}", f"ATC_A4C138/{quantity}"
    if "memory" not in target["query"] and "variant" not in target["query"]:
        both = bench.ask(filled(target["query"], stream=interpolated([one, other]), site=interpolated(["PKM-01"])))
        assert {row["stream"] for row in both} == {one, other}
    chosen = bench.ask(filled(target["query"], stream=interpolated([one])))
    assert {row["stream"] for row in chosen} == {one}
    assert bench.ask(filled(target["query"], site="PKM-02")) == []


@pytest.mark.neighbour("influxdb")
@pytest.mark.parametrize("variable", VARIABLES, ids=lambda v: str(v["name"]))
def test_the_variables_find_their_values(bench: Bench, variable: dict[str, Any]) -> None:
    rows = bench.ask(filled(variable["query"]))
    found = {row["value"] for row in rows}
    wanted = {"PKM-01"} if variable["name"] == "site" else {row.stream_id for row in demo_rows()}
    assert found == wanted


def _panel(title: str) -> dict[str, Any]:
    (panel,) = [p for p in DASHBOARD["panels"] if p["title"].endswith(title)]
    return dict(panel)


@pytest.mark.neighbour("influxdb")
def test_the_panels_tell_the_truth(bench: Bench) -> None:
    """Zoomed out to six hours the excursion is still there, a reading without a value is not a number, counts agree."""
    high, low = (bench.ask(filled(t["query"], "6h")) for t in _panel("Temperature")["targets"])
    assert max(row["max"] for row in high) == 30.0
    assert {row["max"] for row in high} >= {9.125, 4.5}
    assert min(row["min"] for row in low) == 4.5
    fine = bench.ask(filled(_panel("Temperature")["targets"][0]["query"], "15m"))
    assert all(row["time"] != T0 + 70 * 15 * MIN for row in fine)
    door = bench.ask(filled(_panel("Door")["targets"][0]["query"], "6h"))
    assert [row["max"] for row in door if row["stream"].startswith("RUUVI")].count(1.0) == 1
    power = bench.ask(filled(_panel("Mains power")["targets"][0]["query"], "6h"))
    assert 0.0 in {row["min"] for row in power}
    beyond = bench.ask(filled(_panel("Readings beyond 2 to 8 °C")["targets"][0]["query"], "6h"))
    assert sum(row["count"] for row in beyond) == 2 * 40 + 1  # the hot hours of both, and the conflict's other value
    counts = bench.ask(filled(_panel("Readings per stream")["targets"][0]["query"]))
    assert {row["stream"]: row["readings"] for row in counts}["RUUVI.01/temperature_c"] == 97
    assert sum(row["readings"] for row in counts) == len(demo_rows())
    late = bench.ask(filled(_panel("Late readings")["targets"][0]["query"]))
    assert len(late) == 2 * 5 * 8
    assert {row["received_at_ms"] for row in late} == {T0 + DAY}
    conflicts = bench.ask(filled(_panel("Conflicts")["targets"][0]["query"]))
    assert [(row["value"], row["variant"]) for row in conflicts] == [(30.0, "1")]


# --- what needs no neighbour ---


def test_every_name_is_in_the_stores_schema() -> None:
    """Measurement, tags and fields of the queries are those that the store writes."""
    usual = demo_rows()[0]
    odd = replace(
        usual, quality=Quality.INVALID, origin=Origin.FILE, sync=Sync.UNSYNCED, device_seq=1, value=Decimal(1)
    )
    line = lines_of(Fresh(batches_of([odd])[0], 0, 0), [2])[0]
    tags = {part.partition("=")[0] for part in line.split(" ")[0].split(",")[1:]}
    columns = {part.partition("=")[0] for part in line.split(" ")[1].split(",")}
    assert {
        part.partition("=")[0] for part in lines_of(Fresh(batches_of([usual])[0], 0, 0))[0].split(" ")[1].split(",")
    } <= columns
    assert columns <= {f.name for f in fields(Row)}
    measurement = line.partition(",")[0]
    for query in [t["query"] for p in DASHBOARD["panels"] for t in p["targets"]] + [v["query"] for v in VARIABLES]:
        assert re.findall(r'FROM "(\w+)"', query) == [measurement]
        named = set(re.findall(r'"(\w+)"', query.replace(f'FROM "{measurement}"', "")))
        made = set(re.findall(r'AS "(\w+)"', query))
        assert named - made <= tags | columns, query
        grouped = _GROUP.search(query)
        if grouped:
            assert set(re.findall(r'"(\w+)"', grouped.group(1))) <= tags, "InfluxQL groups by tags only"
        for quantity in re.findall(r"/\\/(\w+)/", query):
            assert quantity in QUANTITIES


def test_the_dashboard_is_whole() -> None:
    ids = [p["id"] for p in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    places = [p["gridPos"] for p in DASHBOARD["panels"]]
    for i, a in enumerate(places):
        assert a["x"] + a["w"] <= 24
        for b in places[i + 1 :]:
            apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
            assert apart or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"], (a, b)
    source = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "influxdb.yaml").read_text())["datasources"][
        0
    ]
    named = {p["datasource"]["uid"] for p in DASHBOARD["panels"]}
    named |= {t["datasource"]["uid"] for p in DASHBOARD["panels"] for t in p["targets"]}
    named |= {v["datasource"]["uid"] for v in VARIABLES}
    assert named == {source["uid"]}
    for panel in DASHBOARD["panels"]:
        assert panel["description"]


def test_the_limits_are_those_of_the_refrigerator() -> None:
    from alerts.profiles import builtin_profiles

    fridge = builtin_profiles()["refrigerator"]
    steps = _panel("Temperature")["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [s["value"] for s in steps] == [
        None,
        float(fridge.low_c or 0),
        pytest.approx(float(fridge.high_c or 0), abs=0.01),
    ]


def test_provisioning_fits_docker_compose() -> None:
    """Address, bucket, secret and folders are those of the containers."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    grafana, influx = compose["services"]["grafana"], compose["services"]["influxdb"]
    source = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "influxdb.yaml").read_text())["datasources"][
        0
    ]
    assert source["jsonData"]["dbName"] == influx["environment"]["DOCKER_INFLUXDB_INIT_BUCKET"]
    host = httpx.URL(source["url"]).host
    assert host in compose["services"]
    secret = re.fullmatch(r"Token \$__file\{/run/secrets/(\w+)\}", source["secureJsonData"]["httpHeaderValue1"])
    assert secret is not None
    assert secret.group(1) in grafana["secrets"]
    assert influx["environment"]["DOCKER_INFLUXDB_INIT_ADMIN_TOKEN_FILE"] == f"/run/secrets/{secret.group(1)}"
    provider = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "smile-iot.yaml").read_text())["providers"][
        0
    ]
    mounts = dict(v.split(":")[:2] for v in grafana["volumes"])
    assert mounts["./dashboards/grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./dashboards/grafana/provisioning"] == "/etc/grafana/provisioning"
