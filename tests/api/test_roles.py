"""Requirement 16 of smile-and-waste: the decree's Table 1, walked over every route of the application."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from api.roles import RIGHTS, Person, Right, Role, reaches

ALL = frozenset({"operator", "manager", "admin", "super_admin"})
PEOPLE = ALL - {"admin"}  # the admin reads and reports, and changes nothing
OFFICE = ALL - {"operator"}  # the operator has no reports and no web console
DECIDERS = frozenset({"manager", "super_admin"})
SUPER = frozenset({"super_admin"})
ANYBODY = ALL | {"nobody"}

WHY = {"reason": "asked for by the test"}
SITE_BODY = {
    "id": "PKM-NEW", "name": "Baru", "region": "papua.jayapura", "zone": "Asia/Jayapura", "shard": "s1",
    "level": "puskesmas",
}  # fmt: skip
BATCH_BODY = {
    "id": "B3", "site": "PKM-A", "product_kfa": "93001284", "product_name": "BCG", "batch_number": "X1",
    "expires_on": "2027-01-31", "doses": 20,
}  # fmt: skip
GTIN_BODY = {
    "gtin": "08991234000015", "site": "PKM-A", "product_kfa": "93001284", "product_name": "DPT-HB-Hib",
}  # fmt: skip
BAG_BODY = {
    "code": "000920112026", "site": "PKM-A", "classification": "infectious", "waste_code": "A337-1",
    "color": "yellow", "source_id": 1, "classification_id": 11,
}  # fmt: skip

# (method, path of the route) -> (who may, the request's path and body). A route without a row here fails the test.
JSON: dict[tuple[str, str], tuple[frozenset[str], str, dict[str, Any] | None]] = {
    ("GET", "/health"): (ANYBODY, "/health", None),
    ("GET", "/health/live"): (ANYBODY, "/health/live", None),
    ("GET", "/api/v1/me"): (ALL, "/api/v1/me", None),
    ("GET", "/api/v1/openapi.json"): (ALL, "/api/v1/openapi.json", None),
    ("GET", "/api/v1/sites"): (ALL, "/api/v1/sites", None),
    ("GET", "/api/v1/sites/{site_id}"): (ALL, "/api/v1/sites/{site}", None),
    ("GET", "/api/v1/sites/{site_id}/equipment"): (ALL, "/api/v1/sites/{site}/equipment", None),
    ("GET", "/api/v1/sites/{site_id}/equipment/{equipment_id}"): (
        ALL,
        "/api/v1/sites/{site}/equipment/{equipment}",
        None,
    ),
    ("GET", "/api/v1/sites/{site_id}/equipment/{equipment_id}/limits"): (
        ALL,
        "/api/v1/sites/{site}/equipment/{equipment}/limits",
        None,
    ),
    ("POST", "/api/v1/sites/{site_id}/equipment/{equipment_id}/limits"): (
        SUPER,
        "/api/v1/sites/{site}/equipment/{equipment}/limits",
        {"code": "HEAT", "limit_c": 9, "alarm_after_s": 36_000, **WHY},
    ),
    ("GET", "/api/v1/sites/{site_id}/equipment/{equipment_id}/what-if"): (
        ALL,
        "/api/v1/sites/{site}/equipment/{equipment}/what-if?code=HEAT&limit_c=9&after_min=600",
        None,
    ),
    ("GET", "/api/v1/sites/{site_id}/equipment/{equipment_id}/corrections"): (
        ALL,
        "/api/v1/sites/{site}/equipment/{equipment}/corrections",
        None,
    ),
    ("POST", "/api/v1/sites/{site_id}/equipment/{equipment_id}/corrections"): (
        DECIDERS,
        "/api/v1/sites/{site}/equipment/{equipment}/corrections",
        {"stream": "LOG-1/temperature_c", "from_ms": 1, "offset_c": -0.3, "certificate": "KAL-17", **WHY},
    ),
    ("GET", "/api/v1/sites/{site_id}/equipment/{equipment_id}/marks"): (
        ALL,
        "/api/v1/sites/{site}/equipment/{equipment}/marks",
        None,
    ),
    ("POST", "/api/v1/sites/{site_id}/equipment/{equipment_id}/marks"): (
        PEOPLE,
        "/api/v1/sites/{site}/equipment/{equipment}/marks",
        {"stream": "LOG-1/temperature_c", "from_ms": 1, "to_ms": 2, **WHY},
    ),
    ("POST", "/api/v1/sites/{site_id}/equipment/{equipment_id}/marks/take-back"): (
        PEOPLE,
        "/api/v1/sites/{site}/equipment/{equipment}/marks/take-back",
        {"stream": "LOG-1/temperature_c", "number": 1, **WHY},
    ),
    ("GET", "/api/v1/sites/{site_id}/devices"): (ALL, "/api/v1/sites/{site}/devices", None),
    ("GET", "/api/v1/sites/{site_id}/streams"): (ALL, "/api/v1/sites/{site}/streams", None),
    ("GET", "/api/v1/sites/{site_id}/readings"): (
        ALL,
        "/api/v1/sites/{site}/readings?stream={stream}&from_ms=0&to_ms=2000000000000",
        None,
    ),
    ("GET", "/api/v1/sites/{site_id}/alarms"): (ALL, "/api/v1/sites/{site}/alarms", None),
    ("GET", "/api/v1/sites/{site_id}/alarms/{alarm_id}"): (ALL, "/api/v1/sites/{site}/alarms/{alarm}", None),
    ("GET", "/api/v1/sites/{site_id}/findings"): (ALL, "/api/v1/sites/{site}/findings", None),
    ("GET", "/api/v1/sites/{site_id}/batches"): (ALL, "/api/v1/sites/{site}/batches", None),
    ("GET", "/api/v1/sites/{site_id}/batches/{batch_id}"): (ALL, "/api/v1/sites/{site}/batches/{batch}", None),
    ("GET", "/api/v1/sites/{site_id}/batches/{batch_id}/verdicts"): (
        ALL,
        "/api/v1/sites/{site}/batches/{batch}/verdicts",
        None,
    ),
    ("GET", "/api/v1/sites/{site_id}/verdicts/{verdict_id}"): (ALL, "/api/v1/sites/{site}/verdicts/{verdict}", None),
    ("GET", "/api/v1/sites/{site_id}/verdicts/{verdict_id}/document"): (
        ALL,
        "/api/v1/sites/{site}/verdicts/{verdict}/document",
        None,
    ),
    ("GET", "/api/v1/sites/{site_id}/use-first"): (ALL, "/api/v1/sites/{site}/use-first", None),
    ("GET", "/api/v1/sites/{site_id}/scan"): (ALL, "/api/v1/sites/{site}/scan?code=(10)B1-2411", None),
    ("GET", "/api/v1/sites/{site_id}/gtins"): (ALL, "/api/v1/sites/{site}/gtins", None),
    ("POST", "/api/v1/gtins"): (DECIDERS, "/api/v1/gtins", GTIN_BODY | WHY),
    ("GET", "/api/v1/sites/{site_id}/report"): (OFFICE, "/api/v1/sites/{site}/report", None),
    ("GET", "/api/v1/sites/{site_id}/report.csv"): (OFFICE, "/api/v1/sites/{site}/report.csv?month=2026-11", None),
    ("GET", "/api/v1/sites/{site_id}/weighings"): (ALL, "/api/v1/sites/{site}/weighings", None),
    ("GET", "/api/v1/sites/{site_id}/bags"): (ALL, "/api/v1/sites/{site}/bags", None),
    ("GET", "/api/v1/sites/{site_id}/quarantine"): (OFFICE, "/api/v1/sites/{site}/quarantine", None),
    ("GET", "/api/v1/sites/{site_id}/ledger"): (OFFICE, "/api/v1/sites/{site}/ledger", None),
    ("GET", "/api/v1/sites/{site_id}/attachments"): (OFFICE, "/api/v1/sites/{site}/attachments", None),
    ("GET", "/api/v1/sites/{site_id}/audit"): (OFFICE, "/api/v1/sites/{site}/audit", None),
    ("GET", "/api/v1/sites/{site_id}/audit/verify"): (OFFICE, "/api/v1/sites/{site}/audit/verify", None),
    ("POST", "/api/v1/alarms/{alarm_id}/acknowledge"): (
        PEOPLE,
        "/api/v1/alarms/{alarm}/acknowledge",
        {"comment": "door closed"},
    ),
    ("POST", "/api/v1/batches/{batch_id}/decision"): (
        DECIDERS,
        "/api/v1/batches/{batch}/decision",
        {"decision": "released", "knowing": True, **WHY},
    ),
    ("POST", "/api/v1/batches/{batch_id}/placements"): (
        PEOPLE,
        "/api/v1/batches/{batch}/placements",
        {"equipment": "KULKAS-B", **WHY},
    ),
    ("POST", "/api/v1/batches/{batch_id}/placements/end"): (PEOPLE, "/api/v1/batches/{batch}/placements/end", WHY),
    ("POST", "/api/v1/batches/{batch_id}/vvm"): (PEOPLE, "/api/v1/batches/{batch}/vvm", {"stage": "A", **WHY}),
    ("POST", "/api/v1/bags"): (PEOPLE, "/api/v1/bags", BAG_BODY | WHY),
    ("POST", "/api/v1/weighings/{weighing_id}/tie"): (
        PEOPLE,
        "/api/v1/weighings/{weighing}/tie",
        {"bag": "000120112026", **WHY},
    ),
    ("POST", "/api/v1/weighings/{weighing_id}/tie/correct"): (
        DECIDERS,
        "/api/v1/weighings/{weighing}/tie/correct",
        {"bag": "000220112026", **WHY},
    ),
    ("GET", "/api/v1/sites/{site_id}/destructions"): (ALL, "/api/v1/sites/{site}/destructions", None),
    ("POST", "/api/v1/sites/{site_id}/destructions"): (
        PEOPLE,
        "/api/v1/sites/{site}/destructions",
        {"bast_no": "BAST/7", **WHY},
    ),
    ("GET", "/api/v1/destructions/{case_id}"): (ALL, "/api/v1/destructions/{case}", None),
    ("POST", "/api/v1/destructions/{case_id}/lines"): (
        PEOPLE,
        "/api/v1/destructions/{case}/lines",
        {"batch": "B1", "vials": 20, **WHY},
    ),
    ("POST", "/api/v1/destructions/{case_id}/bags"): (
        PEOPLE,
        "/api/v1/destructions/{case}/bags",
        {"bag": "000420112026", "batch": "B1", "vials": 20, **WHY},
    ),
    ("POST", "/api/v1/destructions/{case_id}/damaged"): (PEOPLE, "/api/v1/destructions/{case}/damaged", WHY),
    ("POST", "/api/v1/destructions/{case_id}/destroyed"): (
        PEOPLE,
        "/api/v1/destructions/{case}/destroyed",
        {"bag": "000420112026", **WHY},
    ),
    ("POST", "/api/v1/destructions/{case_id}/report"): (
        DECIDERS,
        "/api/v1/destructions/{case}/report",
        {"report_no": "LP-7", "signed_by": "Rudi", **WHY},
    ),
    ("POST", "/api/v1/destructions/{case_id}/close"): (DECIDERS, "/api/v1/destructions/{case}/close", WHY),
    ("GET", "/api/v1/quarantine/{item_id}"): (OFFICE, "/api/v1/quarantine/{item}", None),
    ("POST", "/api/v1/quarantine/{item_id}/correct"): (
        DECIDERS,
        "/api/v1/quarantine/{item}/correct",
        {"repair": "as_is", **WHY},
    ),
    ("POST", "/api/v1/quarantine/{item_id}/replay"): (DECIDERS, "/api/v1/quarantine/{item}/replay", WHY),
    ("POST", "/api/v1/quarantine/{item_id}/discard"): (DECIDERS, "/api/v1/quarantine/{item}/discard", WHY),
    ("POST", "/api/v1/sites"): (SUPER, "/api/v1/sites", SITE_BODY | WHY),
    ("POST", "/api/v1/equipment"): (
        SUPER,
        "/api/v1/equipment",
        {"id": "KULKAS-N", "site": "PKM-A", "name": "N", "kind": "refrigerator", "profile": "refrigerator", **WHY},
    ),
    ("POST", "/api/v1/devices"): (
        SUPER,
        "/api/v1/devices",
        {"serial": "LOG-77", "site": "PKM-A", "edge": "E1", "driver": "bthome", **WHY},
    ),
    ("GET", "/api/v1/enrol/ca"): (ANYBODY, "/api/v1/enrol/ca", None),
    # The code is the log-in: who has none gets nothing (tests/api/test_edges.py).
    ("POST", "/api/v1/enrol"): (ANYBODY, "/api/v1/enrol", None),
    ("GET", "/api/v1/sites/{site_id}/edges"): (OFFICE, "/api/v1/sites/{site}/edges", None),
    ("POST", "/api/v1/sites/{site_id}/edges"): (SUPER, "/api/v1/sites/{site}/edges", {"edge": "E2", **WHY}),
    ("POST", "/api/v1/sites/{site_id}/edges/{edge}/revoke"): (
        DECIDERS,
        "/api/v1/sites/{site}/edges/{edge}/revoke",
        WHY,
    ),
    ("GET", "/api/v1/users"): (SUPER, "/api/v1/users", None),
    ("POST", "/api/v1/users"): (
        SUPER,
        "/api/v1/users",
        {"name": "baru", "role": "operator", "site": "PKM-A", "password": "kata-sandi-baru", **WHY},
    ),
    ("POST", "/api/v1/users/{name}/role"): (SUPER, "/api/v1/users/{user}/role", {"role": "admin", **WHY}),
    ("POST", "/api/v1/users/{name}/role/confirm"): (SUPER, "/api/v1/users/{user}/role/confirm", None),
    ("POST", "/api/v1/users/{name}/tokens"): (SUPER, "/api/v1/users/{user}/tokens", {"label": "SPM", "days": 30}),
    ("POST", "/api/v1/batches"): (DECIDERS, "/api/v1/batches", BATCH_BODY | WHY),
}

PAGES: dict[tuple[str, str], tuple[frozenset[str], str, dict[str, str] | None]] = {
    ("GET", "/static/style.css"): (ANYBODY, "/static/style.css", None),
    ("GET", "/login"): (ANYBODY, "/login", None),
    ("POST", "/login"): (ANYBODY, "/login", {}),
    ("POST", "/logout"): (ALL, "/logout", {}),
    ("GET", "/"): (ALL, "/", None),
    ("GET", "/sites/{site_id}"): (ALL, "/sites/{site}", None),
    ("GET", "/sites/{site_id}/equipment/{equipment_id}"): (ALL, "/sites/{site}/equipment/{equipment}", None),
    ("GET", "/sites/{site_id}/equipment/{equipment_id}/limits"): (
        ALL,
        "/sites/{site}/equipment/{equipment}/limits",
        None,
    ),
    ("POST", "/sites/{site_id}/equipment/{equipment_id}/limits"): (
        SUPER,
        "/sites/{site}/equipment/{equipment}/limits",
        {"rule": "HEAT", "limit_c": "9,5", "after_min": "600", **WHY},
    ),
    ("GET", "/sites/{site_id}/equipment/{equipment_id}/readings"): (
        ALL,
        "/sites/{site}/equipment/{equipment}/readings",
        None,
    ),
    ("POST", "/sites/{site_id}/equipment/{equipment_id}/marks"): (
        PEOPLE,
        "/sites/{site}/equipment/{equipment}/marks",
        {"stream": "LOG-1/temperature_c", "first": "2026-01-05T08:00:00", "last": "2026-01-05T08:00:00", **WHY},
    ),
    ("POST", "/sites/{site_id}/equipment/{equipment_id}/corrections"): (
        DECIDERS,
        "/sites/{site}/equipment/{equipment}/corrections",
        {"stream": "LOG-1/temperature_c", "offset_c": "-0,3", "certificate": "KAL-17", **WHY},
    ),
    ("GET", "/sites/{site_id}/alarms"): (ALL, "/sites/{site}/alarms", None),
    ("GET", "/sites/{site_id}/alarms/{alarm_id}"): (ALL, "/sites/{site}/alarms/{alarm}", None),
    ("GET", "/sites/{site_id}/batches"): (ALL, "/sites/{site}/batches", None),
    ("GET", "/sites/{site_id}/batches/{batch_id}"): (ALL, "/sites/{site}/batches/{batch}", None),
    ("GET", "/sites/{site_id}/verdicts/{verdict_id}"): (ALL, "/sites/{site}/verdicts/{verdict}", None),
    ("GET", "/sites/{site_id}/use-first"): (ALL, "/sites/{site}/use-first", None),
    ("GET", "/sites/{site_id}/scan"): (ALL, "/sites/{site}/scan?code=(10)B1-2411", None),
    ("POST", "/sites/{site_id}/gtins"): (
        DECIDERS,
        "/sites/{site}/gtins",
        {"gtin": "08991234000015", "product": "93001284", **WHY},
    ),
    ("GET", "/sites/{site_id}/register-batch"): (DECIDERS, "/sites/{site}/register-batch", None),
    ("POST", "/sites/{site_id}/batches"): (
        DECIDERS,
        "/sites/{site}/batches",
        {"product": "93001284", "batch_number": "X7", "expires_on": "2027-11-30", "doses": "40"},
    ),
    ("GET", "/sites/{site_id}/weighing"): (ALL, "/sites/{site}/weighing", None),
    ("GET", "/sites/{site_id}/report"): (OFFICE, "/sites/{site}/report", None),
    ("GET", "/sites/{site_id}/destructions"): (ALL, "/sites/{site}/destructions", None),
    ("POST", "/sites/{site_id}/destructions"): (PEOPLE, "/sites/{site}/destructions", {"bast_no": "BAST/7"}),
    ("GET", "/sites/{site_id}/destructions/{case_id}"): (ALL, "/sites/{site}/destructions/{case}", None),
    ("POST", "/sites/{site_id}/destructions/{case_id}/lines"): (
        PEOPLE,
        "/sites/{site}/destructions/{case}/lines",
        {"batch": "B1", "vials": "20"},
    ),
    ("POST", "/sites/{site_id}/destructions/{case_id}/bags"): (
        PEOPLE,
        "/sites/{site}/destructions/{case}/bags",
        {"bag": "000420112026", "batch": "B1", "vials": "20"},
    ),
    ("POST", "/sites/{site_id}/destructions/{case_id}/damaged"): (
        PEOPLE,
        "/sites/{site}/destructions/{case}/damaged",
        WHY,
    ),
    ("POST", "/sites/{site_id}/destructions/{case_id}/destroyed"): (
        PEOPLE,
        "/sites/{site}/destructions/{case}/destroyed",
        {"bag": "000420112026", **WHY},
    ),
    ("POST", "/sites/{site_id}/destructions/{case_id}/report"): (
        DECIDERS,
        "/sites/{site}/destructions/{case}/report",
        {"report_no": "LP-7", "signed_by": "Rudi", **WHY},
    ),
    ("POST", "/sites/{site_id}/destructions/{case_id}/close"): (
        DECIDERS,
        "/sites/{site}/destructions/{case}/close",
        WHY,
    ),
    ("GET", "/sites/{site_id}/smile"): (OFFICE, "/sites/{site}/smile", None),
    ("GET", "/sites/{site_id}/ledger"): (OFFICE, "/sites/{site}/ledger", None),
    ("GET", "/sites/{site_id}/quarantine"): (OFFICE, "/sites/{site}/quarantine", None),
    ("GET", "/sites/{site_id}/edges"): (OFFICE, "/sites/{site}/edges", None),
    ("POST", "/sites/{site_id}/edges"): (SUPER, "/sites/{site}/edges", {"edge": "E2", **WHY}),
    ("POST", "/sites/{site_id}/edges/{edge}/revoke"): (DECIDERS, "/sites/{site}/edges/{edge}/revoke", WHY),
    ("GET", "/sites/{site_id}/audit"): (OFFICE, "/sites/{site}/audit", None),
    ("POST", "/sites/{site_id}/alarms/{alarm_id}/acknowledge"): (
        PEOPLE,
        "/sites/{site}/alarms/{alarm}/acknowledge",
        {"comment": "door closed"},
    ),
    ("POST", "/sites/{site_id}/batches/{batch_id}/decision"): (
        DECIDERS,
        "/sites/{site}/batches/{batch}/decision",
        {"decision": "discarded", "sure": "yes", **WHY},
    ),
    ("POST", "/sites/{site_id}/batches/{batch_id}/vvm"): (
        PEOPLE,
        "/sites/{site}/batches/{batch}/vvm",
        {"stage": "B", **WHY},
    ),
    ("POST", "/sites/{site_id}/batches/{batch_id}/placements"): (
        PEOPLE,
        "/sites/{site}/batches/{batch}/placements",
        {"equipment": "KULKAS-B", **WHY},
    ),
    ("POST", "/sites/{site_id}/weighings/{weighing_id}/tie"): (
        PEOPLE,
        "/sites/{site}/weighings/{weighing}/tie",
        {"bag": "000120112026"},
    ),
    ("POST", "/sites/{site_id}/weighings/{weighing_id}/tie/correct"): (
        DECIDERS,
        "/sites/{site}/weighings/{weighing}/tie/correct",
        {"bag": "000220112026", **WHY},
    ),
    ("POST", "/sites/{site_id}/bags"): (
        PEOPLE,
        "/sites/{site}/bags",
        {"code": "000320112026", "waste": "infectious"},
    ),
    ("GET", "/sites/{site_id}/quarantine/{item_id}"): (OFFICE, "/sites/{site}/quarantine/{item}", None),
    ("POST", "/sites/{site_id}/quarantine/{item_id}/correct"): (
        DECIDERS,
        "/sites/{site}/quarantine/{item}/correct",
        {"repair": "as_is", **WHY},
    ),
    ("POST", "/sites/{site_id}/quarantine/{item_id}/replay"): (
        DECIDERS,
        "/sites/{site}/quarantine/{item}/replay",
        {},
    ),
    ("POST", "/sites/{site_id}/quarantine/{item_id}/discard"): (
        DECIDERS,
        "/sites/{site}/quarantine/{item}/discard",
        WHY,
    ),
}
HERE = {
    "site": "PKM-A", "equipment": "KULKAS-A", "stream": "LOG-1/temperature_c", "alarm": "HEAT-1", "batch": "B1",
    "weighing": "W1", "item": "Q1", "user": "operator_b", "edge": "E1", "verdict": "B1.v1", "case": "PKM-A.D1",
}  # fmt: skip
ELSEWHERE = {
    "site": "PKM-C", "equipment": "KULKAS-C", "stream": "LOG-9/temperature_c", "alarm": "HEAT-9", "batch": "B9",
    "weighing": "W9", "item": "Q9", "user": "operator_b", "edge": "E9", "verdict": "B9.v1", "case": "PKM-C.D1",
}  # fmt: skip


def _routes(app: FastAPI) -> set[tuple[str, str]]:
    """Every (method, path), also inside included routers; a route of a kind we do not know fails."""
    found, waiting = set(), list(app.routes)
    while waiting:
        route = waiting.pop()
        if isinstance(route, APIRoute):
            found |= {(method, route.path) for method in route.methods}
        else:
            inner = getattr(route, "original_router", None)
            assert isinstance(inner, APIRouter), f"a route of another kind: {route}"
            waiting += inner.routes
    return found


def test_every_route_has_a_row_in_the_table_of_levels(world: Any) -> None:
    """A new route without a row, or a row without a route, fails here."""
    assert _routes(world.app) == set(JSON) | set(PAGES)
    assert not set(JSON) & set(PAGES)


def _allowed(table: dict[tuple[str, str], tuple[frozenset[str], str, Any]]) -> list[tuple[str, str, str]]:
    """(method, path, role) of every command for every level that may: each gets a world of its own."""
    return [
        (method, path, role)
        for (method, path), (may, _, _) in table.items()
        for role in sorted(may & ALL)
        if method != "GET" and path not in ("/login", "/api/v1/enrol")
    ]


@pytest.mark.parametrize(("method", "path"), JSON)
def test_json_routes_let_in_whom_the_decree_names(world: Any, method: str, path: str) -> None:
    """16: Operator asks for a report -> 403; Admin posts a weighing -> 403; and so on for each route and level."""
    may, address, body = JSON[method, path]
    make_ready(world, path)
    if path == "/api/v1/enrol":
        return  # tests/api/test_edges.py
    before = world.records.newest_change()
    for role in sorted(ALL - may):
        answer = world.as_role(role).client.request(method, address.format(**HERE), json=body)
        assert (answer.status_code, answer.json()["reason"]) == (403, "role"), role
    stranger = world.client().request(method, address.format(**HERE), json=body)
    assert stranger.status_code == (200 if "nobody" in may else 401)
    if method == "GET":
        for role in sorted(may & ALL):
            assert world.as_role(role).client.request(method, address.format(**HERE)).status_code == 200, role
    assert world.records.newest_change() == before  # nobody changed anything


@pytest.mark.parametrize(("method", "path", "role"), _allowed(JSON))
def test_json_commands_work_for_each_level_that_may(world: Any, method: str, path: str, role: str) -> None:
    """16: and then it really happens: an audit row under the asker's own name and level."""
    _, address, body = JSON[method, path]
    make_ready(world, path)
    before = world.records.newest_change()
    answer = world.as_role(role).client.request(method, address.format(**HERE), json=body)
    assert answer.status_code in (200, 201, 202), answer.text
    if path.endswith(("/tokens", "/role")):
        return  # a token, and a proposal that changes nothing until it is confirmed: proved in test_people.py
    assert (role, role) in {(r.actor, r.role) for r in world.records.changes_after(before)}


@pytest.mark.parametrize("role", ["operator", "manager"])
@pytest.mark.parametrize(("method", "path"), [key for key in JSON if "{" in JSON[key][1]])
def test_json_routes_of_another_region_are_closed(world: Any, method: str, path: str, role: str) -> None:
    """16: Manajer of kabupaten A reads kabupaten B -> 403; an operator reads another site -> 403."""
    furnish_elsewhere(world)
    _, address, body = JSON[method, path]
    answer = world.as_role(role).client.request(method, address.format(**ELSEWHERE), json=body)
    assert answer.status_code == 403, answer.text
    assert answer.json()["reason"] in {"role", "site", "region"}


@pytest.mark.parametrize(("method", "path"), PAGES)
def test_pages_let_in_whom_the_decree_names(world: Any, method: str, path: str) -> None:
    """The web console (reports) is closed to operators, every form to the admin."""
    may, address, form = PAGES[method, path]
    if path == "/login":
        return  # tests/api/test_login.py
    make_ready(world, path)
    stranger = world.client().request(method, address.format(**HERE), data=form)
    if "nobody" in may:
        assert stranger.status_code == 200
    else:
        assert stranger.status_code == 303
        assert stranger.headers["location"].startswith("/login")
    for role in sorted(ALL - may):
        asker = world.log_in(role)
        answer = asker.client.request(method, address.format(**HERE), data={**(form or {}), "csrf": asker.csrf})
        assert answer.status_code == 403, role
        assert "level does not allow" in answer.text
    for role in sorted(may & ALL) if method == "GET" else ():
        answer = world.log_in(role).client.request(method, address.format(**HERE))
        assert answer.status_code in ({200, 303} if path == "/" else {200}), answer.text


@pytest.mark.parametrize(("method", "path", "role"), _allowed(PAGES))
def test_forms_work_for_each_level_that_may(world: Any, method: str, path: str, role: str) -> None:
    """Each form, sent by each level that has it: an audit row under the sender's own name and level."""
    _, address, form = PAGES[method, path]
    make_ready(world, path)
    before, asker = world.records.newest_change(), world.log_in(role)
    answer = asker.client.request(method, address.format(**HERE), data={**(form or {}), "csrf": asker.csrf})
    # A code is shown once, on the answer itself.
    assert answer.status_code == (200 if path.endswith("/edges") else 303), answer.text
    if path == "/logout":
        assert asker.get("/sites/PKM-A").headers["location"].startswith("/login")
        return
    assert (role, role) in {(r.actor, r.role) for r in world.records.changes_after(before)}


@pytest.mark.parametrize("role", ["operator", "manager"])
def test_pages_of_another_region_are_closed(world: Any, role: str) -> None:
    """16: also by address, for every page and form."""
    furnish_elsewhere(world)
    asker = world.log_in(role)
    for (method, _), (_, address, form) in PAGES.items():
        if "{" not in address:
            continue
        data = None if method == "GET" else {**(form or {}), "csrf": asker.csrf}
        answer = asker.client.request(method, address.format(**ELSEWHERE), data=data)
        assert answer.status_code == 403, (method, address)


def test_a_thing_of_another_site_is_not_reached_through_ones_own_address(world: Any) -> None:
    """The site in the address never decides: the thing's own site does."""
    furnish_elsewhere(world)
    asker = world.log_in("manager")
    mixed = HERE | {
        key: ELSEWHERE[key] for key in ("alarm", "batch", "weighing", "item", "equipment", "edge", "verdict", "case")
    }
    for (method, path), (_, address, form) in PAGES.items():
        if path.count("{") < 2:
            continue
        data = None if method == "GET" else {**(form or {}), "csrf": asker.csrf}
        answer = asker.client.request(method, address.format(**mixed), data=data)
        assert answer.status_code in (403, 404), (method, address)
    assert world.records.alarm("HEAT-9").acknowledged_by is None
    assert world.records.decision("B9") is None


def test_a_manager_cannot_pull_a_batch_of_another_region_over(world: Any) -> None:
    answer = world.as_role("manager").post("/api/v1/batches", json=BATCH_BODY | WHY | {"id": "B9"})
    assert (answer.status_code, answer.json()["reason"]) == (403, "region")
    assert world.records.batch("B9").site == "PKM-C"


def test_the_table_of_rights_is_the_decrees() -> None:
    """Table 1: operators lack reports, the admin lacks every transaction, super admins alone have masters."""
    assert {r for r in Role if Right.REPORT in RIGHTS[r]} == {Role.MANAGER, Role.ADMIN, Role.SUPER_ADMIN}
    assert RIGHTS[Role.ADMIN] == {Right.LOOK, Right.REPORT}
    assert {r for r in Role if Right.MASTER in RIGHTS[r]} == {Role.SUPER_ADMIN}
    assert RIGHTS[Role.SUPER_ADMIN] == set(Right)


def test_a_region_holds_its_parts_and_not_its_namesakes() -> None:
    person = Person("x", Role.MANAGER, region="papua")
    assert reaches(person, "S", "papua.jayapura")
    assert not reaches(person, "S", "papuabarat.sorong")
    assert not reaches(Person("x", Role.MANAGER), "S", "")
    assert not reaches(Person("x", Role.OPERATOR), "S", "papua")


def make_ready(world: Any, path: str) -> None:
    """What a command needs to be there first: a registered device, another's proposal, a tie that was wrong."""
    if path.endswith("/tie/correct"):
        from gateway.records import Actor

        clerk = Actor("operator", "operator")
        world.records.tie_weighing("W1", "000120112026", clerk, "scanned", world.clock.now_ms())
    if path.endswith("/marks/take-back"):
        from gateway.records import Actor

        clerk = Actor("another", "operator")
        world.records.mark_readings("LOG-1/temperature_c", 1, 2, clerk, "a jump", world.clock.now_ms())
    if path.endswith("/role/confirm"):
        from gateway.records import Actor

        boss = Actor("another", "super_admin")
        world.records.propose_role("operator_b", "admin", boss, "promoted", world.clock.now_ms())
    if "/destructions/{case_id}" in path:
        before = {"lines": "opened", "bags": "listed", "damaged": "bagged", "destroyed": "damaged"}
        last = path.rpartition("/")[2]
        world.destruction(before.get(last, "complete"), "PT Olah" if last == "report" else "")
    if path.endswith("/replay"):
        from gateway.records import Actor, Device

        device = Device("LOG-77", "PKM-A", "E1", "bthome")
        world.records.upsert_device(device, Actor("wiring", "super_admin"), "new", world.clock.now_ms())


def furnish_elsewhere(world: Any) -> None:
    """A weighing, a quarantined message and a destruction in the other region."""
    from dataclasses import replace

    from gateway.records import Actor, Device

    boss, now_ms = Actor("wiring", "super_admin"), world.clock.now_ms()
    world.records.upsert_device(Device("SCALE-9", "PKM-C", "E9", "scale_st_us"), boss, "new", now_ms)
    here = world.records.weighing("W1")
    world.records.save_weighings([replace(here, id="W9", site="PKM-C", device="SCALE-9")], now_ms)
    world.records.open_destruction("PKM-C", "BAST/9", "", boss, "", now_ms)
    item = world.records.quarantine_item("Q1")
    world.records.quarantine(replace(item, id="Q9", site="PKM-C"))
