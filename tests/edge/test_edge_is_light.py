"""The Pi installs the edge extra only: no module of the agent, also none loaded late, needs a server dependency."""

from __future__ import annotations

import json
import subprocess
import sys

SERVER = (
    "fastapi", "sqlalchemy", "numpy", "httpx", "pydantic", "influxdb_client", "apprise", "jinja2", "uvicorn",
    "starlette", "alembic", "apscheduler", "psycopg",
    "gateway", "ingest", "alerts", "api", "firmware_sim",
)  # fmt: skip

# Every module of edge/, the drivers that only a device loads too; then what the command loads before it knows its name.
_LOAD = """
import importlib, json, pkgutil, sys
import edge
names = ["edge", *(m.name for m in pkgutil.walk_packages(edge.__path__, "edge."))]
for name in names:
    importlib.import_module(name)
ours = "smile_iot" in sys.modules
importlib.import_module("smile_iot.run_edge")
print(json.dumps([names, ours, sorted(sys.modules)]))
"""


def test_no_module_of_the_agent_loads_a_server_dependency() -> None:
    shown = subprocess.run([sys.executable, "-c", _LOAD], capture_output=True, text=True, check=True)
    names, loads_smile_iot, loaded = json.loads(shown.stdout)
    assert {"edge.service", "edge.sources.modbus", "edge.sources.mt_sics", "edge.sources.ruuvi_history"} <= set(names)
    assert not loads_smile_iot
    assert [m for m in SERVER if m in loaded] == []
