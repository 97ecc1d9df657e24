"""Decoders of loggers' exports: real files first, then the variants they may come in, then spoiled ones."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.decoders.files import DeviceAlarm, LoggerFile, LoggerFileError, decode_file
from edge.decoders.files.dates import iso_dates
from edge.decoders.files.tree import NO_SIGNATURE

Build = Callable[..., str]
Read = Callable[[str], bytes]
FUZZ = settings(
    max_examples=int(os.environ.get("SMILE_IOT_EXAMPLES", "300")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def at(text: str) -> int:
    return round(datetime.fromisoformat(f"{text}+00:00").astimezone(UTC).timestamp() * 1000)


def csv(text: str) -> LoggerFile:
    return decode_file(text.encode())


def unsigned(file: LoggerFile) -> LoggerFile:
    """The file without what its signature says, which any change of its text breaks."""
    kept = (n for n in file.notes if "SIGNATURE" not in n)
    return replace(file, signature=None, notes=tuple(kept))


# --- real files -------------------------------------------------------------------------------------------


@pytest.mark.real_files
def test_real_q_tag_has_124_readings_and_six_alarms_of_four_slots(real_file: Read) -> None:
    f = decode_file(real_file("q-tag-clm-RCPJ00010-run-2.txt"))
    assert (f.format, f.serial, f.interval_s, len(f.readings)) == ("q-tag-clm", "RCPJ00010", 600, 124)
    assert [(x.slot, x.high, x.cumulative, x.limit_c, x.after_s) for x in f.limits] == [
        (1, True, False, Decimal(8), 1800),
        (2, True, True, Decimal(8), 3600),
        (4, False, True, Decimal(2), 3600),
        (5, False, False, Decimal(2), 1800),
    ]
    assert DeviceAlarm(4, at("2022-11-08 07:34")) in f.alarms
    assert [a.slot for a in f.alarms] == [4, 5, 5, 5, 1, 2]
    assert (f.mkt_energy_kj_mol, dict(f.stated)["mkt_c"]) == (Decimal("83.0"), Decimal("10.5"))
    assert not any("marked otherwise" in n for n in f.notes)  # 1.9 is marked, 2.0 is not: strict


@pytest.mark.real_files
def test_real_fridge_tag_2_has_sixty_days_and_no_readings(real_file: Read) -> None:
    f = decode_file(real_file("fridge-tag-2-130400191542.txt"))
    assert (f.format, f.serial, f.readings, len(f.days)) == ("fridge-tag-2", "130400191542", (), 60)
    assert (f.days[-1].date, f.days[-1].max_c, f.days[-1].above_s) == ("2023-02-14", Decimal("18.8"), 366 * 60)
    assert all(a.continued for a in f.alarms)
    assert any("error 19" in n for n in f.notes)


@pytest.mark.real_files
def test_real_fridge_tag_2_with_external_sensor(real_file: Read) -> None:
    f = decode_file(real_file("fridge-tag-2-130400191544.txt"))
    assert next((d.date, d.above_s, d.timeout_s) for d in f.days) == ("2023-04-17", 480, 178 * 60)
    assert f.alarms == ()


@pytest.mark.real_files
def test_real_fridge_tag_2l_has_a_table(real_file: Read) -> None:
    f = decode_file(real_file("fridge-tag-2l-format-sample.txt"))
    assert (f.format, f.interval_s, len(f.readings), len(f.days)) == ("fridge-tag-2l", 300, 53, 38)
    assert f.readings[0].local_ms == at("2022-05-02 04:44")
    assert DeviceAlarm(1, at("2022-05-03 10:32")) in f.alarms
    assert DeviceAlarm(0, at("2022-06-06 00:00"), continued=True) in f.alarms


@pytest.mark.real_files
def test_real_fridge_tag_of_2026(real_file: Read) -> None:
    f = decode_file(real_file("fridge-tag-2-room-60-days.txt"))
    assert (len(f.days), f.end_local_ms) == (60, at("2026-04-29 16:21"))


@pytest.mark.real_files
@pytest.mark.parametrize(
    "name", ["q-tag-clm-RCPJ00010-run-2.txt", "fridge-tag-2l-format-sample.txt", "fridge-tag-2-130400191544.txt"]
)
def test_a_real_file_cut_anywhere_is_refused_or_says_so_and_no_number_changes(real_file: Read, name: str) -> None:
    data = real_file(name)
    whole = decode_file(data)
    refused = accepted = 0
    for cut in range(0, data.index(b"Sig Cert:"), 37):
        try:
            f = decode_file(data[:cut])
        except LoggerFileError:
            refused += 1
            continue
        accepted += 1
        assert NO_SIGNATURE in f.notes
        assert f.readings == whole.readings[: len(f.readings)]
    assert min(refused, accepted) > 2


@pytest.mark.real_files
@pytest.mark.parametrize(
    "change",
    [
        lambda t: re.sub(r"(?m)^\t(2022)", r" \1", t),
        lambda t: re.sub(r"(?m)^\t(2022)", r"\1", t),
        lambda t: t.replace("\t", " "),
        lambda t: t.replace("\t", "    "),
        lambda t: re.sub(r"(?m)^\t", "", t),
        lambda t: re.sub(r"(?m)^\t(\S+) (\d\d:\d\d)", r"\t\1 \2:00", t),
        lambda t: re.sub(r"(?m)^\t(2022\S+) (\d\d:\d\d)", r" \1T\2", t),
        lambda t: re.sub(r"(?m)\t+(?=\r?$)", "", t),
    ],
    ids=[
        "space-led",
        "no lead",
        "tab to space",
        "tab to spaces",
        "no leading tab",
        "seconds",
        "T",
        "no trailing tab",
    ],
)
@pytest.mark.parametrize("name", ["q-tag-clm-RCPJ00010-run-2.txt", "fridge-tag-2l-format-sample.txt"])
def test_a_table_whose_tabs_were_lost_is_the_same_table(
    real_file: Read, name: str, change: Callable[[str], str]
) -> None:
    text = real_file(name).decode()
    changed = change(text)
    assert changed != text or "trailing" in str(change) or name.startswith("fridge")
    assert unsigned(decode_file(changed.encode())) == unsigned(decode_file(text.encode()))


@pytest.mark.real_files
@pytest.mark.parametrize(
    ("tail", "noted"),
    [
        (lambda t: t[: t.index("Cert:")], True),
        (lambda t: t[: t.index("Sig Cert:")], True),
        (lambda t: re.sub(r"(?m)^Sig: .*$", "Sig: 719c4f6bb685dcf1", t), True),
        (lambda t: re.sub(r"(?m)^Sig: .*$", "Sig:", t).rstrip(), True),
        (lambda t: t[: t.index("Cert:")] + t[t.index("Sig Cert:") :], True),
        (lambda t: t.rstrip(), False),
    ],
    ids=["no block", "no Sig", "short Sig", "empty Sig", "no Cert", "no final newline"],
)
@pytest.mark.parametrize("name", ["q-tag-clm-RCPJ00010-run-2.txt", "fridge-tag-2-130400191544.txt"])
def test_a_file_without_its_signature_is_judged_with_a_note(
    real_file: Read, name: str, tail: Callable[[str], str], noted: bool
) -> None:
    text = real_file(name).decode()
    f, whole = decode_file(tail(text).encode()), decode_file(text.encode())
    assert (f.readings, f.days, f.alarms) == (whole.readings, whole.days, whole.alarms)
    assert (NO_SIGNATURE in f.notes) is noted


@pytest.mark.real_files
def test_two_exports_in_one_file_are_refused_by_name(real_file: Read) -> None:
    text = real_file("q-tag-clm-RCPJ00010-run-2.txt").decode()
    for twice, says in (
        (text + text, "second export begins here"),
        (text.rstrip() + text, "second Conf block"),
        (text.replace("Cert:", "Data:\r\n\t2022-11-09 01:29\t2.0\t\r\nCert:", 1), "second Data block"),
    ):
        with pytest.raises(LoggerFileError, match=says):
            decode_file(twice.encode())
    with pytest.raises(LoggerFileError, match="heading stands here again"):
        csv("time,temperature_c\n2026-03-01 08:00,5\n" * 2)


# --- variants of the makers' formats ----------------------------------------------------------------------


def test_fridge_tag_day_and_limits(fridge_tag: Build) -> None:
    f = decode_file(fridge_tag().encode())
    assert [(x.slot, x.high, x.limit_c, x.after_s) for x in f.limits] == [
        (0, False, Decimal("-0.5"), 3600),
        (1, True, Decimal(8), 36000),
    ]
    oldest, newest = f.days
    assert (oldest.date, oldest.min_c, oldest.timeout_s) == ("2026-03-01", None, 21 * 60)
    assert (newest.min_c, newest.max_c, newest.mean_c) == (Decimal(2), Decimal("9.1"), Decimal("4.6"))
    assert (newest.above_s, newest.below_s) == (75 * 60, 0)
    assert f.alarms == (DeviceAlarm(1, at("2026-03-01 14:40")), DeviceAlarm(1, at("2026-03-02 14:40")))


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace("\n", "\r\n").encode(),
        lambda t: t.replace("\n", "\r").encode(),
        lambda t: t.encode("utf-8-sig"),
        lambda t: t.encode("utf-16"),
        lambda t: t.replace("4.6", "4,6").replace("8.0", "8,0").replace("-0.5", "-0,5").encode(),
        lambda t: t.replace("-0.5", "\u22120.5").encode(),
        lambda t: t.replace("130400000001", "130400000001\n Lot: caf\xe9").encode("latin-1"),
        lambda t: t.encode() + b"\r\n\r\n",
        lambda t: b"\n\n" + t.encode(),
        lambda t: t.replace("+", "").encode(),
    ],
    ids=["crlf", "cr", "bom", "utf16", "comma", "minus sign", "latin1", "empty lines", "leading lines", "no plus"],
)
def test_the_same_file_in_other_clothes(fridge_tag: Build, change: Callable[[str], bytes]) -> None:
    assert decode_file(change(fridge_tag())) == decode_file(fridge_tag().encode())


def test_fridge_tag_2l_with_rows_without_value_and_other_alarm_counts(fridge_tag: Build) -> None:
    three = "  0:\n   T AL: +2.0, t AL: 60\n  1:\n   T AL: +8.0, t AL: 60\n  2:\n   T AL: +25.0, t AL: 10\n"
    data = "Data:\n\tyyyy-MM-dd hh:mm\tT\tOut of limits\n\t2026-03-01 08:00\t--.-\n\t2026-03-01 08:05\t4,1\n"
    text = fridge_tag("Q-tag Fridge-tag 2 L", three, " Zone: 0.00\n Logging Interval: 5\n", data=data)
    f = decode_file(text.encode())
    assert (f.format, f.interval_s) == ("fridge-tag-2l", 300)
    assert [r.value_c for r in f.readings] == [None, Decimal("4.1")]
    assert [x.high for x in f.limits] == [False, True, True]
    one = decode_file(fridge_tag(alarm="  1:\n   T AL: +8.0, t AL: 600\n").encode())
    assert [x.slot for x in one.limits] == [1]
    assert decode_file(fridge_tag(alarm="").encode()).limits == ()


def test_slots_and_days_without_a_value_are_left_out(fridge_tag: Build, q_tag: Build) -> None:
    off = "  0:\n   T AL: --.-, t AL: 60\n  1:\n   T AL: +8.0, t AL: 600\n"
    acc = "  Alarm:\n   0:\n    t Acc: --\n   1:\n    t Acc: 75, TS A: --:--, C A: 0\n"
    f = decode_file(fridge_tag(alarm=off, acc=acc).encode())
    assert [x.slot for x in f.limits] == [1]
    assert (f.alarms, f.days[0].below_s, f.days[0].above_s) == ((), None, 75 * 60)
    q = decode_file(q_tag(slots="  1:\n   Type: 2, T AL: --.-, t AL: 30\n").encode())
    assert q.limits == ()
    nested = "  1:\n   1:\n    TS S: 2026-03-01 08:20\n    TS A: 2026-03-01 08:50\n"
    assert decode_file(q_tag(results=nested).encode()).alarms == (DeviceAlarm(1, at("2026-03-01 08:50")),)


def test_ultra_low_is_a_fridge_tag_too(fridge_tag: Build) -> None:
    ul = "  0:\n   T AL: -90.0, t AL: 60\n  1:\n   T AL: -60.0, t AL: 60\n"
    f = decode_file(fridge_tag("Q-tag Fridge-tag UL", ul).encode())
    assert f.format == "fridge-tag-ul"
    assert [(x.high, x.limit_c) for x in f.limits] == [(False, Decimal(-90)), (True, Decimal(-60))]


def test_another_order_of_date_is_read_from_the_heading(q_tag: Build) -> None:
    f = decode_file(q_tag(header="\tdd.MM.yyyy HH:mm\tT\n", rows="\t02.03.2026 08:10\t5.0\n").encode())
    assert f.readings[0].local_ms == at("2026-03-02 08:10")


def test_q_tag_slots_events_and_rows(q_tag: Build) -> None:
    f = decode_file(q_tag().encode())
    assert [(x.slot, x.high, x.cumulative) for x in f.limits] == [(1, True, False), (3, False, True)]
    assert f.alarms == (DeviceAlarm(1, at("2026-03-01 08:50")),)  # the second event did not come to an alarm
    assert [r.value_c for r in f.readings] == [Decimal(5), Decimal("9.5"), None]  # the marker is no reading
    assert f.end_local_ms == at("2026-03-01 12:30")


def test_q_tag_unknown_slot_type_is_noted_and_not_judged(q_tag: Build) -> None:
    f = decode_file(q_tag(slots="  1:\n   Type: 9, T AL: 8.0, t AL: 30\n").encode())
    assert f.limits == ()
    assert any("type 9" in n for n in f.notes)


def test_rows_out_of_order_and_repeated_are_mended_with_a_note(q_tag: Build) -> None:
    rows = "\t2026-03-01 08:20\t9.5\tx\n\t2026-03-01 08:10\t5.0\t\n\t2026-03-01 08:10\t5.0\t\n\t2026-03-01 08:20\t5.5\t\n"
    f = decode_file(q_tag(rows=rows).encode())
    assert len(f.readings) == 3
    assert len([n for n in f.notes if "order" in n or "repeated" in n or "another value" in n]) == 3


def test_a_value_no_sensor_can_measure_is_no_value(q_tag: Build, fridge_tag: Build) -> None:
    f = decode_file(q_tag(rows="\t2026-03-01 08:10\t200.0\tx\n\t2026-03-01 08:20\t5.0\t\n").encode())
    assert [r.value_c for r in f.readings] == [None, Decimal(5)]
    assert any("outside -100..100 C" in n for n in f.notes)
    assert decode_file(fridge_tag(day="  Min T: -127.0\n").encode()).days[-1].min_c is None


@pytest.mark.parametrize(
    ("text", "energy"), [("83.0", "83"), ("300", "300"), ("0", None), ("83144", None), ("x", None), ("", None)]
)
def test_an_mkt_energy_that_cannot_be_meant_is_noted_and_not_used(
    q_tag: Build, text: str, energy: str | None
) -> None:
    f = decode_file(q_tag().replace("MKT Energy: 83.0", f"MKT Energy: {text}").encode())
    assert f.mkt_energy_kj_mol == (None if energy is None else Decimal(energy))
    assert any("MKT energy" in n for n in f.notes) is (energy is None and text != "")


def test_what_the_run_itself_says_of_its_length_is_compared(q_tag: Build, fridge_tag: Build) -> None:
    f = decode_file(q_tag().encode())  # 08:10 to 12:30 every 10 minutes
    assert "the run of the file makes 27 rows, 3 are in it" in f.notes
    assert "the last row lies 24 intervals before the end the file states" in f.notes
    table = "Data:\n\t2026-03-02 09:25\t4.1\n"
    tag = fridge_tag("Q-tag Fridge-tag 2 L", conf=" Logging Interval: 5\n", data=table)
    assert decode_file(tag.encode()).notes[1:] == ("the device had no sensor for 21 minutes in all",)
    empty = decode_file(fridge_tag(data="Data:\n\tyyyy-MM-dd hh:mm\tT\n").encode())
    assert "the Data block holds no row of readings" in empty.notes
    without = q_tag(header="", rows="").replace("Data:\n", "")
    assert "the file has no Data block: no reading is in it" in decode_file(without.encode()).notes


def test_a_contradicted_mark_is_noted(q_tag: Build) -> None:
    f = decode_file(q_tag(rows="\t2026-03-01 08:10\t9.5\t\n").encode())
    assert any("marked otherwise" in n for n in f.notes)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        ({"tail": "Sig Ce"}, "key: value"),
        ({"data": "Data:\n\t2026-02-20 08:00\t5", "tail": ""}, "within a line"),
        ({"data": "Data:\n\t2026-02-20 08:00\t--.", "tail": ""}, "within a line"),
        ({"tail": "Footer:"}, "within a line"),
        ({"data": "Data:\n 2026-02-20 08:00\n"}, "not a row"),
        ({"data": "Data:\n2026-02-20 08:00\n"}, "not a row"),
        ({"data": "Data:\n Remark: 5\n"}, "not a row"),
        ({"data": "2026-02-20 08:00\t5.0\n"}, "outside the Data block"),
        ({"data": "\t2026-02-20 08:00\t5.0\n"}, "outside the Data block"),
        ({"data": "Data:\n\t2026-02-20 08:00\t5.0\nMore:\n 2026-02-20 08:05 5.0\n"}, "outside the Data block"),
        ({"conf": " Temp unit: F\n"}, "unit"),
        ({"day": "  Min T: warm\n"}, "wanted a number"),
        ({"acc": "  Alarm:\n   1:\n    t Acc: many\n"}, "whole number"),
        ({"acc": "  Alarm:\n   1:\n    t Acc: 5, TS A: 25:00\n"}, "time of day"),
        ({"alarm": "  1:\n   T AL: x, t AL: 1\n"}, "T AL"),
        ({"data": "Data:\n\t2026-02-30 08:00\t5.0\n"}, "line"),
        ({"data": "Data:\n\t2026-02-20 0\n"}, "not a row"),
        ({"data": "Data:\n\tyyyy-yyyy\tT\n\t2026\t5\n"}, "time format"),
        ({"device": "Q-tag Fridge-tag 2\nnonsense"}, "key: value"),
        ({"device": "Q-tag Fridge-tag 2\n" + " " * 40 + "x: 1"}, "indented"),
    ],
)
def test_a_wrong_fridge_tag_file_says_what_is_wrong(fridge_tag: Build, make: dict[str, str], says: str) -> None:
    with pytest.raises(LoggerFileError, match=says):
        decode_file(fridge_tag(**make).encode())


# --- plain CSV --------------------------------------------------------------------------------------------


def test_csv_plain() -> None:
    f = csv("time,temperature_c\n2026-03-01 08:00,5.0\n2026-03-01 08:15,8.125\n")
    assert [(r.local_ms, r.value_c, r.offset_min) for r in f.readings] == [
        (at("2026-03-01 08:00"), Decimal(5), None),
        (at("2026-03-01 08:15"), Decimal("8.125"), None),
    ]
    assert f.notes == ()


@pytest.mark.parametrize(
    "text",
    [
        "time;temperature_c\n2026-03-01 08:00;5,5\n",
        "time\ttemperature_c\n2026-03-01 08:00\t5,5\n",
        'time,temperature_c\n2026-03-01 08:00,"5,5"\n',
        '"time","temperature_c"\r\n"2026-03-01T08:00:00","5.50"\r\n',
        "\ufeffTime,Temperature_C\n2026-03-01T08:00,+5.5\n",
        "device,temperature_c,time\nD1,5.5,2026-03-01 08:00:00\n",
        "\n\ntime,temperature_c\n\n2026-03-01 08:00,5.5\n\n",
        "waktu;suhu\n2026-03-01 08:00:00.000;5,5\n",
        "2026-03-01 08:00,5.5\n",
        "sep=;\ntime;temperature_c\n2026/03/01 08:00;5,5\n",
        "time,temperature_c\n2026-03-01 08:00,5.5,\n",
        "time,temperature_c\n2026-03-01 08:00,5.5 C\n",
        "time;temperature_c\n2026-03-01 08:00;5,5 \u00b0C\n",
        "time,temperature_c\n2026-03-01 08:00,5.5\u00b0c,\n",
        "# our own export\ntime,temperature_c\n2026-03-01 08:00,5.5\n\x1a",
    ],
)
def test_csv_in_other_clothes(text: str) -> None:
    (r,) = csv(text).readings
    assert (r.local_ms, r.value_c) == (at("2026-03-01 08:00"), Decimal("5.5"))


@pytest.mark.parametrize(
    ("zone", "minutes"), [("Z", 0), ("+07:00", 420), ("+0700", 420), ("+07", 420), ("-03:30", -210), (" +08:00", 480)]
)
def test_csv_times_with_an_offset(zone: str, minutes: int) -> None:
    (r,) = csv(f"time,temperature_c\n2026-03-01T08:00:00{zone},5.5\n").readings
    assert (r.offset_min, r.instant_ms) == (minutes, at("2026-03-01 08:00") - minutes * 60_000)


@pytest.mark.parametrize("nothing", ["", "--.-", "NaN", "null", "N/A", "-", "inf", "err"])
def test_csv_a_missing_value_never_becomes_a_number(nothing: str) -> None:
    assert csv(f"time,temperature_c\n2026-03-01 08:00,{nothing}\n2026-03-01 08:15,5\n").readings[0].value_c is None


def test_csv_a_sensors_error_value_is_no_value_and_too_many_places_are_noted() -> None:
    f = csv("time,temperature_c\n2026-03-01 08:00,-127\n2026-03-01 08:15,5.12345\n2026-03-01 08:30,5.1000\n")
    assert [r.value_c for r in f.readings] == [None, Decimal("5.123"), Decimal("5.1")]
    assert len(f.notes) == 2


def test_csv_order_repeats_and_conflicts() -> None:
    f = csv("time,temperature_c\n2026-03-01 08:15,5\n2026-03-01 08:00,5\n2026-03-01 08:00,5.0\n2026-03-01 08:00,9\n")
    assert [r.value_c for r in f.readings] == [Decimal(5), Decimal(9), Decimal(5)]
    assert len(f.notes) == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        (" \n \n", "empty"),
        ("time,temperature_c\n", "no readings"),
        ("time,temperature_c\n2026-03-01 08:00,5.0\n2026-03-0", "line 3.*too few"),
        ("time,temperature_c\n2026-03-01 08:00,5.0\n2026-03-01 08:15,5.", "line 3.*wanted a number"),
        ("time,temperature_c\n2026-03-01 08:00,warm\n", "line 2.*wanted a number"),
        ("time,temperature_c\n2026-03-01 08:00,5,3\n", "line 2: 3 cells"),
        ("time,temperature_c\n2026-03-01 08:00,5,\n2026-03-01 08:15,5.0\n", "line 2: an empty cell"),
        ("time,temperature_c\n2026-03-01 08:00,41 F\n", "line 2.*wanted a number"),
        ("time,temperature_c\n2026-03-01 08:00,C\n", "line 2.*wanted a number"),
        ("time,temperature_c\n2026-03-01 08:00,abc\n", "line 2: temperature is 'abc'"),
        ("time,temperature_c\n01/03/2026 08:00,5\n", "not a time"),
        ("time,temperature_c\n2026-13-01 08:00,5\n", "line 2"),
        ("time,temperature_c\n1026-03-01 08:00,5\n", "cannot be meant"),
        ("time,temperature_c\n2026-03-01 08:00+23:00,5\n", "offset"),
        ("time,temperature_c\n2026-03-01 08:00,5\n2026-03-01T08:15Z,5\n", "some have none"),
        ("a,b\n1,2\n", "format is not known"),
        ("Device: Thermometer 9\n", "not known"),
    ],
)
def test_a_wrong_csv_says_where_and_what(text: str, says: str) -> None:
    with pytest.raises(LoggerFileError, match=says):
        csv(text)


@pytest.mark.parametrize("data", [b"%PDF-1.4 ...", b"\x00\x01\x02" * 50, b"\xff\xfea", b"PK\x03\x04" + bytes(60)])
def test_what_is_no_text_is_refused(data: bytes) -> None:
    with pytest.raises(LoggerFileError):
        decode_file(data)


# --- spoiled files: an answer or a clear error, never anything else ------------------------------------------


def answers(data: bytes) -> None:
    with suppress(LoggerFileError):
        assert decode_file(data).format


@FUZZ
@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    answers(data)
    answers(b"Device: Q-tag Fridge-tag 2\n" + data)
    answers(b"Device: Q-tag CLm\n" + data)
    answers(b"time,temperature_c\n" + data)


@FUZZ
@given(data=st.data(), which=st.sampled_from(["fridge_tag", "fridge_tag_2l", "q_tag", "csv"]))
def test_cut_and_spoiled_exports(fridge_tag: Build, q_tag: Build, data: st.DataObject, which: str) -> None:
    table = "Data:\n\tyyyy-MM-dd hh:mm\tT\tOut of limits\n\t2026-03-01 08:00\t4.0\n"
    whole = {
        "fridge_tag": fridge_tag(),
        "fridge_tag_2l": fridge_tag("Q-tag Fridge-tag 2 L", data=table),
        "q_tag": q_tag(),
        "csv": "time,temperature_c\n" + "2026-03-01 08:00,5.0\n" * 5,
    }[which].encode()
    body = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 6))):
        if body:
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    if body and data.draw(st.booleans()):
        i = data.draw(st.integers(0, len(body) - 1))
        body[i:i] = data.draw(st.binary(max_size=30))
    answers(bytes(body))


@FUZZ
@given(st.data())
def test_cutting_a_tag_file_inside_its_facts_is_never_taken_for_whole(
    fridge_tag: Build, q_tag: Build, data: st.DataObject
) -> None:
    for text in (fridge_tag(), q_tag()):
        cut = data.draw(st.integers(0, text.index("Sig: ") + 5))
        with suppress(LoggerFileError):
            f = decode_file(text[:cut].encode())
            assert NO_SIGNATURE in f.notes
            assert f.readings == decode_file(text.encode()).readings[: len(f.readings)]


def test_a_long_file_is_read_in_linear_time() -> None:
    """Forty thousand rows, and lines of a hundred thousand signs: neither may hang."""
    rows = "".join(f"2026-03-{1 + i // 1440 % 28:02d} {i // 60 % 24:02d}:{i % 60:02d},5.0\n" for i in range(40_000))
    assert len(csv("time,temperature_c\n" + rows).readings) == 40_000
    with pytest.raises(LoggerFileError):
        decode_file(b"Device: Fridge-tag\n" + b"a" * 100_000 + b"," * 100_000)
    with pytest.raises(LoggerFileError):
        decode_file(b"time,temperature_c\n2026-03-01 08:00," + b"9" * 200_000 + b"\n")


def test_a_version_number_with_dots_does_not_decide_the_order_of_dates_with_slashes() -> None:
    """03/04/2026 is the third of April or the fourth of March, whatever stands elsewhere."""
    with pytest.raises(LoggerFileError, match="may be day or month first"):
        iso_dates("Fw Vers: 1.2.2020\nTS: 03/04/2026 10:00\n")
    assert iso_dates("TS: 03/04/2026 10:00\nTS: 03/14/2026 10:00\n").startswith("TS: 2026-03-04 10:00")
    assert iso_dates("TS: 03.04.2026 10:00\n") == "TS: 2026-04-03 10:00\n"
