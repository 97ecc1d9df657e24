"""From adverts to the outbox, without a radio: one commit, repeats, refusals, a full disk, holes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edge import history
from edge.config import BleSettings, DeviceSettings
from edge.decoders import bthome
from edge.decoders.frames import Advert
from edge.outbox import MemoryOutbox, Outbox, SqliteOutbox
from edge.sources.ble import BleSource
from edge.supervisor import Outage
from telemetry.clock import stamp
from telemetry.errors import NeighbourDownError
from telemetry.readings import Reading

LOGGER = DeviceSettings("LOG-1", "bthome", "A4:C1:38:00:00:01", interval_s=60)
TAG = DeviceSettings("RV-1", "ruuvi", "CB:B8:33:4C:88:4F", interval_s=300)
DF5 = bytes.fromhex("0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F")


def source(outbox: Outbox, clock: Any, *devices: DeviceSettings) -> BleSource:
    return BleSource(devices or (LOGGER,), BleSettings(), clock, outbox, lambda: None, Outage("bluetooth"))


def packet(packet_id: int, centi_c: int = 501) -> Advert:
    data = bytes([0x40, 0, packet_id, 1, 97, 2, *centi_c.to_bytes(2, "little"), 0x10, 1, 0x1A, 0])
    return Advert(LOGGER.address, -61, {bthome.SERVICE_UUID: data})


def test_a_packet_is_five_readings_in_one_commit(outbox: Outbox, clock: Any) -> None:
    ble = source(outbox, clock)
    ble.take_all([(packet(1), stamp(clock)), (packet(1), stamp(clock))])
    facts = [n.fact for n in outbox.pending(99)]
    assert [(f.stream_id, str(f.value)) for f in facts if isinstance(f, Reading)] == [
        ("LOG-1/battery_percent", "97"),
        ("LOG-1/temperature_c", "5.01"),
        ("LOG-1/mains_power_on", "1"),
        ("LOG-1/door_open", "0"),
        ("LOG-1/rssi_dbm", "-61"),
    ]
    assert all(f.sampled_at_ms == clock.wall_ms for f in facts)


def test_after_a_restart_the_packet_on_the_air_is_a_repeat(outbox: Outbox, clock: Any) -> None:
    source(outbox, clock).take_all([(packet(1), stamp(clock))])
    again = source(outbox, clock)
    clock.go(30)
    again.take_all([(packet(1), stamp(clock))])
    assert outbox.usage().numbered_to == 5
    again.take_all([(packet(2), stamp(clock))])
    assert outbox.usage().numbered_to == 10


def test_a_full_disk_takes_nothing_and_the_next_hearing_does(tmp_path: Path, clock: Any) -> None:
    outbox = SqliteOutbox(tmp_path / "o.db")
    ble = source(outbox, clock)
    pages = outbox._db.execute("PRAGMA page_count").fetchone()[0]
    outbox._db.execute(f"PRAGMA max_page_count={pages}")

    def fill() -> None:
        for i in range(500):
            ble.take_all([(packet(i % 256, i), stamp(clock))])

    with pytest.raises(NeighbourDownError, match="full"):
        fill()
    taken = outbox.usage().numbered_to
    assert taken % 5 == 0
    outbox._db.execute("PRAGMA max_page_count=100000")
    ble.take_all([(packet((taken // 5) % 256, taken // 5), stamp(clock))])
    assert outbox.usage().numbered_to == taken + 5
    outbox.close()


def test_a_bad_advert_is_counted_and_stops_nothing(clock: Any) -> None:
    outbox = MemoryOutbox()
    ble = source(outbox, clock)
    bad = Advert(LOGGER.address, -61, {bthome.SERVICE_UUID: b"\x40\x02\xca"})
    ble.take_all([(bad, stamp(clock)), (packet(1), stamp(clock)), (bad, stamp(clock))])
    assert outbox.usage().numbered_to == 5
    assert ble.refused == {"LOG-1:truncated": 2}


def test_a_hole_is_kept_with_the_packet_that_ended_it(outbox: Outbox, clock: Any) -> None:
    """Also when the agent was not running: what was heard last is a hint in the outbox."""
    source(outbox, clock, TAG).take_all([(Advert(TAG.address, -70, manufacturer_data={0x0499: DF5}), stamp(clock))])
    began = clock.now_ms()
    clock.go(3600)
    later = DF5[:16] + b"\x00\xce" + DF5[18:]
    source(outbox, clock, TAG).take_all([(Advert(TAG.address, -70, manufacturer_data={0x0499: later}), stamp(clock))])
    assert history.load(outbox.hint(history.hint_key("RV-1"))) == ((began, clock.now_ms()),)


def test_a_hole_closes_only_when_it_is_read_to_its_end() -> None:
    holes = ((0, 1000), (2000, 3000))
    assert history.read_up_to(holes, (0, 1000), 400) == ((400, 1000), (2000, 3000))
    assert history.read_up_to(holes, (0, 1000), None) == ((2000, 3000),)
    assert history.hole_between(0, 90_000, 60) is None
    assert history.hole_between(0, 90_001, 60) == (0, 90_001)
    assert history.hole_between(None, 90_001, 60) is None


def test_a_loggers_silence_without_memory_opens_no_hole(outbox: Outbox, clock: Any) -> None:
    ble = source(outbox, clock)
    ble.take_all([(packet(1), stamp(clock))])
    clock.go(3600)
    ble.take_all([(packet(2), stamp(clock))])
    assert outbox.hint(history.hint_key("LOG-1")) is None


def test_without_a_bus_the_error_is_one_the_supervisor_expects(
    clock: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """devices.md 1.3, finding 2: no D-Bus socket is a bare FileNotFoundError."""
    from edge.sources.ble import EXPECTED

    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    with pytest.raises(EXPECTED):
        asyncio.run(source(MemoryOutbox(), clock).run())
