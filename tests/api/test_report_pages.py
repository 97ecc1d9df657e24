"""The report of a period on page, in JSON and as CSV: the same numbers, and nothing said that nobody knows."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from api import heavy
from api.reports import PeriodError, month_before, period_of
from gateway.records import Actor, Device
from ingest.store import Row

PAGE = "/sites/PKM-A/report"
JSON = f"/api/v1{PAGE}"
TWO_DAYS = "from=2026-11-19&to=2026-11-20"
MIN, HOUR, DAY = 60_000, 3_600_000, 86_400_000
BOSS = Actor("wiring", "super_admin")


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def equipment(world: Any, name: str, query: str = TWO_DAYS) -> dict[str, Any]:
    told = world.as_role("manager").get(f"{JSON}?{query}").json()
    return next(e for e in told["equipment"] if e["id"] == name)


def test_the_figures_of_two_days_are_what_the_readings_say(world: Any) -> None:
    """24 hours of readings, of these two missing and 10 h 55 min at 9.3; the hours before the first are unknown."""
    got = equipment(world, "KULKAS-A")
    time = got["time"]
    assert (time["above_ms"], time["below_ms"], time["known_ms"]) == (655 * MIN, 0, 1315 * MIN)
    assert time["in_range_ms"] + time["out_ms"] + time["unknown_ms"] == 41 * HOUR  # midnight of the 19th to now
    assert (got["availability"], got["in_range_percent"]) == (
        {"expected": 246, "received": 131, "percent": "53.5"},
        "50.2",
    )
    assert got["temperature"] == {"low_c": "5.1", "high_c": "9.3", "mean_c": "7.19"}
    assert [d["day"] for d in got["days"]] == ["2026-11-19", "2026-11-20"]
    assert got["smile_bands"][-1] == {"band": ">8", "under_1h": 0, "1_to_10h": 0, "over_10h": 1}
    assert got["alarms"] == [{"code": "HEAT", "confirmed": 1, "possible": 0}]
    assert got["answers"]["unanswered"] == 1
    assert (got["doors"], got["power"], got["compressor_percent"]) == (None, None, None)  # nobody tells of them


def test_req_14_a_month_of_one_days_data_is_never_called_in_range(world: Any) -> None:
    """A day of twenty is 5 %: no share and no "in range" in any of the three forms; time above is still told."""
    got = equipment(world, "KULKAS-B", "month=2026-11")
    assert (got["enough_data"], got["in_range_percent"], got["time"]["in_range_ms"]) == (False, None, None)
    page = world.log_in("manager", "en").get(PAGE).text
    assert "Less than half of the data: cannot be called in range" in page
    assert "of the known time in range" not in page
    rows = csv_of(world, "month=2026-11")
    assert rows["KULKAS-B", "time.in_range_min", "", "2026-11-01/2026-11-30"] == ("", "")
    assert rows["KULKAS-A", "time.above_min", "", "2026-11-01/2026-11-30"] == ("655.0", "min")
    assert rows["KULKAS-A", "alarms.confirmed", "HEAT", "2026-11-01/2026-11-30"] == ("1", "")


def csv_of(world: Any, query: str) -> dict[tuple[str, str, str, str], tuple[str, str]]:
    answer = world.as_role("manager").get(f"{JSON}.csv?{query}")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="PKM-A-2026-')
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    made = {(r["equipment"], r["figure"], r["part"], f"{r['from']}/{r['to']}"): (r["value"], r["unit"]) for r in rows}
    assert len(made) == len(rows)  # each line says a thing of its own
    return made


def test_req_35_the_times_of_an_answer_are_told(world: Any) -> None:
    """Alarm 10:00, ack 10:25, resolved 12:00 -> 25 min, 120 min."""
    finding = world.records.finding("HEAT-1")
    opened_ms = world.records.alarm("HEAT-1").opened_ms
    world.records.acknowledge("HEAT-1", BOSS, "moved the vaccines", opened_ms + 25 * MIN)
    world.records.save_findings([replace(finding, end_ms=opened_ms + 120 * MIN)], opened_ms + 121 * MIN)
    world.clock.now += 3 * HOUR
    answers = equipment(world, "KULKAS-A")["answers"]
    assert (answers["acknowledged_median_ms"], answers["resolved_median_ms"]) == (25 * MIN, 120 * MIN)
    page = text_of(world.log_in("manager", "en").get(f"{PAGE}?{TWO_DAYS}").text)
    assert "Answered after 25 min (median), at the longest 25 min" in page
    assert "Over after 2 h (median), at the longest 2 h" in page


def test_req_14_a_report_that_ends_says_of_its_last_hours_what_a_longer_one_says(world: Any) -> None:
    """Interval 1 h, last reading 22:00 on the 20th, next 20:00 on the 21st: 23 h in range and 1 h unknown of the 20th."""
    device = replace(world.records.device("LOG-2"), serial="LOG-77", equipment="FREEZER-A", interval_s=3600)
    world.records.upsert_device(device, BOSS, "installed", world.clock.now - 3 * DAY)
    (sample,) = world.store.latest(["LOG-2/temperature_c"]).values()
    midnight = world.clock.now - 17 * HOUR  # of the 20th in Jayapura
    world.store.append(
        [
            replace(sample, stream_id="LOG-77/temperature_c", t_ms=midnight + h * HOUR, value=Decimal("-20.0"))
            for h in [*range(23), 44]
        ]
    )
    world.clock.now += 4 * DAY
    for query in ("from=2026-11-20&to=2026-11-20", "from=2026-11-20&to=2026-11-21"):
        day = equipment(world, "FREEZER-A", query)["days"][0]["time"]
        assert (day["in_range_ms"], day["unknown_ms"]) == (23 * HOUR, HOUR), query


def test_smile_15_an_excursion_across_a_midnight_is_of_the_day_in_which_it_began_and_the_page_says_so(
    world: Any,
) -> None:
    """KULKAS-A is at 9.3 on the 20th from 06:00 on; the day after has none of it."""
    world.clock.now += 2 * DAY
    (sample,) = world.store.latest(["LOG-1/temperature_c"]).values()
    world.store.append(
        [replace(sample, t_ms=sample.t_ms + n * 10 * MIN, value=Decimal("9.3")) for n in range(1, 12 * 6)]
    )
    bands = [
        next(b for b in equipment(world, "KULKAS-A", f"from={d}&to={d}")["smile_bands"] if b["band"] == ">8")
        for d in ("2026-11-20", "2026-11-21")
    ]
    assert [(b["under_1h"], b["1_to_10h"], b["over_10h"]) for b in bands] == [(0, 0, 1), (0, 0, 0)]
    for language, wanted in (
        ("id", "dihitung satu kali, dengan seluruh lamanya"),
        ("en", "is counted once, by its whole length"),
    ):
        assert wanted in world.log_in("manager", language).get(f"{PAGE}?{TWO_DAYS}").text


def test_req_38_what_is_uncalibrated_is_left_out_and_said(world: Any) -> None:
    """The certificate ended before the warm hours: they are unknown in the report, and shown as left out."""
    now, device = world.clock.now, world.records.device("LOG-1")
    lapsed = replace(device, calibrated_until_ms=now - 11 * HOUR)
    world.records.upsert_device(lapsed, BOSS, "certificate", now - 12 * HOUR)
    got = equipment(world, "KULKAS-A")
    assert (got["time"]["above_ms"], got["uncalibrated"]["readings"]) == (0, 66)
    assert got["uncalibrated"]["percent"] == "50.0"
    assert got["uncalibrated"]["temperature"]["high_c"] == "9.3"
    page = text_of(world.log_in("manager", "id").get(f"{PAGE}?{TWO_DAYS}").text)
    assert (
        "Data dengan kalibrasi berlaku kurang dari separuh: tidak dapat disebut dalam batas Data tersedia 53,5 %"
        in page
    )
    assert "Tidak dihitung: kalibrasi habis 50,0 % data (66 kali). 9,3 sampai 9,3 °C" in page
    assert "Alat ukur dengan kalibrasi habis 1: LOG-1" in page
    assert "Alat ukur tanpa catatan kalibrasi 1: LOG-2" in page


def test_req_38_a_correction_applies_from_its_date_and_the_report_names_it(world: Any) -> None:
    """Two degrees less from the first warm hour on: 7.3 is in range; before that date the raw value counts."""
    from_ms = world.clock.now - 11 * HOUR
    world.records.correct_probe(
        "LOG-1/temperature_c", from_ms, Decimal("-2.0"), "KAL-17", BOSS, "compared at the province", world.clock.now
    )
    got = equipment(world, "KULKAS-A")
    assert (got["time"]["above_ms"], got["temperature"]["high_c"]) == (0, "7.3")
    assert got["corrected"] == [
        {"stream": "LOG-1/temperature_c", "from": "2026-11-19T21:00:00.000Z", "offset_c": "-2.0"}
    ]
    page = text_of(world.log_in("manager", "en").get(f"{PAGE}?{TWO_DAYS}").text)
    assert "Values corrected by certificate LOG-1/temperature_c: −2.0 °C, since 20 Nov 2026 06:00 WIT" in page
    rows = csv_of(world, TWO_DAYS)
    at = "LOG-1/temperature_c 2026-11-19T21:00:00.000Z"
    assert rows["KULKAS-A", "time.above_min", "", "2026-11-20/2026-11-20"] == ("0.0", "min")
    assert rows["KULKAS-A", "corrected.offset_c", at, "2026-11-19/2026-11-20"] == ("-2.0", "Cel")
    assert equipment(world, "KULKAS-A", "from=2026-11-18&to=2026-11-18")["corrected"] == []


def test_req_12_what_a_person_marked_is_unknown_and_named(world: Any) -> None:
    """The first of the eleven warm hours was a logger on a table: unknown in the report, with who said so."""
    from_ms = world.clock.now - 11 * HOUR
    world.records.mark_readings(
        "LOG-1/temperature_c", from_ms, from_ms + HOUR, BOSS, "lay on the table", world.clock.now
    )
    got = equipment(world, "KULKAS-A")
    assert got["time"]["above_ms"] == 595 * MIN
    (marked,) = got["marked"]
    assert (marked["from"], marked["said_by"]) == ("2026-11-19T21:00:00.000Z", "wiring")
    page = text_of(world.log_in("manager", "id").get(f"{PAGE}?{TWO_DAYS}").text)
    assert "LOG-1/temperature_c: 20 Nov 2026 06.00 WIT sampai 20 Nov 2026 07.00 WIT, oleh wiring" in page


def test_a_reading_counts_where_its_device_stood_then(world: Any) -> None:
    """LOG-2 moved into fridge A: what it said before stays fridge B's."""
    before = equipment(world, "KULKAS-B")
    world.clock.now += MIN
    moved = replace(world.records.device("LOG-2"), equipment="KULKAS-A")
    world.records.upsert_device(moved, BOSS, "moved", world.clock.now)
    after = equipment(world, "KULKAS-B", "from=2026-11-19&to=2026-11-20")
    assert after["readings"] == before["readings"] == 132


def test_doors_and_power_of_a_ds01_device_are_told_by_local_day(world: Any) -> None:
    device = Device("EMD-1", "PKM-A", "E1", "file", "KULKAS-B", 900)
    world.records.upsert_device(device, BOSS, "installed", world.clock.now)
    (sample,) = world.store.latest(["LOG-2/temperature_c"]).values()
    midnight = world.clock.now - 17 * HOUR  # of the 20th in Jayapura

    def rows(quantity: str, values: list[str]) -> list[Row]:
        return [
            replace(sample, stream_id=f"EMD-1/{quantity}", t_ms=midnight + (i - 3) * 15 * MIN, value=Decimal(v))
            for i, v in enumerate(values)
        ]

    world.store.append(rows("door_openings", ["1"] * 8) + rows("door_open_s", ["20"] * 8))
    world.store.append(rows("mains_available_s", ["900", "0", "0", "0", "0", "900", "900", "900"]))
    got = equipment(world, "KULKAS-B")
    assert got["doors"] == [
        {"day": "2026-11-19", "openings": 4, "open_s": 80},  # the record at midnight speaks of the 19th
        {"day": "2026-11-20", "openings": 4, "open_s": 80},
    ]
    assert got["power"] == {"percent": "50.0", "outages": 1, "longest_ms": HOUR}
    page = text_of(world.log_in("manager", "en").get(f"{PAGE}?{TWO_DAYS}").text)
    assert "Door openings: 8, open for 2 min" in page
    assert "Mains available 50.0 %, outages: 1, the longest 1 h" in page


@pytest.mark.parametrize("language", ["id", "en"])
def test_the_page_says_what_the_json_says_in_both_languages(world: Any, language: str) -> None:
    page = text_of(world.log_in("manager", language).get(f"{PAGE}?{TWO_DAYS}").text)
    wanted = {
        "id": [
            "50,2 % dari waktu yang diketahui dalam batas; diketahui 53,5 %",
            "Di atas 8,0 °C 10 jam 55 menit",
            "53,5 % (131 dari 246",
        ],
        "en": ["50.2 % of the known time in range", "Above 8.0 °C 10 h 55 min", "53.5 % (131 of 246"],
    }
    assert [text for text in wanted[language] if text not in page] == []


def test_req_14_of_an_equipment_without_a_reading_nothing_is_said_but_that(world: Any) -> None:
    """Neither "none above" nor SMILE's zeros: nobody knows."""
    freezer = equipment(world, "FREEZER-A")
    assert (freezer["time"]["known_ms"], freezer["temperature"], freezer["smile_bands"]) == (0, None, [])
    page = world.log_in("manager", "en").get(f"{PAGE}?{TWO_DAYS}").text
    card = text_of(page[page.index("Freezer A") : page.index("Kulkas A")])
    assert "Above" not in card
    assert "Unknown 1 d 17 h" in card
    assert "Below 2.0 °C none as far as known" in text_of(page[page.index("Kulkas A") :])


def test_the_menu_leads_an_officer_to_the_report_and_an_operator_not(world: Any) -> None:
    """16: an operator asking for a report gets 403 (tests/api/test_roles.py walks all three routes)."""
    assert 'href="/sites/PKM-A/report"' in world.log_in("manager").get("/sites/PKM-A").text
    assert 'href="/sites/PKM-A/report"' not in world.log_in("operator").get("/sites/PKM-A").text


def test_a_period_is_a_month_or_up_to_92_days_and_never_to_come(world: Any) -> None:
    now, zone = world.clock.now, "Asia/Jayapura"
    assert (period_of(zone, now).first, period_of(zone, now).last) == (date(2026, 11, 1), date(2026, 11, 30))
    assert period_of(zone, now, "2026-02").last == date(2026, 2, 28)
    assert len(period_of(zone, now, first="2026-08-01", last="2026-10-31").days()) == 92
    assert period_of(zone, now, first="2026-11-20").last == date(2026, 11, 20)
    assert month_before(date(2026, 1, 31)) == "2025-12"
    for wrong in ("2026-13", "1999-12", "11-2026", "2026-12"):
        with pytest.raises(PeriodError):
            period_of(zone, now, wrong)
    for first, last in (("2026-08-01", "2026-11-01"), ("2026-11-02", "2026-11-01"), ("today", "")):
        with pytest.raises(PeriodError):
            period_of(zone, now, first=first, last=last)
    answer = world.as_role("manager").get(f"{JSON}?month=2027-01")
    assert (answer.status_code, answer.json()["reason"]) == (422, "bad_input")
    page = world.log_in("manager", "en").get(f"{PAGE}?month=2027-01")
    assert page.status_code == 422
    assert "Choose a month as 2026-11" in page.text


@pytest.mark.parametrize(
    ("language", "wanted"),
    [("id", ["Coba lagi sebentar lagi", ">Coba lagi</a>"]), ("en", ["Try again in a moment", ">Try again</a>"])],
)
def test_one_report_is_made_at_a_time_and_nobody_waits_for_it_in_a_thread(
    world: Any, taken: Any, monkeypatch: pytest.MonkeyPatch, language: str, wanted: list[str]
) -> None:
    """Forty who waited would hold all threads that answer, and an alarm could not be acknowledged (found in review)."""
    monkeypatch.setattr(heavy, "_ASKING", taken)
    answer = world.as_role("manager").get(JSON)
    assert (answer.status_code, answer.json()["reason"], answer.json()["again"]) == (503, "busy", True)
    assert answer.headers["retry-after"] == "5"
    page = world.log_in("manager", language).get(f"{PAGE}?{TWO_DAYS}")
    assert (page.status_code, page.headers["retry-after"]) == (503, "5")
    assert [text for text in wanted if text not in page.text] == []
    assert f'href="{PAGE}?{TWO_DAYS.replace("&", "&amp;")}"' in page.text  # the same question once more


def test_a_name_that_begins_like_a_formula_does_none(world: Any) -> None:
    e = world.records.equipment("KULKAS-B")
    world.records.upsert_equipment(replace(e, name="=1+1"), BOSS, "a joke", world.clock.now)
    answer = world.as_role("manager").get(f"{JSON}.csv?{TWO_DAYS}").text
    assert ",'=1+1," in answer
    assert ",=1+1," not in answer


def test_the_days_to_look_at_begin_with_those_out_of_range_and_join_the_unknown_ones(world: Any) -> None:
    """Nineteen days without enough data are one line, behind the one day that was too warm."""
    page = text_of(world.log_in("manager", "en").get(f"{PAGE}?month=2026-11").text)
    days = page[page.index("Days to look at") :]
    assert days.index("20 Nov 2026 Above 8.0 °C 10 h 55 min") < days.index("1 Nov 2026 to 19 Nov 2026 (19 days)")


def test_every_duration_of_the_csv_is_named_by_the_unit_it_is_written_in(world: Any) -> None:
    rows = list(csv.DictReader(io.StringIO(world.as_role("manager").get(f"{JSON}.csv?{TWO_DAYS}").text)))
    assert {row["unit"] for row in rows if row["figure"].endswith("_min")} == {"min", ""}
    assert [row for row in rows if row["figure"].endswith("_ms")] == []
