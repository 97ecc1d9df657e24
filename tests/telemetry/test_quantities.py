"""Streams and quantities: a name says device, quantity and unit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.errors import ContractError
from telemetry.quantities import QUANTITIES, StreamId, parse_stream_id, stream_id


@given(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}", fullmatch=True),
    st.sampled_from(list(QUANTITIES)),
    st.just("") | st.from_regex(r"[A-Za-z0-9_\-]{1,16}", fullmatch=True),
)
def test_a_stream_id_comes_back_in_parts(serial: str, quantity: str, channel: str) -> None:
    parts = parse_stream_id(stream_id(serial, quantity, channel))
    assert parts == StreamId(serial, quantity, channel)
    assert str(parts) == stream_id(serial, quantity, channel)


@pytest.mark.parametrize(
    "text",
    ["", "T1", "/temperature_c", "T1/", "T1/temperature", "-T/temperature_c", "a/temperature_c/b/c",
     "T1/temperature_c/x y", "T1\n/temperature_c", "x" * 65 + "/temperature_c", "T1/temperature_c/" + "x" * 17],
)  # fmt: skip
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(ContractError) as caught:
        parse_stream_id(text)
    assert caught.value.reason == "bad_stream"


@pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=lambda q: q.name)
def test_bounds_are_bounds_and_units_are_named(quantity: object) -> None:
    assert quantity.low < quantity.high  # type: ignore[attr-defined]
    assert quantity.unit  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "ds01"),
    [("temperature_c", "TVC"), ("ambient_temperature_c", "TAMB"), ("mains_power_on", "SVA"), ("door_open", "DORV")],
)
def test_quantities_map_to_the_who_objects_of_design_md(name: str, ds01: str) -> None:
    assert QUANTITIES[name].ds01 == ds01
