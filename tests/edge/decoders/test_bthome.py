"""BTHome v2: the vectors BT1 to BT11 of facts/devices.md 2.1, and what must be refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.decoders import ADVERT_DECODERS, bthome
from edge.decoders.frames import Advert, FrameError
from telemetry.readings import Quality

VECTORS = [
    ("BT1", "40 02 CA09 03 BF13", {"temperature_c": "25.06", "humidity_percent": "50.55"}),
    ("BT2", "40 45 1101", {"temperature_c": "27.3"}),
    ("BT3", "40 06 5E1F", {"mass_kg": "80.30"}),
    (
        "BT4",
        "40 00 09 01 61 02 CA09 0C 020C",
        {"battery_percent": "97", "temperature_c": "25.06", "voltage_v": "3.074"},
    ),
    ("BT5", "40 3A 01", {}),
    ("BT6", "40 02 F8F8", {"temperature_c": "-18.00"}),
    ("BT7", "40 45 E0FC", {"temperature_c": "-80.0"}),
    ("BT8", "40 01 61 2E 32", {"battery_percent": "97", "humidity_percent": "50"}),
    ("BT9", "40 02 CA09 7F 1234", {"temperature_c": "25.06"}),
]


def hexes(text: str) -> bytes:
    return bytes.fromhex(text.replace(" ", ""))


@pytest.mark.parametrize(("name", "data", "values"), VECTORS, ids=[v[0] for v in VECTORS])
def test_the_published_vectors_decode(name: str, data: str, values: dict[str, str]) -> None:
    decoded = bthome.decode_service_data(hexes(data))
    assert {m.quantity: str(m.value) for m in decoded.measurements} == values


def test_bt4_carries_the_packet_id() -> None:
    assert bthome.decode_service_data(hexes(VECTORS[3][1])).packet_id == 9
    assert bthome.decode_service_data(hexes(VECTORS[0][1])).packet_id is None


def test_bt10_a_truncated_advert_is_refused_whole() -> None:
    for data in ("40 02 CA", "40 01 61 02 CA", "40 00"):
        with pytest.raises(FrameError, match="truncated"):
            bthome.decode_service_data(hexes(data))


def test_bt11_an_encrypted_advert_without_key_gives_no_values() -> None:
    with pytest.raises(FrameError, match="encrypted"):
        bthome.decode_service_data(hexes("41 A47266C95F73 00112233 78237214"))


def test_a_cold_chain_loggers_advert_gives_power_and_door() -> None:
    advert = Advert("A4:C1:38:00:00:01", -60, {bthome.SERVICE_UUID: hexes("40 00 07 01 61 02 CA09 10 01 1A 00")})
    decoded = ADVERT_DECODERS["bthome"].decode(advert)
    assert [(m.quantity, m.value) for m in decoded.measurements] == [
        ("battery_percent", 97),
        ("temperature_c", Decimal("25.06")),
        ("mains_power_on", 1),
        ("door_open", 0),
    ]


def test_the_missing_temperature_is_none_and_a_sensor_fault() -> None:
    (temperature,) = bthome.decode_service_data(hexes("40 02 0080")).measurements
    assert (temperature.value, temperature.quality) == (None, Quality.SENSOR_FAULT)


def test_a_second_probe_gets_a_channel() -> None:
    first, second = bthome.decode_service_data(hexes("40 02 CA09 02 F8F8")).measurements
    assert (first.channel, second.channel) == ("", "2")


@pytest.mark.parametrize("data", ["", "20 02 CA09", "40 10 02"])
def test_what_is_no_bthome_v2_is_refused(data: str) -> None:
    with pytest.raises(FrameError):
        bthome.decode_service_data(hexes(data))


def test_other_service_data_is_not_ours() -> None:
    with pytest.raises(FrameError, match="not_bthome"):
        bthome.decode(Advert("A4:C1:38:00:00:01", None, {"0000180f-0000-1000-8000-00805f9b34fb": b"\x64"}))


@given(st.binary(max_size=40))
def test_no_bytes_break_the_decoder(data: bytes) -> None:
    """Any bytes either decode or are refused with a reason; values stay within what the format can say."""
    try:
        decoded = bthome.decode_service_data(data)
    except FrameError:
        return
    assert decoded.payload == data
    assert all(m.value is None or abs(m.value) < 3277 for m in decoded.measurements)


@given(st.integers(0, 255), st.integers(-32767, 32767))
def test_what_is_encoded_is_decoded(packet_id: int, centi_c: int) -> None:
    data = bytes([0x40, 0x00, packet_id, 0x02]) + centi_c.to_bytes(2, "little", signed=True)
    decoded = bthome.decode_service_data(data)
    assert decoded.packet_id == packet_id
    assert decoded.measurements[0].value == Decimal(centi_c) / 100
