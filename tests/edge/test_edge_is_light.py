"""The Pi installs the edge extra only: importing the agent loads no server dependency."""

from __future__ import annotations

import subprocess
import sys

SERVER = (
    "fastapi", "sqlalchemy", "numpy", "httpx", "pydantic", "influxdb_client", "apprise", "jinja2", "uvicorn",
    "starlette", "alembic", "apscheduler", "psycopg",
    "gateway", "ingest", "alerts", "api", "smile_iot", "firmware_sim",
)  # fmt: skip


def test_importing_the_agent_loads_no_server_dependency() -> None:
    code = f"import sys, edge.service; print([m for m in {SERVER!r} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
