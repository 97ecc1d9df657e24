"""``smile-iot evaluate`` on exports no sample shows: other firmware, locales, limits, intervals, and spoiled ones.

Each is written here as real bytes and given to the command. Its numbers are checked against a computation of
this file's own: every row holds one interval, MKT by the formula (USP <1079.2>) in floating point.
"""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from smile_iot.__main__ import main

Rows = Sequence[tuple[datetime, float | None]]
START = datetime(2024, 2, 28, 22, tzinfo=UTC)
GAS_KJ = 8.314472e-3
BLANK = "--.-"


def every(minutes: int, values: Iterable[float | None], start: datetime = START) -> Rows:
    return [(start + timedelta(minutes=minutes * i), v) for i, v in enumerate(values)]


def fridge(count: int) -> list[float | None]:
    """A fridge that swings, is left open once, and freezes once; tenths, as loggers write them."""
    swing = (round(4.5 + 1.8 * math.sin(i / 7), 1) for i in range(count))
    return [11.3 if 40 <= i < 55 else -1.2 if 90 <= i < 99 else v for i, v in enumerate(swing)]


def q_tag(rows: Rows, minutes: int, low: float = 2.0, high: float = 8.0, blank: str = BLANK, **changes: str) -> str:
    parts = {
        "device": "Q-tag CLm doc L",
        "heading": "\tyyyy-MM-dd hh:mm\tT\tOut of limits\n",
        "stop": f"{rows[-1][0]:%Y-%m-%d %H:%M}" if rows else "",
        "extra": "",
    } | changes
    table = "".join(
        f"\t{t:%Y-%m-%d %H:%M}\t{blank if v is None else v}\t{'x' if v is not None and not low <= v <= high else ''}\n"
        for t, v in rows
    )
    return (
        f"Device: {parts['device']}\nVers: 1.9\nFw Vers: 4.7.04o\nSensor: 1\nConf:\n Serial: TEST00002\n Zone: 0.00\n"
        f" MKT Energy: 83.144\n Logging Interval: {minutes}\n{parts['extra']} Alarm:\n  1:\n   Type: 2, T AL: {high}, t AL: 60\n"
        f"  2:\n   Type: 1, T AL: {low}, t AL: 30\nRes:\n TS Start: {START:%Y-%m-%d %H:%M}\n TS Stop: {parts['stop']}\n"
        f" Run Number: 1\nData:\n{parts['heading']}{table}"
    )


def fridge_tag_2l(rows: Rows, minutes: int, low: float = 2.0, high: float = 8.0) -> str:
    body = q_tag(rows, minutes, low, high)
    table = body[body.index("Data:") :].replace("\t\n", "\n")
    return (
        "Device: Q-tag Fridge-tag 2 L\nVers: 0.5\nFw Vers: 4.1p2o\nSensor: 1\nExt Sensor: 99\nConf:\n Serial: 130500000001\n"
        f" Zone: 0.00\n Temp unit: C\n Alarm:\n  0:\n   T AL: {low:+}, t AL: 30\n  1:\n   T AL: {high:+}, t AL: 60\n"
        f" Report history length: 30\n Logging Interval: {minutes}\nHist:\n TS Actv: {START:%Y-%m-%d %H:%M}\n"
        f" TS Report Creation: {rows[-1][0]:%Y-%m-%d %H:%M}\n{table}"
    )


SLOTS = "  0:\n   T AL: -0.5, t AL: 60\n  1:\n   T AL: +8.0, t AL: 600\n"


def days_only(dates: Sequence[str], conf: str = "", alarm: str = SLOTS) -> str:
    days = "".join(
        f" {i}:\n  Date: {d}\n  Min T: -.-\n  Max T: +9.0, TS Max T: 10:00\n  Avrg T: ---\n  Alarm:\n   0:\n    t Acc: 0\n   1:\n"
        f"    t Acc: {i}, TS A: 10:0{i}, T Amb: +14.9, C A: 0\n  Ext Sensor timeout:\n   t AccST: 17, TS ST: 14:04\n  Events: 0\n"
        for i, d in enumerate(dates, 1)
    )
    return (
        f"Device: Q-tag Fridge-tag 2 E\nVers: 0.5\nFw Vers: 4.0p1o\nConf:\n Serial: 130600000001\n{conf} Alarm:\n{alarm}"
        f"Hist:\n{days}"
    )


def judged(capsys: pytest.CaptureFixture[str], tmp_path: Path, data: bytes, *words: str) -> dict[str, Any]:
    path = tmp_path / "export.txt"
    path.write_bytes(data)
    assert main(["evaluate", str(path), "--zone", "WIB", "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "export.txt"
    path.write_bytes(data)
    assert main(["evaluate", str(path), "--zone", "WIB"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def agrees(report: dict[str, Any], rows: Rows, minutes: int, low: float, high: float) -> None:
    known = [v for _, v in rows if v is not None]
    assert report["readings"] == len(rows)
    assert report["known_s"] == len(known) * minutes * 60
    assert report["unknown_s"] == (len(rows) - len(known)) * minutes * 60
    assert sum(d["above_s"] for d in report["daily"]) == sum(v > high for v in known) * minutes * 60
    assert sum(d["below_s"] for d in report["daily"]) == sum(v < low for v in known) * minutes * 60
    factor = 83.144 / GAS_KJ
    mkt = factor / -math.log(sum(math.exp(-factor / (v + 273.15)) for v in known) / len(known)) - 273.15
    assert report["mkt_c"] == pytest.approx(mkt, abs=0.002)
    assert report["min_c"] == min(known)
    assert report["max_c"] == max(known)


def first_alarms(rows: Rows, limit: float, high: bool, delay: int) -> list[str]:
    """When a run of rows beyond the limit first shows the delay, each run once: by hand, for single events."""
    out, since, fired = [], None, False
    for t, v in rows:
        beyond = v is not None and (v > limit if high else v < limit)
        since = (since or t) if beyond else None
        fired = fired and beyond
        if since is not None and not fired and t - since >= timedelta(minutes=delay):
            out.append(f"{t:%Y-%m-%dT%H:%M}")
            fired = True
    return out


@pytest.mark.parametrize("make", [q_tag, fridge_tag_2l])
@pytest.mark.parametrize("minutes", [1, 5, 10, 15, 60])
def test_minutes_mkt_and_alarms_of_any_interval_agree_with_a_computation_by_hand(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, make: Callable[[Rows, int], str], minutes: int
) -> None:
    """Over midnight and the leap day of 2024, too."""
    rows = every(minutes, fridge(400))
    r = judged(capsys, tmp_path, make(rows, minutes).replace("\n", "\r\n").encode(), "--profile", "device")
    agrees(r, rows, minutes, 2.0, 8.0)
    assert sorted(a["at"][:16] for a in r["alarms"]) == sorted(
        first_alarms(rows, 8.0, True, 60) + first_alarms(rows, 2.0, False, 30)
    )
    assert any(d["date"] == "2024-02-29" for d in r["daily"])


@pytest.mark.parametrize("blank", ["--.-", "-.-", "---", "--,-", ""])
def test_a_sensor_that_times_out_is_unknown_time(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, blank: str
) -> None:
    rows = every(10, [None, None, *fridge(200), *[None] * 30, *fridge(60), None])
    agrees(judged(capsys, tmp_path, q_tag(rows, 10, blank=blank).encode(), "--profile", "device"), rows, 10, 2.0, 8.0)


@pytest.mark.parametrize(("low", "high", "shift"), [(-25.0, -15.0, -24.5), (-80.0, -60.0, -74.0), (2.0, 25.0, 10.0)])
def test_other_limits_and_ranges_below_zero(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, low: float, high: float, shift: float
) -> None:
    rows = every(10, [None if v is None else round(v + shift, 1) for v in fridge(300)])
    r = judged(capsys, tmp_path, fridge_tag_2l(rows, 10, low, high).encode(), "--profile", "device")
    agrees(r, rows, 10, low, high)
    assert r["range_c"] == [low, high]
    assert not [n for n in r["notes"] if "marked otherwise" in n]


ROWS = every(10, fridge(150))


@pytest.mark.parametrize(
    ("change", "heading"),
    [
        (lambda t: f"{t:%d.%m.%Y}", "dd.MM.yyyy hh:mm"),
        (lambda t: f"{t:%d/%m/%Y}", "dd/MM/yyyy HH:mm"),
        (lambda t: f"{t:%m/%d/%Y}", "MM/dd/yyyy hh:mm"),
        (lambda t: f"{t:%Y/%m/%d}", "yyyy/MM/dd hh:mm"),
        (lambda t: f"{t:%d.%m.%Y}", "TT.MM.JJJJ hh:mm"),
        (lambda t: f"{t:%d-%m-%Y}", "jj-MM-aaaa hh:mm"),
        (lambda t: f"{t.day}/{t.month}/{t.year}", "dd/MM/yyyy hh:mm"),
    ],
)
def test_the_heading_names_the_order_of_every_date_in_the_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, change: Callable[[datetime], str], heading: str
) -> None:
    text = q_tag(ROWS, 10, heading=f"\t{heading}\tT\tAußerhalb\n")
    for day in range(3):
        t = START + timedelta(days=day)
        text = text.replace(f"{t:%Y-%m-%d}", change(t))
    assert "2024-02" not in text
    agrees(judged(capsys, tmp_path, text.encode("cp1252"), "--profile", "device"), ROWS, 10, 2.0, 8.0)


def test_dates_of_daily_summaries_are_read_where_one_shows_their_order_and_refused_where_none_does(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    r = judged(capsys, tmp_path, days_only(["14/02/2026", "03/02/2026"]).encode())
    assert [d["date"] for d in r["daily"]] == ["2026-02-03", "2026-02-14"]
    assert [d["date"] for d in judged(capsys, tmp_path, days_only(["03.04.2026"]).encode())["daily"]] == [
        "2026-04-03"
    ]
    assert "may be day or month first" in refused(capsys, tmp_path, days_only(["03/04/2026"]).encode())


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace("\n", "\r\n").encode("utf-16"),
        lambda t: t.encode("utf-16-le"),
        lambda t: t.replace("Interval: 10", "Interval: 10 min").replace("\tx\n", "\t*\n").encode(),
        lambda t: t.replace("\n", "\r").encode(),
        lambda t: t.replace("\n", "\r\r\n").encode("utf-8-sig"),
        lambda t: ("\n\n" + t).encode(),
        lambda t: (
            t.replace("Device: Q-tag", "Vers: 1.9\nDEVICE : Q\u2011TAG").replace("\nVers: 1.9\nFw", "\nFw").encode()
        ),
        lambda t: t.replace(" Serial", " User String 1: k\xfchl, T AL: 5\n Serial").encode("latin-1"),
        lambda t: t.replace(" Zone: 0.00\n", "").replace(" MKT Energy: 83.144\n", "").encode(),
        lambda t: t.replace("Res:", "Stat:\n Boots: 3\n  Why: 2, When: never\nRes:").encode(),
    ],
    ids=[
        "utf16 crlf",
        "utf16 without mark",
        "interval with unit",
        "cr",
        "bom crcrlf",
        "led by lines",
        "device later",
        "user string",
        "fewer keys",
        "more keys",
    ],
)
def test_the_same_run_in_other_clothes_gives_the_same_numbers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, change: Callable[[str], bytes]
) -> None:
    agrees(judged(capsys, tmp_path, change(q_tag(ROWS, 10)), "--profile", "device"), ROWS, 10, 2.0, 8.0)


def test_decimal_commas_throughout(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = "".join(
        line if "Vers" in line else line.replace(".", ",") for line in q_tag(ROWS, 10).splitlines(keepends=True)
    )
    agrees(judged(capsys, tmp_path, text.encode(), "--profile", "device"), ROWS, 10, 2.0, 8.0)


@pytest.mark.parametrize(
    ("heading", "row"),
    [
        ("\tyyyy-MM-dd hh:mm\tT1\tT2\tOut of limits\n", "\t2024-02-28 22:00\t4.1\t9.3\tx\n"),
        ("\tyyyy-MM-dd hh:mm\tT Int\tT Ext\n", "\t2024-02-28 22:00\t4.1\t--.-\n"),
        ("\tyyyy-MM-dd hh:mm\tT\tRH\n", "\t2024-02-28 22:00\t4.1\t61\n"),
    ],
)
def test_a_table_of_two_sensors_is_refused_and_the_second_never_passed_over(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, heading: str, row: str
) -> None:
    text = q_tag([], 10, heading=heading + row)
    assert "more than one value" in refused(capsys, tmp_path, text.encode())


@pytest.mark.parametrize("word", ["T [°F]", "T (F)", "T Fahrenheit"])
def test_fahrenheit_is_refused_wherever_it_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, word: str
) -> None:
    text = q_tag(ROWS, 10, heading=f"\tyyyy-MM-dd hh:mm\t{word}\tOut of limits\n")
    assert "Fahrenheit" in refused(capsys, tmp_path, text.encode())
    assert "unit" in refused(capsys, tmp_path, days_only(["2026-02-03"], " Temp unit: F\n").encode())


def test_a_clock_set_back_is_told_with_its_place_and_newest_first_is_not_taken_for_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    back = [*ROWS[:60], *every(10, fridge(90), START + timedelta(hours=8, minutes=5))]
    notes = judged(capsys, tmp_path, q_tag(back, 10).encode())["notes"]
    assert any("1 steps back, the first from 2024-02-29 07:50 to 2024-02-29 06:05" in n for n in notes)
    r = judged(capsys, tmp_path, q_tag(ROWS[::-1], 10).encode(), "--profile", "device")
    agrees(r, ROWS, 10, 2.0, 8.0)
    assert any("newest first" in n for n in r["notes"])
    twice = judged(capsys, tmp_path, days_only(["2026-02-03", "2026-02-03", "2026-02-02"]).encode())["notes"]
    assert any("2026-02-03 stands more than once" in n for n in twice)


def test_an_interval_that_the_rows_contradict_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    notes = judged(capsys, tmp_path, q_tag(every(60, fridge(50)), 10).encode())["notes"]
    assert any("interval of 10 min, its rows lie 60.0 min apart" in n for n in notes)
    assert not any("apart" in n for n in judged(capsys, tmp_path, q_tag(ROWS, 10).encode())["notes"])


def test_a_run_that_ended_before_its_stop_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Memory full: the logger went on, its table did not."""
    r = judged(capsys, tmp_path, q_tag(ROWS, 10, stop="2024-03-09 22:00").encode(), "--profile", "device")
    assert any("before the end the file states" in n for n in r["notes"])
    assert r["known_s"] == len(ROWS) * 600


@pytest.mark.parametrize("stop", ["", "--", "----.--.-- --:--"])
def test_a_run_that_has_not_stopped_is_judged(capsys: pytest.CaptureFixture[str], tmp_path: Path, stop: str) -> None:
    agrees(judged(capsys, tmp_path, q_tag(ROWS, 10, stop=stop).encode(), "--profile", "device"), ROWS, 10, 2.0, 8.0)


def test_a_day_that_the_summaries_leave_out_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    notes = judged(capsys, tmp_path, days_only(["2024-03-02", "2024-02-28"]).encode())["notes"]
    assert "2 days between 2024-02-28 and 2024-03-02 are not in the file" in notes


def test_limits_in_the_other_order_are_known_by_their_values(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    alarm = "  0:\n   T AL: +8.0, t AL: 600\n  1:\n   T AL: -0.5, t AL: 60\n"
    r = judged(capsys, tmp_path, days_only(["2026-02-03"], alarm=alarm).encode(), "--profile", "device")
    assert r["range_c"] == [-0.5, 8]
    assert (r["daily"][0]["above_s"], r["daily"][0]["below_s"]) == (0, 60)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "PDF"),
        (bytes(range(256)) * 40, "not a text file"),
        (b"\x8fnoise\xe9" * 4, "format is not known"),
        (b"PK\x03\x04" + bytes(99), "not a text file"),
        (b"<html><body>login</body></html>", "format is not known"),
        (b"Device: Q-tag CLm doc\nConf:\n Serial: " + b"-" * 100_000 + b"x\n", "more than 4096 signs"),
        (b"time,temperature_c\n2026-01-01 00:00," + b"-" * 100_000 + b"x\n", "more than 4096 signs"),
        (b"Device: LogTag UTRID-16\n", "not known"),
        (q_tag(ROWS, 10).replace("\t11.3\t", "\tHI\t").encode(), "copy it from the logger again"),
        (q_tag([], 10, extra="Res:\n").encode(), "second"),
        (q_tag(ROWS, 10)[:-40].encode(), "line"),
        (q_tag(ROWS, 10).replace("2024-02-29 ", "2023-02-29 ").encode(), "line"),
        (q_tag(ROWS, 10).replace("2024-02-28 23:30", "2024-02-28 11:30 PM").encode(), "not a row"),
        (q_tag(ROWS, 10, heading="\tyyyy-MM hh:mm\tT\n").encode(), "time format"),
    ],
)
def test_what_is_no_export_gets_one_clear_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, data: bytes, says: str
) -> None:
    assert says in refused(capsys, tmp_path, data)


def test_a_terminal_without_blocks_gets_plain_signs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "export.txt"
    path.write_text(q_tag(ROWS, 10, device="Q-tag CLm \u20ac"))
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", out)
        assert main(["evaluate", str(path), "--zone", "WIB", "--profile", "device"]) == 0
        assert main(["evaluate", str(path), "--zone", "WIB", "--json"]) == 0
        out.flush()
    text = out.buffer.getvalue().decode()  # type: ignore[attr-defined]
    assert "^ above  v below  ? unknown" in text
    assert "\\u20ac" in text
