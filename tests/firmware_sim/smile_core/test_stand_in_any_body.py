"""Whatever a caller sends, each program answers in its own shape (facts/smile-core-api.md section 7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NAMES = st.sampled_from(
    [
        "entity_id",
        "activity_id",
        "entity_activity_id",
        "materials",
        "stock_id",
        "material_id",
        "qty",
        "bast_no",
        "sender",
        "customer_id",
        "disposal_items",
        "stocks",
        "disposal_stocks",
        "disposal_stock_id",
        "device_id",
        "curr_temp",
        "wasteSourceId",
        "wasteClassificationId",
        "weight",
        "qrCode",
        "scaleMethod",
        "bastNo",
        "status",
        "items",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-5, 10**6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
BODIES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6), max_leaves=12
)
ROUTES = [
    ("POST CORE/api/auth/login", {"message"}),
    ("POST CORE/api/v2/histories/push", {"message"}),
    ("POST CORE/api/assets", {"message"}),
    ("POST MAIN/transactions/discard-stock", {"message"}),
    ("POST MAIN/disposal/instructions", {"message"}),
    ("POST MAIN/api/wms/disposal/cancellation", {"message"}),
    ("POST WMS/api/v1/waste-bag-qrcode", {"status"}),
    ("POST WMS/api/v1/mobile/enter-weight", {"status"}),
    ("POST WMS/api/v1/bast", {"status"}),
    ("PUT WMS/api/v1/bast/confirm", {"status"}),
]


@pytest.mark.parametrize(("route", "keys"), ROUTES, ids=[route for route, _ in ROUTES])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES)
def test_any_json_is_answered_in_the_programs_shape(
    make_lab: Callable[..., Any], route: str, keys: set[str], body: Any
) -> None:
    answer = make_lab().call(route, who="wmslab" if "WMS" in route or "wms" in route else "managerlab", json=body)
    assert answer.status_code in (200, 400, 404, 422, 500)
    if answer.status_code != 200:
        assert keys <= answer.json().keys()
