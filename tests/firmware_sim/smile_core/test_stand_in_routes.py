"""The stand-in has exactly the routes of facts/smile-core-api.md section 11, and imports nothing of ours."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import BaseRoute, Route

import firmware_sim.smile_core
from firmware_sim.smile_core.app import core_routes, main_routes, wms_routes
from firmware_sim.smile_core.control import create_control_app

SECTION_11 = {
    "core": {
        "POST /api/auth/login",
        "POST /api/v2/histories/push",
        "POST /api/warehouse/histories/push",
        "POST /api/assets",
        "GET /api/assets",
        "GET /api/asset-type",
        "GET /api/asset-model",
        "GET /asset-monitoring-temperature",
        "GET /asset-monitoring-temperature/{asset_id:int}",
        "GET /asset-monitoring-temperature/{rtmd_id:int}/history",
    },
    "main": {
        "GET /stocks/details",
        "GET /stocks/entities",
        "GET /batches",
        "GET /stock-qualities",
        "GET /transactions/reason",
        "GET /transactions/discard",
        "POST /transactions/discard-stock",
        "POST /disposal/instructions",
        "GET /disposal/instructions",
        "GET /disposal/instructions/{instruction_id:int}",
        "POST /api/wms/disposal/cancellation",
    },
    "wms": {
        "POST /api/v1/waste-bag-qrcode",
        "GET /api/v1/mobile/scan-qr-code/{qr}",
        "POST /api/v1/mobile/enter-weight",
        "GET /api/v1/waste",
        "POST /api/v1/bast",
        "PUT /api/v1/bast/confirm",
        "GET /api/v1/bast",
    },
}


def _names(routes: list[BaseRoute]) -> set[str]:
    return {
        f"{method} {one.path}"
        for one in routes
        if isinstance(one, Route)
        for method in (one.methods or set()) - {"HEAD"}
    }


def test_no_route_is_missing_and_none_is_added(lab: Any) -> None:
    found = {"core": core_routes(lab.state), "main": main_routes(lab.state), "wms": wms_routes(lab.state)}
    assert {name: _names(routes) for name, routes in found.items()} == SECTION_11
    assert all(isinstance(one, Route) for routes in found.values() for one in routes)


def test_the_control_interface_is_not_on_the_smile_port(lab: Any) -> None:
    paths = {one.path for one in create_control_app(lab.state).routes if isinstance(one, Route)}
    assert "/faults" in paths
    for base in ("", "/core", "/main", "/wms"):
        for path in paths:
            filled = path.replace("{name}", "bags").replace("{serial}", "LABLOG0001")
            headers = {
                "x-program-id": "1",
                "authorization": f"Bearer {lab.tokens.get('managerlab') or lab.login('managerlab')}",
            }
            assert lab.request("GET", base + filled, headers=headers).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_known_path_with_another_method_is_an_unknown_path(lab: Any, method: str) -> None:
    answer = lab.request(method, "/core/api/v2/histories/push")
    assert (answer.status_code, answer.text) == (404, "404 Not Found")


def test_nothing_of_ours_is_imported() -> None:
    """Only the standard library, starlette, uvicorn, and this package itself."""
    allowed = sys.stdlib_module_names | {"starlette", "uvicorn"}
    folder = Path(firmware_sim.smile_core.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] in allowed or name.startswith("firmware_sim.smile_core"), (path.name, name)
