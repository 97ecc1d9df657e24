"""The equipment's page beside its chart: a forecast said as one, sensors, data availability, calibration."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alerts.counters import Tally
from alerts.forecast import Silence
from api.equipment_words import availability, forecast_text, silence_text
from api.words import LANGUAGES, Words, catalogue
from gateway.records import Actor, Finding

HOUR, MINUTE = 3_600_000, 60_000
PAGE = "/sites/PKM-A/equipment/KULKAS-A"
BOSS = Actor("wiring", "super_admin")


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def forecast(now_ms: int, **changes: Any) -> dict[str, Any]:
    return {
        "code": "ABOVE_SOON", "limit_c": "8.0", "low_min": 25, "likely_min": 40, "high_min": 70, "basis": "curve",
        "made_ms": now_ms, "value_c": "6.4",
    } | changes  # fmt: skip


def test_a_forecast_is_shown_as_a_forecast_with_range_and_basis(world: Any) -> None:
    """Issue 4: said as a forecast, "at this rate above 8 degrees in about 40 minutes"."""
    now = world.clock.now
    world.records.save_forecasts({"KULKAS-A": {"forecast": forecast(now)}}, now)
    english = text_of(world.log_in("operator", "en").get(PAGE).text)
    assert "Forecast If nothing changes: above 8.0 °C in about 40 min." in english
    assert "in 25 min to 1 h 10 min" in english
    assert "From the rate of warming" in english
    assert "no alarm and no reading" in english
    bahasa = text_of(world.log_in("operator", "id").get(PAGE).text)
    assert "Perkiraan Bila tidak ada yang berubah: di atas 8,0 °C dalam kira-kira 40 menit." in bahasa
    told = world.as_role("operator").get("/api/v1/sites/PKM-A/equipment/KULKAS-A").json()["forecast"]
    assert (told["likely_min"], told["basis"], told["limit_c"]) == (40, "curve", 8)


def test_the_page_says_why_nothing_is_forecast_in_both_languages(world: Any) -> None:
    now = world.clock.now
    said = {"forecast": None, "silence": {"why": "usual", "since_ms": now - HOUR}, "holdovers": []}
    world.records.save_forecasts({"KULKAS-A": said}, now)
    assert "di antara dua putaran kompresor (sejak" in text_of(world.log_in("operator", "id").get(PAGE).text)
    asked = "/api/v1/sites/PKM-A/equipment/KULKAS-A"
    told_json = world.as_role("operator").get(asked).json()
    assert (told_json["forecast"], told_json["forecast_silence"]) == (None, {"why": "usual", "since_ms": now - HOUR})
    world.clock.now += 6 * HOUR
    quiet = world.as_role("operator").get(asked).json()["forecast_silence"]
    assert quiet == {"why": "no_readings", "since_ms": None}
    known = {name.removeprefix("forecast_silence.") for name in catalogue() if name.startswith("forecast_silence.")}
    assert known == {why.value for why in Silence}
    told = {"why": "usual", "since_ms": now}
    assert silence_text(Words("en"), "Asia/Jakarta", told, heard=True).startswith("The reason: it is no warmer")
    assert silence_text(Words("en"), "Asia/Jakarta", told, heard=False) == "there are no new readings"
    assert silence_text(Words("en"), "Asia/Jakarta", None, heard=True) == ""
    assert silence_text(Words("en"), "Asia/Jakarta", {"why": "later", "since_ms": 0}, heard=True) == ""


@pytest.mark.parametrize("what", ["waste", "frozen"])
def test_no_forecast_is_spoken_of_in_a_waste_store_or_where_cold_is_the_alarm(world: Any, what: str) -> None:
    asker = world.log_in("operator", "en")
    assert "No forecast now" in text_of(asker.get(PAGE).text)
    if what == "waste":
        store = replace(world.records.equipment("KULKAS-A"), kind="waste_store")
        world.records.upsert_equipment(store, Actor("boss", "super_admin"), "waste is kept there", world.clock.now)
    else:
        frozen = replace(
            world.records.finding("HEAT-1"), id="FRZE-1", code="FRZE", rule="refrigerator/FRZE", end_ms=None
        )
        world.records.save_findings([frozen], world.clock.now)
    assert "No forecast now" not in text_of(asker.get(PAGE).text)


def test_the_hours_of_a_day_are_told_with_their_dates(world: Any) -> None:
    """Twenty-four hours lie in two days: an hour alone does not say which."""
    page = text_of(world.log_in("operator", "en").get(PAGE).text)
    assert "19 Nov 18:00" in page
    assert "20 Nov 16:00" in page


def test_an_old_forecast_tells_nothing_of_now(world: Any) -> None:
    now = world.clock.now
    made = forecast(now)
    assert forecast_text(Words("en"), "Asia/Jakarta", made, now + 10 * MINUTE) is not None
    assert "in about 30 min" in forecast_text(Words("en"), "Asia/Jakarta", made, now + 10 * MINUTE)["text"]  # type: ignore[index]
    assert forecast_text(Words("en"), "Asia/Jakarta", made, now + 15 * MINUTE) is None
    assert forecast_text(Words("en"), "Asia/Jakarta", made, now - 1) is None
    world.records.save_forecasts({"KULKAS-A": {"forecast": forecast(now - HOUR)}}, now)
    assert "Forecast" not in text_of(world.log_in("operator").get(PAGE).text)


def sensor(world: Any, code: str, **changes: Any) -> Finding:
    evidence = {"level": "notice", "stream": "LOG-1/temperature_c", "reason": "", **changes.pop("evidence", {})}
    made = replace(world.records.finding("HEAT-1"), id=f"{code}-1", rule=f"sensor_rules/{code}", code=code, alarms=False,
                   evidence=evidence, extreme_c=None)  # fmt: skip
    return replace(made, **changes)


def test_findings_of_sensors_stand_on_the_page_and_ask_nobody(world: Any) -> None:
    """smile-and-waste 13 to 15, cold-chain.md 12, 13: told, with what was measured; never as an alarm."""
    now = world.clock.now
    far = {"details": {"other": "LOG-7/temperature_c", "difference_c": "3.4"}}
    world.records.save_findings(
        [
            sensor(world, "DISAGREE", evidence=far),
            sensor(world, "OFFLINE", evidence={"level": "warning", "reason": "1_to_10h"}),
            sensor(world, "STUCK", end_ms=now - 2 * HOUR),
            sensor(
                world, "NOISE", end_ms=now - 25 * HOUR, event_ms=now - 26 * HOUR, episode_start_ms=now - 27 * HOUR
            ),
        ],
        now,
    )
    page = text_of(world.log_in("operator", "id").get(PAGE).text)
    assert "Dua alat berbeda" in page
    assert "beda 3,4 °C, dibanding LOG-7/temperature_c." in page
    assert "Alat tidak terhubung: 1 sampai 10 jam" in page
    assert page.index("Dua alat berbeda") < page.index("Nilai alat macet")  # what goes on comes first
    assert "Nilai alat tidak tenang" not in page  # over for more than a day
    assert len(world.records.open_alarms("PKM-A")) == 1


def test_every_code_and_reason_of_the_equipment_rules_has_words() -> None:
    """Read from the sources of alerts.equipment, so that a new rule cannot be shown as a bare code."""
    import alerts.equipment

    folder = Path(alerts.equipment.__file__).parent
    source = "".join(p.read_text("utf-8") for p in sorted(folder.glob("*.py")))
    codes = set(re.findall(r'^\s+code = "([A-Z_]+)"', source, re.MULTILINE)) | {"DOOR_POSSIBLE"}
    codes |= set(re.findall(r"^\[([A-Z_]+)\]", (folder / "thresholds.toml").read_text("utf-8"), re.MULTILINE))
    assert len(codes) > 12
    assert {f"{group}.{code}" for code in codes for group in ("code", "sensor_means")} - set(catalogue()) == set()
    reasons = set(re.findall(r'(?:reason=|return |else )"([a-z_0-9]+)"', source)) - {"gap", ""}
    assert {r for r in reasons if f"finding_reason.{r}" not in catalogue()} == set()
    details = set(re.findall(r'\(\("([a-z_]+)", ', source)) | {"mains_s"}
    assert {d for d in details if f"detail.{d}" not in catalogue()} == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_missing_data_is_never_rounded_away(language: str) -> None:
    day = Tally(0, 24 * HOUR, (), 1)
    assert "99 %" in availability(Words(language), day)


def test_38_a_device_whose_calibration_ran_out_is_marked(world: Any) -> None:
    """cold-chain.md 38: the readings stay, marked."""
    (device,) = world.records.devices("PKM-A", "KULKAS-A")
    past = replace(device, calibrated_until_ms=world.clock.now - 1, calibration_error_c=Decimal("0.2"))
    world.records.upsert_device(past, BOSS, "certificate", world.clock.now)
    assert "expired 20 Nov 2026" in text_of(world.log_in("operator").get(PAGE).text)
    good = replace(past, calibrated_until_ms=world.clock.now + HOUR)
    world.records.upsert_device(good, BOSS, "certificate", world.clock.now)
    assert "until 20 Nov 2026" in text_of(world.log_in("operator").get(PAGE).text)


def test_10_since_when_a_device_is_in_service_is_registered_with_a_reason_and_shown(world: Any) -> None:
    body = {"serial": "LOG-1", "site": "PKM-A", "edge": "E1", "driver": "bthome", "equipment": "KULKAS-A"}
    told = body | {"interval_s": 600, "in_service_ms": world.clock.now - 40 * 86_400_000, "reason": "its data sheet"}
    sent = world.as_role("super_admin").post("/api/v1/devices", json=told)
    assert sent.status_code == 200, sent.text
    devices = world.as_role("operator").get("/api/v1/sites/PKM-A/devices").json()
    assert [d["in_service_ms"] for d in devices if d["serial"] == "LOG-1"] == [told["in_service_ms"]]
    page = world.log_in("operator", "en").get("/sites/PKM-A/equipment/KULKAS-A").text
    assert "In service since" in page
