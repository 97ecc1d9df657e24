"""``smile-iot evaluate``: the line's own rules on a logger's own export."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alerts.profiles import builtin_profiles
from alerts.rules import Profiles, ReadingFact, judge
from smile_iot.__main__ import main

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "fridge-tag"
QTAG = "q-tag-clm-RCPJ00010-run-2.txt"
FIELDS = {
    "source",
    "zone",
    "profile",
    "readings",
    "known_s",
    "unknown_s",
    "min_c",
    "max_c",
    "mean_c",
    "mkt_c",
    "mkt_energy_kj_mol",
    "in_range_fraction",
    "episodes",
    "alarms",
    "device_alarms",
    "daily",
    "vvm",
    "notes",
}


def real(name: str) -> Path:
    path = SHARED / name
    if not path.is_file():
        if os.environ.get("CI"):
            pytest.fail(f"real file absent: {path}")
        pytest.skip("not run: real files absent")
    return path


def csv_file(tmp_path: Path, rows: Iterable[tuple[datetime, str]]) -> Path:
    path = tmp_path / "a-name-that-says-nothing.dat"
    path.write_text("time,temperature_c\n" + "".join(f"{at:%Y-%m-%d %H:%M},{value}\n" for at, value in rows))
    return path


START = datetime(2026, 3, 1, tzinfo=UTC)


def every(minutes: int, *parts: tuple[int, str | None], start: datetime = START) -> list[tuple[datetime, str]]:
    """(count, value) one after the other; value None leaves the rows out."""
    out: list[tuple[datetime, str]] = []
    at = start
    for count, value in parts:
        if value is not None:
            out += [(at + timedelta(minutes=minutes * i), value) for i in range(count)]
        at += timedelta(minutes=minutes * count)
    return out


def run_json(
    capsys: pytest.CaptureFixture[str], path: Path, *words: str, zone: str | None = "Asia/Jakarta"
) -> dict[str, Any]:
    zoned = [] if zone is None else ["--zone", zone]
    assert main(["evaluate", str(path), *zoned, "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


# --- real files -------------------------------------------------------------------------------------------


@pytest.mark.real_files
def test_req_19_q_tags_own_mkt_with_its_own_energy_agrees_within_0_15(capsys: pytest.CaptureFixture[str]) -> None:
    r = run_json(capsys, real(QTAG), "--profile", "device")
    assert r["mkt_energy_kj_mol"] == 83
    assert abs(r["mkt_c"] - 10.5) <= 0.15
    assert set(r) >= FIELDS
    assert (r["readings"], r["known_s"], r["unknown_s"], r["min_c"], r["max_c"]) == (124, 74_400, 0, 0.9, 24.3)
    assert r["source"] == {"format": "q-tag-clm", "device": "Q-tag CLm doc LR", "serial": "RCPJ00010"}


@pytest.mark.real_files
def test_q_tags_alarms_are_matched_within_one_interval_but_for_the_two_the_docs_explain(
    capsys: pytest.CaptureFixture[str],
) -> None:
    r = run_json(capsys, real(QTAG), "--profile", "device", zone="WIB")
    assert [(a["slot"], a["at"][11:16]) for a in r["device_alarms"] if not a["matched"]] == [(5, "15:22")]
    devices = [(f"SLOT_{a['slot']}", datetime.fromisoformat(a["at"])) for a in r["device_alarms"]]
    extra = [
        (a["rule"], a["at"])
        for a in r["alarms"]
        if not any(
            rule == a["rule"] and abs(at - datetime.fromisoformat(a["at"])) <= timedelta(minutes=10)
            for rule, at in devices
        )
    ]
    assert extra == [("SLOT_5", "2022-11-08T19:49:00+07:00")]
    docs = (Path(__file__).parents[2] / "docs" / "evaluate.md").read_text()
    assert "15:22" in docs
    assert "19:49" in docs


@pytest.mark.real_files
def test_a_summary_only_file_says_so_and_invents_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    r = run_json(capsys, real("fridge-tag-2-130400191542.txt"))
    assert (r["readings"], r["known_s"], r["episodes"], r["alarms"], r["vvm"]) == (0, 0, [], [], [])
    assert (r["mean_c"], r["mkt_c"], r["in_range_fraction"]) == (None, None, None)
    assert len(r["daily"]) == 60
    assert r["daily"][-1] == {
        "date": "2023-02-14",
        "min_c": 18,
        "max_c": 18.8,
        "mean_c": 18.5,
        "above_s": 366 * 60,
        "below_s": 0,
    }
    assert len(r["device_alarms"]) == 60
    assert "daily summaries only" in " ".join(r["notes"])


@pytest.mark.real_files
def test_fridge_tag_2l_uses_its_readings_and_never_calls_the_holes_in_range(
    capsys: pytest.CaptureFixture[str],
) -> None:
    r = run_json(capsys, real("fridge-tag-2l-format-sample.txt"))
    assert (r["readings"], r["known_s"]) == (53, 53 * 300)
    assert r["unknown_s"] > 36 * 86_400
    assert r["in_range_fraction"] < 0.5


@pytest.mark.real_files
@pytest.mark.parametrize("path", sorted(SHARED.glob("*.txt")) or [SHARED / QTAG], ids=lambda p: p.name)
def test_every_real_file_prints_a_table_and_a_picture(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    real(path.name)
    assert main(["evaluate", str(path), "--zone", "WITA"]) == 0
    out = capsys.readouterr().out
    assert "▲" in out
    assert "└" in out
    assert "\x1b" not in out  # no colour, so nothing by colour alone


@pytest.mark.real_files
def test_zone_is_required_where_the_file_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(real(QTAG)), "--json"]) == 2
    assert "--zone" in capsys.readouterr().err


# --- the rules, through a file ----------------------------------------------------------------------------


def test_req_01_heat_through_a_csv(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    r = run_json(capsys, csv_file(tmp_path, every(15, (41, "8.1"), (1, "5.0"))))
    assert r["alarms"] == [
        {
            "rule": "HEAT",
            "at": "2026-03-01T10:00:00+07:00",
            "episode_start": "2026-03-01T00:00:00+07:00",
            "confirmed": True,
            "extreme_c": 8.1,
        }
    ]
    assert r["episodes"] == [
        {
            "code": "HEAT",
            "start": "2026-03-01T00:00:00+07:00",
            "end": "2026-03-01T10:15:00+07:00",
            "duration_s": 36_900,
            "extreme_c": 8.1,
            "open": False,
        }
    ]


def test_req_06_daily_minutes_are_those_of_the_zone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    start = datetime(2026, 3, 1, 19, tzinfo=UTC)
    rows = every(15, (44, "8.5"), (1, "5.0"), start=start)
    r = run_json(capsys, csv_file(tmp_path, rows))
    assert [(d["date"], d["above_s"] // 60) for d in r["daily"]] == [("2026-03-01", 300), ("2026-03-02", 360)]
    assert [a["at"] for a in r["alarms"]] == ["2026-03-02T05:00:00+07:00"]


def test_req_07_a_hole_makes_heat_possible(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    r = run_json(capsys, csv_file(tmp_path, every(15, (20, "8.5"), (6, None), (20, "8.5"), (1, "5.0"))))
    assert [(a["rule"], a["at"][11:16], a["confirmed"]) for a in r["alarms"]] == [("HEAT", "10:00", False)]
    assert (r["unknown_s"], [e["duration_s"] for e in r["episodes"]]) == (90 * 60, [18_000, 18_000])


def test_req_36_zones_move_the_day_and_a_file_with_offsets_needs_none(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "x.csv"
    path.write_text("time,temperature_c\n2024-01-03T16:32:28Z,9.0\n")
    for zone, at in (
        ("WIB", "2024-01-03T23:32:28+07:00"),
        ("WITA", "2024-01-04T00:32:28+08:00"),
        ("Asia/Jayapura", "2024-01-04T01:32:28+09:00"),
    ):
        r = run_json(capsys, path, zone=zone)
        assert (r["episodes"][0]["start"], r["daily"][0]["date"]) == (at, at[:10])
    path.write_text("time,temperature_c\n2024-01-03T16:32:28+08:00,9.0\n")
    r = run_json(capsys, path, zone=None)
    assert (r["zone"], r["episodes"][0]["start"]) == ("+08:00", "2024-01-03T16:32:28+08:00")


def test_a_zone_with_summer_time_is_noted_where_it_matters(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = every(15, (40, "5.0"), start=datetime(2026, 10, 24, 22, tzinfo=UTC))
    assert "changed its clock" in " ".join(run_json(capsys, csv_file(tmp_path, rows), zone="Europe/Berlin")["notes"])
    assert run_json(capsys, csv_file(tmp_path, rows))["notes"] == []


def test_the_same_findings_as_the_line_has(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = every(15, (30, "5.0"), (50, "9.0"), (3, "1.0"), (6, "-0.6"), (4, None), (10, "-0.6"), (9, "4.0"))
    r = run_json(capsys, csv_file(tmp_path, rows), zone="UTC")
    facts = [ReadingFact("F", "s/temperature_c", round(at.timestamp() * 1000), Decimal(v)) for at, v in rows]
    line = judge(facts, Profiles(builtin_profiles()), facts[-1].t_ms)
    expected = {(f.code, f.event_ms, f.kind.value) for f in line if f.alarms and f.code != "SILENT"}
    ours = {
        (
            a["rule"],
            round(datetime.fromisoformat(a["at"]).timestamp() * 1000),
            "confirmed" if a["confirmed"] else "possible",
        )
        for a in r["alarms"]
    }
    assert ours == expected
    assert {x[0] for x in ours} == {"HEAT", "FRZE"}


def test_smile_grace_is_a_profile_like_any_other(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    r = run_json(capsys, csv_file(tmp_path, every(10, (60, "8.1"))), "--profile", "smile_grace")
    assert [(a["rule"], a["at"][11:16]) for a in r["alarms"]] == [("SMILE_ABOVE", "08:10")]


def test_req_21_vvm_of_the_product_by_both_models(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = csv_file(tmp_path, every(15, (48, "37.0")))
    r = run_json(capsys, path, "--product", "93004968")
    assert [(v["type"], v["model"]) for v in r["vvm"]] == [("VVM2", "A"), ("VVM2", "B")]
    assert r["vvm"][0]["used_percent"] == 25.0
    assert len(run_json(capsys, path)["vvm"]) == 8


def test_mean_and_fraction_are_weighted_by_time(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    r = run_json(capsys, csv_file(tmp_path, every(15, (4, "4.0"), (4, "10.0"), (8, "6.0"))))
    assert (r["mean_c"], r["in_range_fraction"]) == (6.5, 0.75)


def test_rows_without_value_are_unknown_time(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    r = run_json(capsys, csv_file(tmp_path, every(15, (4, "5.0"), (4, "--.-"), (4, "5.0"))))
    assert (r["known_s"], r["unknown_s"], r["in_range_fraction"]) == (8 * 900, 4 * 900, 1.0)
    r = run_json(capsys, csv_file(tmp_path, every(15, (4, "--.-"))))
    assert (r["known_s"], r["mean_c"], r["min_c"], r["in_range_fraction"]) == (0, None, None, None)


def test_an_open_episode_does_not_run_over_unknown_time(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """36 rows of 8.5, then 12 without a value: the last reading counts one interval, to 09:00."""
    for tail in ((12, "--.-"), (12, None)):
        r = run_json(capsys, csv_file(tmp_path, every(15, (36, "8.5"), tail)))
        (episode,) = r["episodes"]
        assert (episode["code"], episode["end"][11:16], episode["duration_s"]) == ("HEAT", "09:00", 32_400)
        assert episode["open"] is True  # nothing says that it ended
    assert (r["known_s"], r["unknown_s"], r["alarms"]) == (32_400, 0, [])


@pytest.mark.parametrize("order", [1, -1])
def test_a_value_beyond_the_limit_and_none_at_one_instant_are_known_time_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, order: int
) -> None:
    def judged(value: str) -> dict[str, Any]:
        twice = [(START + timedelta(minutes=20), value), (START + timedelta(minutes=20), "")][::order]
        rows = [*every(10, (2, "5")), *twice, (START + timedelta(minutes=30), "5")]
        return run_json(capsys, csv_file(tmp_path, rows))

    r = judged("9.0")
    assert (r["known_s"], r["unknown_s"], r["in_range_fraction"]) == (2400, 0, 0.75)
    assert (r["daily"][0]["above_s"], r["daily"][0]["unknown_s"]) == (600, 0)
    r = judged("5.0")  # in range by one voice only cannot be said
    assert (r["known_s"], r["unknown_s"], r["in_range_fraction"]) == (1800, 600, 1.0)
    assert r["daily"][0]["unknown_s"] == 600


@pytest.mark.parametrize(("count", "said"), [(1, True), (2, True), (3, True), (4, False)])
def test_every_three_hours_is_known_time_and_few_rows_are_noted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, count: int, said: bool
) -> None:
    r = run_json(capsys, csv_file(tmp_path, every(180, (count, "5.0"))))
    assert (r["known_s"], r["unknown_s"]) == (900 if count == 1 else count * 10_800, 0)
    assert ("interval is not stated" in " ".join(r["notes"])) is said


def test_req_29_a_sum_reached_by_the_last_row_alarms(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = csv_file(tmp_path, every(15, (40, "30.0")))
    r = run_json(capsys, path, "--profile", "transport_1")
    assert [(a["rule"], a["at"][11:16]) for a in r["alarms"]] == [("HEAT_30_TOTAL", "10:00")]
    assert run_json(capsys, csv_file(tmp_path, every(15, (39, "30.0"))), "--profile", "transport_1")["alarms"] == []


@pytest.mark.real_files
def test_device_alarms_are_matched_by_the_learned_interval_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = real(QTAG).read_bytes()
    assert b" Logging Interval: 10\r\n" in text
    path = tmp_path / "x.txt"
    path.write_bytes(text.replace(b" Logging Interval: 10\r\n", b""))
    ours, whole = (run_json(capsys, p, "--profile", "device") for p in (path, real(QTAG)))
    assert ours["device_alarms"] == whole["device_alarms"]
    assert sum(a["matched"] for a in ours["device_alarms"]) == 5


@pytest.mark.real_files
def test_an_mkt_energy_that_cannot_be_meant_gives_the_default(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(real(QTAG).read_bytes().replace(b"MKT Energy: 83.0", b"MKT Energy: 83000"))
    r = run_json(capsys, path)
    assert r["mkt_energy_kj_mol"] == 83.144
    assert any("MKT energy" in n for n in r["notes"])


@pytest.mark.real_files
def test_two_exports_in_one_file_are_an_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(real(QTAG).read_bytes() * 2)
    assert main(["evaluate", str(path), "--zone", "WIB"]) == 2
    assert "second export" in capsys.readouterr().err


def test_a_site_file_of_profiles_serves_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text(
        'version="s"\n[ours]\nlow_c="2.0"\nhigh_c="6.0"\nsources=["s"]\n'
        'limits=[{code="WARM",comparator=">=",limit_c="6.0",alarm_after_s=900,source="s"}]\n'
    )
    path = csv_file(tmp_path, every(15, (3, "6.0")))
    r = run_json(capsys, path, "--profile", "ours", "--profiles", str(site))
    assert [(a["rule"], a["at"][11:16]) for a in r["alarms"]] == [("WARM", "00:15")]


@pytest.mark.parametrize(
    ("words", "text", "says"),
    [
        (["--zone", "WIB"], "", "empty"),
        (["--zone", "WIB"], "time,temperature_c\n2026-03-01 08:00,5\n2026-03-01 08:1", "line 3"),
        (["--zone", "Mars/Base"], "time,temperature_c\n2026-03-01 08:00,5\n", "time zone"),
        (["--zone", "../../etc/passwd"], "time,temperature_c\n2026-03-01 08:00,5\n", "time zone"),
        ([], "time,temperature_c\n2026-03-01 08:00,5\n", "--zone"),
        (["--zone", "WIB", "--profile", "fridgo"], "time,temperature_c\n2026-03-01 08:00,5\n", "refrigerator"),
        (["--zone", "WIB", "--profile", "device"], "time,temperature_c\n2026-03-01 08:00,5\n", "no limits"),
        (["--zone", "WIB", "--product", "1"], "time,temperature_c\n2026-03-01 08:00,5\n", "KFA"),
    ],
)
def test_what_cannot_be_used_is_said_with_exit_code_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], text: str, says: str
) -> None:
    path = tmp_path / "x"
    path.write_text(text)
    assert main(["evaluate", str(path), *words]) == 2
    out = capsys.readouterr()
    assert says in out.err
    assert out.out == ""
    assert "Traceback" not in out.err


def test_a_missing_file_and_a_folder_are_clear_errors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["evaluate", str(tmp_path / "none.txt")]) == 2
    assert main(["evaluate", str(tmp_path)]) == 2
    assert "cannot read" in capsys.readouterr().err


def test_a_calm_file_has_a_picture_within_the_limits(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = csv_file(tmp_path, every(15, (200, "5.0"), (30, None), (100, "4.0")))
    assert main(["evaluate", str(path), "--zone", "WIB"]) == 0
    out = capsys.readouterr().out
    picture = out[out.index("│") :].rsplit("\n", 2)[0]
    assert "█" in picture
    assert "?" in picture
    assert "▲" not in picture
    assert "▼" not in picture
