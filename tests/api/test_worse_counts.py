"""Contradicting rows: the worse one counts, on pages and in JSON, and it is said (design.md Identity; cold-chain.md 9).

Over both stores, each with its own way to a stream's last rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from alerts.rules import RangeState
from api.questions import EquipmentView, Questions
from gateway.records import Actor, Device
from ingest.store import Row, SqliteStore, Store
from telemetry.readings import Origin, Quality, Sync

MINUTE = 60_000
HOUR = 60 * MINUTE
STREAM = "LOG-2/temperature_c"


def row(t_ms: int, value: str | None, device_seq: int | None = None, stream: str = STREAM) -> Row:
    return Row(
        site="PKM-A",
        stream_id=stream,
        t_ms=t_ms,
        value=None if value is None else Decimal(value),
        quality=Quality.SENSOR_FAULT if value is None else Quality.GOOD,
        origin=Origin.LIVE,
        device_seq=device_seq,
        variant=0,
        edge="E1",
        epoch="e1",
        seq=t_ms // 1000,
        sync=Sync.SYNCED,
        max_error_ms=5,
        received_at_ms=t_ms + 2000,
    )


@pytest.fixture(scope="session")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from ingest.store.local_influx import LocalInflux

    server = LocalInflux(tmp_path_factory.mktemp("influx"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", pytest.param("influx", marks=pytest.mark.neighbour("influxdb"))])
def store(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Store]:
    """A store of its own: in the world's there are readings already."""
    made: Store
    if request.param == "sqlite":
        made = SqliteStore(tmp_path / "own.db")
    else:
        from ingest.store.influx import InfluxStore

        server = request.getfixturevalue("influx")
        bucket = f"b{tmp_path.name}".replace("-", "_")
        server.make_bucket(bucket)
        made = InfluxStore(server.url, server.org, bucket, server.token, index_path=tmp_path / "index.db")
    yield made
    made.close()


@pytest.fixture
def look(world: Any, store: Store) -> Callable[[], EquipmentView]:
    """Refrigerator B (2 to 8 C, a reading each 600 s) as the questions see it over this store."""
    questions: Questions = replace(world.app.state.desk.questions, store=store)
    site = world.records.site("PKM-A")
    return lambda: questions.equipment_view(site, "KULKAS-B", world.clock.now)


@pytest.mark.parametrize("device_seq", [None, 7])
@pytest.mark.parametrize(
    ("values", "shown", "state"),
    [
        (("9.0", "5.0"), "9.0", "out"),
        (("1.0", "5.0"), "1.0", "out"),
        (("5.0", "9.0", "-3.0"), "-3.0", "out"),  # 5 below its limit is further than 1 above
        (("5.0", "4.0"), "4.0", "in"),  # both in range: the one nearer to a limit is shown
        (("5.0", None), None, "unknown"),  # in range cannot be said
        (("9.0", None), "9.0", "out"),
    ],
)
def test_9_of_the_last_instants_variants_the_worse_one_is_judged(
    world: Any,
    store: Store,
    look: Callable[[], EquipmentView],
    device_seq: int | None,
    values: tuple[str | None, ...],
    shown: str | None,
    state: str,
) -> None:
    """Stored 9.0, then 5.0 for the same identity: out, in either order, and the conflict is told."""
    t_ms = world.clock.now - MINUTE
    for value in values:
        store.append([row(t_ms - 600_000, "5.0", None if device_seq is None else device_seq - 1)])
        store.append([row(t_ms, value, device_seq)])
    assert store.count(STREAM) == 1 + len(values)
    view = look()
    assert view.latest is not None
    assert (view.range_state.value, view.conflict) == (state, True)
    assert view.latest.value == (None if shown is None else Decimal(shown))


def test_9_any_order_of_arrival_says_the_same(world: Any, tmp_path: Any) -> None:
    t_ms, seen = world.clock.now - MINUTE, set()
    site = world.records.site("PKM-A")
    for n, order in enumerate(itertools.permutations(["9.0", "5.0", "1.9", None])):
        own = SqliteStore(tmp_path / f"{n}.db")
        own.append([row(t_ms, value) for value in order])
        view = replace(world.app.state.desk.questions, store=own).equipment_view(site, "KULKAS-B", world.clock.now)
        assert view.latest is not None
        seen.add((view.range_state, view.latest.value, view.conflict, view.state))
        own.close()
    assert len(seen) == 1
    assert next(iter(seen))[:3] == (RangeState.OUT, Decimal("9.0"), True)


def test_a_number_told_again_with_another_time_and_value_is_one_instant(
    world: Any, store: Store, look: Callable[[], EquipmentView]
) -> None:
    """One device number, 9.0 two minutes ago and 5.0 now: the same identity, so 9.0 counts."""
    store.append([row(world.clock.now - 2 * MINUTE, "9.0", 7)])
    store.append([row(world.clock.now - MINUTE, "5.0", 7)])
    assert (look().range_state, look().conflict) == (RangeState.OUT, True)


def test_two_numbers_at_one_time_are_both_judged(world: Any, store: Store, look: Callable[[], EquipmentView]) -> None:
    store.append([row(world.clock.now - MINUTE, "9.0", 7), row(world.clock.now - MINUTE, "5.0", 8)])
    assert (look().range_state, look().conflict) == (RangeState.OUT, True)


def test_what_was_said_earlier_is_no_conflict(world: Any, store: Store, look: Callable[[], EquipmentView]) -> None:
    """A warm reading, then a fine one: recovered; the same row twice is no conflict either."""
    store.append([row(world.clock.now - 11 * MINUTE, "9.0"), row(world.clock.now - MINUTE, "5.0")])
    store.append([row(world.clock.now - MINUTE, "5.0")])
    assert (look().range_state, look().conflict, look().state.word) == (RangeState.IN, False, "in")


def test_of_two_loggers_the_one_that_is_out_is_shown(
    world: Any, store: Store, look: Callable[[], EquipmentView]
) -> None:
    device = Device("LOG-3", "PKM-A", "E1", "bthome", "KULKAS-B", 600)
    world.records.upsert_device(device, Actor("wiring", "super_admin"), "a second one", world.clock.now)
    store.append(
        [row(world.clock.now - 5 * MINUTE, "9.1"), row(world.clock.now, "5.0", stream="LOG-3/temperature_c")]
    )
    view = look()
    assert view.latest is not None
    assert (view.latest.value, view.range_state, view.conflict) == (Decimal("9.1"), RangeState.OUT, False)


def test_9_the_day_holds_the_worse_value(world: Any, store: Store, look: Callable[[], EquipmentView]) -> None:
    """Chart and table: 9.0 and 5.0 at one time is out until the next reading; both ends are drawn."""
    now = world.clock.now
    times = range(now - 2 * HOUR, now, 10 * MINUTE)
    store.append([row(t, "5.0") for t in times])
    store.append([row(now - HOUR, "9.0"), row(now - HOUR, "-1.0")])
    view = look()
    questions: Questions = replace(world.app.state.desk.questions, store=store)
    day = questions.day(view, STREAM, now)
    assert (day.out_ms, day.conflicts) == (10 * MINUTE, 1)
    assert {p.value for p in day.points if p.t_ms == now - HOUR} == {Decimal("9.0"), Decimal("-1.0")}
    hour = next(h for h in day.hours if h.from_ms <= now - HOUR < h.from_ms + HOUR)
    assert (hour.low_c, hour.high_c, hour.state) == (Decimal("-1.0"), Decimal("9.0"), RangeState.OUT)
    counted = questions.counters(view, "Asia/Jayapura", now).last_24h
    assert [b.ms for b in counted.beyond] == [10 * MINUTE] * 3  # above 8, below 2, at or below -0.5


def test_9_page_and_json_say_that_there_is_a_conflict(world: Any) -> None:
    """In word and sign; where nothing contradicts, nothing is said."""
    t_ms = world.clock.now - MINUTE
    quiet = world.as_role("operator").get("/api/v1/sites/PKM-A/equipment/KULKAS-B").json()
    assert (quiet["conflict"], quiet["range_state"]) == (False, "in")
    assert "contradicts" not in world.log_in("operator").get("/sites/PKM-A/equipment/KULKAS-B").text
    world.store.append([row(t_ms, "9.0")])
    world.store.append([row(t_ms, "5.0")])
    told = world.as_role("operator").get("/api/v1/sites/PKM-A/equipment/KULKAS-B").json()
    assert (told["conflict"], told["range_state"], told["state"], told["latest"]["value"]) == (True, "out", "out", 9)
    listed = {e["id"]: e["conflict"] for e in world.as_role("operator").get("/api/v1/sites/PKM-A/equipment").json()}
    assert listed == {"KULKAS-A": False, "KULKAS-B": True, "FREEZER-A": False}
    for language, word in (("en", "The device contradicts itself"), ("id", "Data alat bertentangan")):
        asker = world.log_in("operator", language)
        for path in ("/sites/PKM-A", "/sites/PKM-A/equipment/KULKAS-B"):
            html = asker.get(path).text
            before, _, _ = html.partition(word)
            assert word in html, path
            assert before.endswith("</svg>"), path  # its sign stands before the word
        day = asker.get("/sites/PKM-A/equipment/KULKAS-B").text
        assert {"en": "Contradicting data: 1;", "id": "Data bertentangan: 1;"}[language] in day


def test_5_the_counters_of_today_and_24_h_are_on_the_page_and_in_json(world: Any) -> None:
    """Refrigerator A: 9.3 for 10 h 55 min until now (17:00 WIT), two hours of the night and 5 min unknown."""
    told = world.as_role("operator").get("/api/v1/sites/PKM-A/equipment/KULKAS-A").json()
    today, day = told["counters"]
    assert (today["span"], today["from_ms"]) == ("today", world.clock.now - 17 * HOUR)
    assert (day["span"], day["from_ms"], day["to_ms"]) == ("24h", world.clock.now - 24 * HOUR, world.clock.now)
    hot = {"comparator": ">", "limit_c": 8, "codes": ["EXCURSION_HIGH", "WARNING_HIGH", "HEAT"]}
    for counted, unknown_min in ((today, 65), (day, 125)):
        assert counted["beyond"][0] == hot | {"beyond_ms": 655 * MINUTE}
        assert [(b["comparator"], b["limit_c"], b["beyond_ms"]) for b in counted["beyond"][1:]] == [
            ("<", 2, 0),
            ("<=", -0.5, 0),
        ]
        assert counted["unknown_ms"] == unknown_min * MINUTE
        assert counted["known_ms"] + counted["unknown_ms"] == counted["to_ms"] - counted["from_ms"]
    page = world.log_in("operator").get("/sites/PKM-A/equipment/KULKAS-A").text
    for label, shown in (
        ("Above 8.0 °C", ("10 h 55 min", "10 h 55 min")),
        ("Freezing: −0.5 °C or below", ("0 s", "0 s")),
        ("Unknown", ("1 h 5 min", "2 h 5 min")),
    ):
        cells = "".join(
            f'<td class="number" data-label="{when}">{text}</td>'
            for when, text in zip(("Today", "24 hours"), shown, strict=True)
        )
        assert f'<tr><th scope="row">{label}</th>{cells}</tr>' in page


def test_without_readings_all_of_the_day_is_unknown(world: Any) -> None:
    told = world.as_role("operator").get("/api/v1/sites/PKM-A/equipment/FREEZER-A").json()
    assert [c["unknown_ms"] for c in told["counters"]] == [17 * HOUR, 24 * HOUR]
    assert {b["beyond_ms"] for c in told["counters"] for b in c["beyond"]} == {0}
