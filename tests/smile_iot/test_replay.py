"""``smile-iot replay`` on a data folder that the real services' parts made."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alerts.config import Config
from alerts.memory import Memory
from alerts.service import Alerts
from gateway.journal import Entry, SqliteJournal
from gateway.records import Actor, Batch, Device, Equipment, Records, Role, Site, User, open_records
from ingest.store import Row, SqliteStore
from smile_iot.__main__ import main
from telemetry.clock import SystemClock
from telemetry.contract import Upload, encode_upload, iso_utc
from telemetry.readings import Numbered, Origin, Quality, Reading, Stamp, Sync

SARI = Actor("Sari", Role.MANAGER)
MIN, HOUR, DAY = 60_000, 3_600_000, 86_400_000
STREAM, BATTERY = "LOG-A/temperature_c", "LOG-A/battery_percent"
Ask = Callable[..., dict[str, Any]]

STRICT = """
version = "test"
[refrigerator]
extends = "refrigerator"
limits = [
  { code = "HEAT", comparator = ">", limit_c = "8.0", alarm_after_s = 7200, source = "a test: two hours" },
]
"""


def readings(now_ms: int) -> list[tuple[int, Decimal]]:
    """Four days at 5 degrees, but for three hours at 9 two days ago, and eleven at 9 five days ago."""
    out = []
    for t_ms in range(now_ms - 6 * DAY, now_ms, 15 * MIN):
        ago_h = (now_ms - t_ms) / HOUR
        hot = 45 < ago_h <= 48 or 109 < ago_h <= 120
        out.append((t_ms, Decimal("9.0" if hot else "5.0") + Decimal(len(out) % 3) / 10))
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once: replay only reads."""
    now_ms = SystemClock().now_ms()
    made = [(STREAM, t, value) for t, value in readings(now_ms)]
    made += [(BATTERY, now_ms - 2 * DAY + i * HOUR, Decimal(percent)) for i, percent in enumerate((30, 15, 30))]
    return served(tmp_path_factory.mktemp("replay"), made, now_ms)


def served(
    tmp_path: Path, made: list[tuple[str, int, Decimal]], now_ms: int, people: Callable[[Records], None] | None = None
) -> Path:
    """A data folder in which the service has judged the readings, and again after what ``people`` say then."""
    clock = SystemClock()
    journal = SqliteJournal(tmp_path / "journal.db")
    with open_records(tmp_path / "records.db") as records:
        records.upsert_site(Site("S1", "Abepura", "jayapura", "Asia/Jayapura", "s0", "puskesmas"), SARI, "", 0)
        for name in ("F1", "F2"):
            fridge = Equipment(name, "S1", f"Kulkas {name}", "refrigerator", "refrigerator")
            records.upsert_equipment(fridge, SARI, "", 0)
        for serial in sorted({stream.partition("/")[0] for stream, *_ in made}):
            device = Device(serial, "S1", "E1", "ble", "F1", 900, calibrated_until_ms=now_ms - DAY)
            records.upsert_device(device, SARI, "", 0)
        contacts = ("json://127.0.0.1:1/a", "json://127.0.0.1:1/b")
        records.upsert_user(User("Nur", Role.OPERATOR, "S1", None, "id", "$argon2id$x", contacts), SARI, "", 0)
        head = User("Kepala", Role.MANAGER, None, "jayapura", "id", "$argon2id$x", ("json://127.0.0.1:1/c",))
        records.upsert_user(head, SARI, "", 0)
        batch = Batch("B1", "S1", "93001282", "Pentabio", "PB1", date(2030, 1, 1), 10)
        records.upsert_batch(batch, SARI, "", 0)
        records.add_placement("B1", "F1", now_ms - 3 * DAY, SARI, "came", now_ms - 3 * DAY)
        facts = tuple(
            Numbered(n, Reading(stream, value, t, Stamp("b", n, t, Sync.SYNCED)))
            for n, (stream, t, value) in enumerate(made, 1)
        )
        payload = encode_upload(Upload("readings", "E1", "ep1", now_ms, facts))
        journal.append([Entry("S1", "E1", "ep1", "readings", now_ms, payload)])
        memory = Memory(tmp_path / "alerts.db")
        alerts = Alerts(Config(memory_path=tmp_path / "alerts.db"), clock, journal, records, memory)
        alerts.start()
        while alerts.turn():
            pass
        if people is not None:
            people(records)
            while alerts.turn():
                pass
        memory.close()
    journal.close()
    store = SqliteStore(tmp_path / "store.db")
    store.append(
        [
            Row("S1", stream, t, v, Quality.GOOD, Origin.LIVE, None, 0, "E1", "ep1", n, Sync.SYNCED, 1, now_ms)
            for n, (stream, t, v) in enumerate(made, 1)
        ]
    )
    store.close()
    (tmp_path / "server.toml").write_text(f'[server]\ndata_dir = "{tmp_path}"\n')
    (tmp_path / "strict.toml").write_text(STRICT)
    return tmp_path


@pytest.fixture
def ask(folder: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    def asked(*words: str) -> dict[str, Any]:
        assert main(["replay", "--json", "--config", str(folder / "server.toml"), *words]) == 0
        told = capsys.readouterr()
        assert told.err == ""  # no progress where nobody looks on
        return json.loads(told.out)

    return asked


def codes(told: dict[str, Any], which: str, equipment: int = 0) -> list[str]:
    return [f["code"] for f in told["equipment"][equipment][which] if f["level"] == "alarm"]


def test_the_limits_that_held_say_what_the_service_said(ask: Ask, folder: Path) -> None:
    told = ask()
    assert codes(told, "as_is") == codes(told, "then") == ["HEAT"]
    near, region = told["equipment"][0]["messages"]["as_is"]
    assert near == {"contacts": 2, "sent": 2, "alarms_by_day": 0}
    assert region == {"contacts": 1, "sent": 1, "alarms_by_day": 0}
    assert (told["equipment"][1]["readings"], told["equipment"][1]["as_is"]) == (0, [])
    with open_records(folder / "records.db") as records:
        kept = {f.id for f in records.findings(equipment="F1") if f.batch is None and f.profile == "refrigerator"}
        assert kept == {f["id"] for f in told["equipment"][0]["as_is"] if f["profile"] == "refrigerator"}
        sensors = {f.id: f.code for f in records.findings(equipment="F1") if f.profile == "sensor_rules"}
        assert sensors == {
            f["id"]: f["code"] for f in told["equipment"][0]["as_is"] if f["profile"] == "sensor_rules"
        }
        assert sorted(sensors.values()) == ["BATTERY_LOW", "UNCALIBRATED"]
        assert told["batches"][0]["as_is"]["verdict"] == str(records.verdict("B1").verdict)  # type: ignore[union-attr]


def test_messages_are_counted_by_this_installations_manners(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The episode was over an hour after its alarm: with a flap delay of two hours nobody is woken by it."""
    config = folder / "calm.toml"
    config.write_text(f'[server]\ndata_dir = "{folder}"\n[alerts]\nflap_delay_s = 7200\n')
    assert main(["replay", "--json", "--config", str(config)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["equipment"][0]["messages"]["as_is"][0] == {"contacts": 2, "sent": 0, "alarms_by_day": 1}


def test_a_changed_profile_adds_an_alarm_messages_and_another_verdict(ask: Ask, folder: Path) -> None:
    told = ask("--profiles", str(folder / "strict.toml"))
    (first, _) = told["equipment"]
    assert (codes(told, "as_is"), codes(told, "then")) == (["HEAT"], ["HEAT", "HEAT"])
    assert first["alarms"] == {"as_is": 1, "then": 2}
    assert [m["sent"] for m in first["messages"]["as_is"]] == [2, 1]
    assert [m["sent"] for m in first["messages"]["then"]] == [4, 2]
    assert (len(first["new"]), first["gone"], len(first["other"])) == (1, [], 1)
    (batch,) = told["batches"]
    assert (batch["as_is"]["verdict"], batch["then"]["verdict"]) == ("no_action", "hold_and_inspect")


def test_another_profile_for_one_equipment(ask: Ask) -> None:
    told = ask("--profile", "room", "--equipment", "F1")
    assert [e["equipment"] for e in told["equipment"]] == ["F1"]
    assert codes(told, "then") == []
    assert "BATTERY_LOW" in {f["code"] for f in told["equipment"][0]["then"]}
    assert "EXCURSION_LOW" in {f["code"] for f in told["equipment"][0]["then"]}
    assert len(told["equipment"][0]["gone"]) >= 1


def test_only_the_span_is_told_but_judged_from_all_there_is(ask: Ask) -> None:
    assert codes(ask("--days", "3"), "as_is") == []
    assert codes(ask("--days", "5"), "as_is") == ["HEAT"]  # it fired within, and began where the span begins


def test_the_store_gives_the_same_answer_as_alerts_own_memory(ask: Ask, folder: Path) -> None:
    strict = ("--profiles", str(folder / "strict.toml"), "--site", "S1")
    own, store = ask(*strict), ask(*strict, "--from", "store")
    own.pop("to"), store.pop("to"), own.pop("from"), store.pop("from")
    assert own == store


def test_sensors_are_left_out_where_only_limits_are_asked_of(ask: Ask) -> None:
    assert "sensor_rules" in {f["profile"] for f in ask("--days", "3")["equipment"][0]["as_is"]}
    assert "sensor_rules" not in {f["profile"] for f in ask("--only-limits")["equipment"][0]["as_is"]}


def test_the_difference_is_told_in_words(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = ("--config", str(folder / "server.toml"), "--language", "en")
    assert main(["replay", "--profiles", str(folder / "strict.toml"), *config]) == 0
    out = capsys.readouterr().out
    assert "as it was -> under the profiles of strict.toml:" in out
    assert "readings; 1 -> 2 alarms, " in out
    assert "messages at once: 2 -> 4 to the 2 contacts who are told first" in out
    assert "if nobody answers: 1 -> 2 more to the next 1 contacts" in out
    assert "new: Too warm for too long (HEAT; alarm, confirmed) Kulkas F1" in out
    assert "Verdicts: 1, 1 of them another" in out
    assert "Pentabio PB1 (B1): No action [-] -> Hold and inspect [heat_confirmed]" in out
    assert main(["replay", *config]) == 0
    assert "under the limits that held:" in capsys.readouterr().out


def test_it_is_told_in_bahasa_unless_english_is_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = ("--config", str(folder / "server.toml"))
    assert main(["replay", "--profiles", str(folder / "strict.toml"), *config]) == 0
    out = capsys.readouterr().out
    assert "seperti adanya -> dengan profil dalam strict.toml:" in out
    assert "data; 1 -> 2 alarm, " in out
    assert "pesan langsung: 2 -> 4 ke 2 kontak yang pertama diberi tahu" in out
    assert "bila tidak ada yang menjawab: 1 -> 2 lagi ke 1 kontak berikutnya" in out
    assert "baru: Terlalu panas terlalu lama (HEAT; alarm, pasti) Kulkas F1" in out
    assert "Penilaian: 1, 1 di antaranya berbeda" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--profile", "freezr"), "'freezr' is not known"),
        (("--equipment", "F9"), "'F9' is not registered"),
        (("--site", "S9"), "'S9' is not registered"),
        (("--days", "0"), "0 is no span"),
        (("--profiles", "/nowhere.toml"), "/nowhere.toml"),
    ],
)
def test_a_wrong_call_is_exit_2_and_named(
    folder: Path, words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", "--config", str(folder / "server.toml"), *words]) == 2
    assert told in capsys.readouterr().err


def test_a_slip_of_the_pen_in_a_profile_is_no_all_clear(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slip = folder / "slip.toml"
    slip.write_text((folder / "strict.toml").read_text().replace("[refrigerator]", "[refigerator]"))
    assert main(["replay", "--profiles", str(slip), "--config", str(folder / "server.toml")]) == 2
    assert "nothing is judged by refigerator" in capsys.readouterr().err


def test_progress_is_a_line_that_a_terminal_overwrites(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert main(["replay", "--config", str(folder / "server.toml")]) == 0
    told = capsys.readouterr().err
    assert "1 dari 1 lokasi: S1" in told
    assert told.endswith("\r\x1b[K")


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two loggers of one place. Marked: all of a short excursion, the end of a HEAT, the middle of a second one that goes
    on; the second logger is corrected into an excursion of its own.
    """
    now_ms = SystemClock().now_ms()
    hot = ((96, 94), (72, 58), (14, 0))
    made = []
    for i, t_ms in enumerate(range(now_ms - 6 * DAY, now_ms, 15 * MIN)):
        ago_h = (now_ms - t_ms) / HOUR
        value = "9.0" if any(to < ago_h <= since for since, to in hot) else "5.0"
        made += [(STREAM, t_ms, Decimal(value) + Decimal(i % 3) / 10), ("LOG-B/temperature_c", t_ms, Decimal("7.9"))]

    def people(records: Records) -> None:
        for since, to in ((97, 93), (60, 57), (9, 6)):
            records.mark_readings(
                STREAM, now_ms - since * HOUR, now_ms - to * HOUR, SARI, "the cable was loose", now_ms, "S1"
            )
        records.correct_probe(
            "LOG-B/temperature_c", now_ms - 30 * HOUR, Decimal("0.3"), "KAL-17", SARI, "by its certificate", now_ms
        )

    return served(tmp_path_factory.mktemp("marked"), made, now_ms, people)


@pytest.mark.parametrize("source", ["alerts", "store"])
def test_req_12_req_38_unchanged_limits_say_of_marked_and_corrected_streams_what_the_service_says(
    marked: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Decision 0029: what only marked readings say stays said as possible, in a replay too, and nothing changes."""
    words = ["replay", "--json", "--from", source, "--config", str(marked / "server.toml")]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    of = told["equipment"][0]
    assert (of["new"], of["gone"], of["other"]) == ([], [], [])
    with open_records(marked / "records.db") as records:
        kept = [f for f in records.findings(equipment="F1", standing=True) if f.profile != "sensor_rules"]
        verdict = records.verdict("B1")
    named = [f for f in kept if f.evidence.get("details")]
    assert {str(f.kind) for f in named} == {"confirmed", "possible"}  # so that it is a question at all
    assert {
        (
            f.id,
            str(f.kind),
            iso_utc(f.event_ms),
            f.end_ms and iso_utc(f.end_ms),
            str(f.extreme_c),
            f.evidence["reason"],
        )
        for f in kept
        if f.batch is None
    } == {
        (f["id"], f["kind"], f["fired"], f["to"], str(f["extreme_c"]), f["reason"])
        for f in of["as_is"]
        if f["profile"] != "sensor_rules"
    }
    assert verdict is not None
    for which in ("as_is", "then"):
        assert told["batches"][0][which]["verdict"] == str(verdict.verdict)
        codes = {r["code"] for r in told["batches"][0][which]["reasons"]}
        assert codes == {r["code"] for r in verdict.reasons}
    shown = [*words[:1], *words[2:], "--language", "en", "--profile", "refrigerator"]
    assert main(shown) == 0
    assert "No finding differs." in capsys.readouterr().out
