"""The alerts service end to end: a journal with door, power, battery and sensor readings gives findings in the records."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from alerts import equipment_judge
from alerts.equipment_judge import EquipmentJudge, Watched
from gateway.records import Actor, FindingKind, QuarantineItem, Role
from telemetry.errors import NeighbourDownError
from telemetry.readings import Quality, Reading, Stamp, Sync

MIN = 60_000
HOUR = 60 * MIN
DAY = 24 * HOUR
SARI = Actor("Sari", Role.MANAGER)


def said(t_ms: int, quantity: str, value: str | None, serial: str = "LOG-A") -> Reading:
    quality = Quality.SENSOR_FAULT if value is None else Quality.GOOD
    number = None if value is None else Decimal(value)
    return Reading(f"{serial}/{quantity}", number, t_ms, Stamp("b1", 0, t_ms, Sync.SYNCED), quality=quality)


def calm(start: int, from_h: float, to_h: float, serial: str = "LOG-A") -> list[Reading]:
    times = range(start + int(from_h * HOUR), start + int(to_h * HOUR) + 1, 15 * MIN)
    return [
        said(t, "temperature_c", str(Decimal("5.0") + Decimal(i * 7 % 13) / 10), serial) for i, t in enumerate(times)
    ]


def test_door_power_battery_and_sensor_findings_stand_in_the_records(world: Any, start: int) -> None:
    """Requirements 11, 12, 30, 31, 32 through journal, memory, rules and records."""
    world.alerts.start()
    story = calm(start, 0, 6)
    story[5] = said(start + 75 * MIN, "temperature_c", None)
    story[9] = said(start + 135 * MIN, "temperature_c", "60")
    for i in range(1, 25):
        t_ms = start + i * 15 * MIN
        story += [
            said(t_ms, "door_open_s", "467" if i == 5 else "0", "EMD-1"),
            said(t_ms, "door_openings", "1" if i == 5 else "0", "EMD-1"),
            said(t_ms, "mains_available_s", "0" if i > 20 else "900", "EMD-1"),
            said(t_ms, "compressor_run_s", "600", "EMD-1"),
            said(t_ms, "holdover_d", "0.2", "EMD-1"),
            said(t_ms, "battery_percent", "15"),
        ]
    world.device("EMD-1", "F1")
    world.say(*story)
    world.at(6.05)
    (door,) = world.found("DOOR")
    assert (door.kind, door.site, door.device, door.profile) == (FindingKind.CONFIRMED, "S1", "EMD-1", "sensor_rules")
    assert door.evidence["details"] == {"device": "EMD-1", "open_s": "467"}
    (low,) = world.found("HOLDOVER_LOW")
    assert (low.event_ms, low.evidence["details"]) == (start + 315 * MIN, {"hours_left": "4.8"})
    (fault,) = world.found("SENSOR_FAULT")
    assert (fault.device, fault.evidence["level"]) == ("LOG-A", "warning")
    (bound,) = world.found("RANGE_BOUND")
    assert bound.extreme_c == Decimal("60")
    assert [f.evidence["reason"] for f in world.found("FEED")] == ["ran_longer_than_mains"]
    assert world.found("BATTERY_LOW")[0].evidence["details"] == {"percent": "15"}
    # What a sensor rule says alarms nobody unless a requirement says so, and the temperature still counts.
    assert ("DOOR", "F1", None, "open") in world.alarms()
    assert {code for code, *_ in world.alarms()} == {"DOOR"}
    assert world.found("EXCURSION_HIGH")[0].extreme_c == Decimal("60")


def test_a_second_start_says_nothing_anew_and_forgets_nothing(world: Any, start: int) -> None:
    world.alerts.start()
    world.say(
        *calm(start, 0, 20), *(said(start + 20 * HOUR + i * 15 * MIN, "temperature_c", "6.6") for i in range(20))
    )
    world.at(24.7)
    (stuck,) = world.found("STUCK")
    rows = world.records.newest_change()
    world.again()
    world.turn()
    world.at(24.72)
    assert world.records.newest_change() == rows
    world.say(said(start + 25 * HOUR, "temperature_c", "5.5"))
    world.at(25)
    (over,) = world.found("STUCK")
    assert (over.id, over.end_ms) == (stuck.id, start + 25 * HOUR)


def test_an_offline_device_is_classed_as_time_goes_by_and_its_backlog_takes_it_back(world: Any, start: int) -> None:
    """cold-chain 6, 13 and smile 14: the class grows with the gap; the finding is withdrawn when the readings come."""
    world.alerts.start()
    world.say(*calm(start, 0, 1))
    world.at(1)
    classes = []
    for hour in (1.8, 2.1, 11.1):
        world.at(hour)
        classes.append(world.found("OFFLINE")[0].evidence["reason"])
    assert classes == ["under_1h", "1_to_10h", "over_10h"]
    world.say(*calm(start, 1, 11))
    world.at(11.2)
    assert [(f.kind, f.evidence["reason"]) for f in world.found("OFFLINE")] == [(FindingKind.WITHDRAWN, "late_data")]


def test_late_facts_from_a_time_that_was_let_go_of_are_judged_by_what_the_memory_has(world: Any, start: int) -> None:
    world.device("LOG-C", "F1")
    world.alerts.start()
    for day in range(4):
        world.say(*calm(start, 24 * day, 24 * day + 23.75))
        world.at(24 * day + 23.8)
    assert world.found("SENSOR_FAULT") == []
    world.say(said(start + 30 * HOUR, "temperature_c", None, "LOG-C"))
    world.at(96)
    (fault,) = world.found("SENSOR_FAULT")
    assert fault.episode_start_ms == start + 30 * HOUR


def test_req_35_after_a_start_the_temperature_alarm_does_not_wait_for_the_past_of_sensors(
    world: Any, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alarm comes in the next turn, while the look-back is read slice by slice; then the same stands as before."""
    monkeypatch.setattr(equipment_judge, "_FACTS_A_TURN", 60)
    world.device("LOG-C", "F1")
    world.alerts.start()
    world.say(*calm(start, 0, 48), *calm(start, 0, 20, "LOG-C"), *calm(start, 0, 30, "LOG-B"))
    world.say(said(start + HOUR, "temperature_c", None), said(start + 49 * HOUR, "battery_percent", "5"))
    world.at(49)
    before = [(f.id, f.kind, f.event_ms, f.end_ms) for f in world.records.findings()]
    assert {"SENSOR_FAULT", "BATTERY_LOW", "OFFLINE"} <= {f.code for f in world.records.findings()}
    again = world.again(start=False)
    again.start()
    assert again.turn()
    assert [(f.id, f.kind, f.event_ms, f.end_ms) for f in world.records.findings()] == before
    world.say(*world.temperatures(48.25, 59, "8.5"))
    world.clock.wall_ms = start + 59 * HOUR
    turns = 0
    while not world.found("HEAT"):
        assert again.turn()
        turns += 1
    assert turns <= 8  # the 44 readings are an upload; whatever the rest of the past, this many turns are enough
    assert again._sensors.is_behind()
    world.turn()
    assert not again._sensors.is_behind()
    known = {i: end for i, _, _, end in before if end is not None}
    assert known.items() <= {f.id: f.end_ms for f in world.records.findings()}.items()
    assert [f.kind for f in world.found("SENSOR_FAULT")] == [FindingKind.CONFIRMED]


def test_a_past_whose_reading_broke_off_is_read_again(
    world: Any, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(equipment_judge, "_FACTS_A_TURN", 20)
    world.alerts.start()
    world.say(*calm(start, 0, 24), said(start + 23 * HOUR + MIN, "temperature_c", None))
    again = world.again(start=False)
    again.start()
    world.clock.wall_ms = start + 24 * HOUR
    assert again.turn()
    reads = 0

    def breaks(*_: Any) -> Any:
        nonlocal reads
        reads += 1
        raise NeighbourDownError("alerts' memory", "gone", advice="")

    with monkeypatch.context() as patched:
        patched.setattr(equipment_judge, "islice", breaks)
        with pytest.raises(NeighbourDownError):
            again.turn()
    world.turn()
    assert reads == 1
    assert [f.episode_start_ms for f in world.found("SENSOR_FAULT")] == [start + 23 * HOUR + MIN]


def test_req_38_an_expired_certificate_is_said_and_over_with_the_next_one(world: Any, start: int) -> None:
    """Readings after the certificate's end stay (they alarm as before); the finding says that they are uncalibrated."""
    device = world.records.device("LOG-A")
    world.records.upsert_device(
        replace(device, calibrated_until_ms=start + 2 * HOUR), SARI, "certificate 2025-17", world.clock.wall_ms
    )
    world.alerts.start()
    world.say(*world.temperatures(0, 12, "9.0"))
    world.at(12)
    (gone,) = world.found("UNCALIBRATED")
    assert (gone.event_ms, gone.end_ms, gone.evidence["details"]) == (start + 2 * HOUR, None, {"device": "LOG-A"})
    assert ("HEAT", "F1", None, "open") in world.alarms()
    device = world.records.device("LOG-A")
    world.records.upsert_device(
        replace(device, calibrated_until_ms=start + 400 * DAY), SARI, "calibrated anew", world.clock.wall_ms
    )
    world.at(12.1)
    assert world.found("UNCALIBRATED")[0].end_ms == start + 12 * HOUR


@pytest.mark.parametrize("reason", ["clock_ahead", "clock_behind", "before_service"])
def test_req_10_a_message_refused_for_its_clock_is_a_clock_alarm(world: Any, start: int, reason: str) -> None:
    """cold-chain 6, 10: quarantined, no episode, and an alarm that a person answers."""
    world.alerts.start()
    world.records.quarantine(
        QuarantineItem("", "S1", "E1", "ep1", "t", reason, "", start + HOUR, b"x", serials=("LOG-A",))
    )
    world.at(1.1)
    (clock,) = world.found("CLOCK")
    assert (clock.evidence["reason"], clock.evidence["details"]) == (reason, {"device": "LOG-A"})
    assert world.alarms() == [("CLOCK", "F1", None, "open")]
    world.at(26)
    assert world.found("CLOCK")[0].end_ms == start + HOUR


@pytest.mark.parametrize("quantity", ["door_open", "mains_power_on"])
def test_states_of_door_and_mains_are_judged_by_the_profiles_rows(world: Any, start: int, quantity: str) -> None:
    """`door_open` and `mains_power_on` as states: the same codes, from `profiles.toml`."""
    world.alerts.start()
    bad, code = ("1", "DOOR") if quantity == "door_open" else ("0", "POWR")
    world.say(*(said(start + i * 15 * MIN, quantity, bad) for i in range(98)))
    world.at(24.3)
    (found,) = world.found(code)
    assert found.profile == "refrigerator"


def test_what_goes_on_of_a_device_ends_when_it_is_moved_and_is_not_called_wrong(world: Any, start: int) -> None:
    """LOG-A is offline at F1 and its battery is low; it is put into F2: both findings end, none is withdrawn."""
    world.alerts.start()
    world.say(*calm(start, 0, 1), said(start, "battery_percent", "5"))
    world.at(3)
    assert [f.end_ms for code in ("OFFLINE", "BATTERY_LOW") for f in world.found(code)] == [None, None]
    world.device("LOG-A", "F2")
    world.at(3.5)
    for code in ("OFFLINE", "BATTERY_LOW"):
        (left,) = world.found(code)
        assert (left.kind, left.end_ms) == (FindingKind.CONFIRMED, start + int(3.5 * HOUR))
        assert left.evidence["reason"] == "device_left"
    world.again()
    world.at(5)
    assert {str(f.kind) for code in ("OFFLINE", "BATTERY_LOW") for f in world.found(code)} == {"confirmed"}


def test_what_was_over_of_a_device_stays_said_when_it_is_moved_and_does_not_rise_where_it_goes(
    world: Any, start: int
) -> None:
    """LOG-A's lapse and its refused message were over in F1: moving it to F2 withdraws neither and opens none there."""
    world.records.quarantine(
        QuarantineItem("", "S1", "E1", "ep1", "t", "clock_ahead", "", start + HOUR, b"x", serials=("LOG-A",))
    )
    device = replace(world.records.device("LOG-A"), calibrated_until_ms=start + 2 * HOUR)
    world.records.upsert_device(device, SARI, "certificate 2025-17", world.clock.wall_ms)
    world.alerts.start()
    world.say(*calm(start, 0, 3))
    world.at(3)
    device = replace(device, calibrated_until_ms=start + 400 * DAY)
    world.records.upsert_device(device, SARI, "calibrated anew", world.clock.wall_ms)
    world.at(26)
    before = [f for code in ("UNCALIBRATED", "CLOCK") for f in world.found(code)]
    assert [(f.kind, f.end_ms) for f in before] == [("confirmed", start + 3 * HOUR), ("confirmed", start + HOUR)]
    world.records.upsert_device(replace(device, equipment="F2"), SARI, "moved", world.clock.wall_ms)
    world.at(27)
    world.again()
    world.at(28)
    assert [f for code in ("UNCALIBRATED", "CLOCK") for f in world.found(code)] == before
    assert [*world.found("UNCALIBRATED", "F2"), *world.found("CLOCK", "F2")] == []
    assert [a for a in world.alarms() if a[0] == "CLOCK"] == [("CLOCK", "F1", None, "open")]


def test_a_lapse_that_goes_on_is_said_where_the_device_comes_to_from_its_coming(world: Any, start: int) -> None:
    device = replace(world.records.device("LOG-A"), calibrated_until_ms=start + 2 * HOUR)
    world.records.upsert_device(device, SARI, "certificate 2025-17", world.clock.wall_ms)
    world.alerts.start()
    world.at(5)
    world.records.upsert_device(replace(device, equipment="F2"), SARI, "moved", world.clock.wall_ms)
    world.at(5.1)
    (left,), (here,) = world.found("UNCALIBRATED"), world.found("UNCALIBRATED", "F2")
    assert (left.event_ms, left.kind, left.end_ms is None) == (start + 2 * HOUR, "confirmed", False)
    assert (here.event_ms, here.end_ms) == (start + 5 * HOUR, None)


def test_refusals_are_read_without_their_messages_and_an_old_one_stays_said(
    world: Any, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty days on nobody asks the records for them, and the alarm that they were is history, not wrong."""
    item = QuarantineItem("", "S1", "E1", "ep1", "t", "clock_ahead", "", start + HOUR, b"x", serials=("LOG-A",))
    world.records.quarantine(item)
    monkeypatch.setattr(world.records, "quarantine_items", None)
    asked: list[int] = []
    times = world.records.refused_times
    monkeypatch.setattr(
        world.records, "refused_times", lambda reasons, from_ms: asked.append(from_ms) or times(reasons, from_ms)
    )
    world.alerts.start()
    world.at(2)
    assert [f.end_ms for f in world.found("CLOCK")] == [None]
    for hour in (26, 24 * 61, 24 * 90):
        world.at(hour)
        assert [(f.kind, f.end_ms) for f in world.found("CLOCK")] == [("confirmed", start + HOUR)]
    world.again()
    assert [(f.kind, f.end_ms) for f in world.found("CLOCK")] == [("confirmed", start + HOUR)]
    assert asked[-1] == start + 30 * DAY


def test_what_ended_is_not_said_again_and_again(world: Any, start: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Days later, with the past let go of, a look that finds nothing new writes nothing and asks the records for nothing."""
    world.alerts.start()
    for day in range(3):
        world.say(*calm(start, 24 * day, 24 * day + 23.75))
        if day == 0:
            world.say(said(start + 20 * MIN, "temperature_c", None), said(start + 25 * MIN, "battery_percent", "5"))
            world.say(said(start + 90 * MIN, "battery_percent", "90"))
        world.at(24 * day + 23.8)
    assert [f.end_ms is None for f in world.found("SENSOR_FAULT")] == [False]
    calls: list[Any] = []
    save = world.records.save_findings
    monkeypatch.setattr(world.records, "save_findings", lambda rows, at_ms: calls.append(rows) or save(rows, at_ms))
    for minutes in (1, 3, 65, 67):
        world.at(71.8 + minutes / 60 / 100)
        world.clock.wall_ms += 2 * MIN
        world.turn()
    assert calls == []


def test_records_that_do_not_answer_get_it_at_the_next_turn(
    world: Any, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.alerts.start()
    world.say(said(start, "temperature_c", None))

    def away(*_: Any) -> None:
        raise NeighbourDownError("records", "no answer", advice="")

    with monkeypatch.context() as patched:
        patched.setattr(world.records, "save_findings", away)
        with pytest.raises(NeighbourDownError):
            world.at(0.1)
    world.at(0.2)
    (fault,) = world.found("SENSOR_FAULT")
    assert fault.episode_start_ms == start


def test_a_device_offline_for_a_year_does_not_bring_the_year_into_memory(
    world: Any, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LOG-A is silent since day 0 and LOG-C says a value every 4 hours for 400 days: 60 days are held, not all."""
    world.device("LOG-C", "F1", 4 * 3600)
    world.alerts.start()
    world.say(*calm(start, 0, 1))
    world.at(4)
    (silent,) = (f for f in world.found("OFFLINE") if f.device == "LOG-A")
    times = [start + i * 4 * HOUR for i in range(400 * 6)]
    world.clock.wall_ms = times[-1]
    world.say(
        *(said(t, "temperature_c", str(Decimal("4.0") + i % 7 / Decimal(10)), "LOG-C") for i, t in enumerate(times))
    )
    world.turn()
    held: list[int] = []
    read_on = EquipmentJudge._read_on

    def counted(self: EquipmentJudge, watched: Watched, *rest: Any) -> int:
        read = read_on(self, watched, *rest)
        held.append(len(watched.track.times))
        return read

    monkeypatch.setattr(EquipmentJudge, "_read_on", counted)
    rows = world.records.newest_change()
    world.again()
    world.turn()
    assert max(held) <= 1_500 < len(times)
    assert world.records.newest_change() == rows
    assert [(f.id, f.end_ms) for f in world.found("OFFLINE") if f.device == "LOG-A"] == [(silent.id, None)]
