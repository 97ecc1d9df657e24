"""The JSON API: what it tells and what it takes, over real records and a real store."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

WHY = {"reason": "asked for by the test"}


def test_equipment_tells_state_last_reading_and_range_state(world: Any) -> None:
    rows = {e["id"]: e for e in world.as_role("operator").get("/api/v1/sites/PKM-A/equipment").json()}
    warm, fine, bare = rows["KULKAS-A"], rows["KULKAS-B"], rows["FREEZER-A"]
    assert (warm["state"], warm["range_state"], warm["open_alarms"]) == ("alarm", "out", ["HEAT-1"])
    assert (warm["latest"]["value"], warm["low_c"], warm["high_c"]) == (9.3, 2, 8)
    assert warm["age_ms"] == 5 * 60_000
    assert (fine["state"], fine["range_state"], fine["latest"]["value"]) == ("in", "in", 4.2)
    assert (bare["state"], bare["range_state"], bare["latest"], bare["age_ms"]) == (
        "no_device",
        "unknown",
        None,
        None,
    )


def test_readings_come_in_pages_that_leave_nothing_out(world: Any) -> None:
    asker, seen, after = world.as_role("admin"), [], None
    base = "/api/v1/sites/PKM-A/readings?stream=LOG-1/temperature_c&from_ms=0&to_ms=2000000000000&limit=50"
    for _ in range(10):
        page = asker.get(base + (f"&after={after}" if after else "")).json()
        seen += [r["t_ms"] for r in page["rows"]]
        after = page["next"]
        if after is None:
            break
    assert len(seen) == world.store.count("LOG-1/temperature_c") == 132
    assert seen == sorted(set(seen))


@pytest.mark.parametrize(
    "query",
    [
        "stream=LOG-1/temperature_c&from_ms=5&to_ms=5",
        "stream=LOG-1/nonsense&from_ms=0&to_ms=5",
        "stream=LOG-1/temperature_c&from_ms=-1&to_ms=5",
        "stream=LOG-1/temperature_c&from_ms=0&to_ms=5&limit=5001",
        "stream=LOG-1/temperature_c&from_ms=0&to_ms=5&after=1.2;DROP",
        "from_ms=0&to_ms=5",
    ],
)
def test_bad_questions_are_answered_with_a_problem(world: Any, query: str) -> None:
    answer = world.as_role("admin").get(f"/api/v1/sites/PKM-A/readings?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["reason"] == "bad_input"
    assert answer.json()["detail"]
    assert answer.json()["advice"]


def test_a_stream_of_another_site_is_not_read_through_this_one(world: Any) -> None:
    query = "stream=LOG-9/temperature_c&from_ms=0&to_ms=2000000000000"
    assert world.as_role("operator").get(f"/api/v1/sites/PKM-A/readings?{query}").status_code == 404


def test_an_alarm_is_answered_once_and_by_name(world: Any) -> None:
    asker = world.as_role("operator")
    done = asker.post("/api/v1/alarms/HEAT-1/acknowledge", json={"comment": "  door closed "}).json()
    assert (done["state"], done["acknowledged_by"], done["comment"]) == ("acknowledged", "operator", "door closed")
    again = asker.post("/api/v1/alarms/HEAT-1/acknowledge", json={"comment": "once more"})
    assert (again.status_code, again.json()["reason"]) == (409, "ALREADY_ACKNOWLEDGED")
    assert asker.post("/api/v1/alarms/NONE/acknowledge", json={"comment": "door"}).status_code == 404


@pytest.mark.parametrize("comment", ["", "  ", "ab", "x" * 501])
def test_a_comment_is_needed_and_bounded(world: Any, comment: str) -> None:
    answer = world.as_role("operator").post("/api/v1/alarms/HEAT-1/acknowledge", json={"comment": comment})
    assert (answer.status_code, answer.json()["fields"][0]["field"]) == (422, "body.comment")


def test_25_a_batch_is_discarded_by_a_named_person_with_a_reason(world: Any) -> None:
    """cold-chain.md 25: release and discard need a named person and a reason; 23, 26: verdict with its why."""
    asker = world.as_role("manager")
    before = asker.get("/api/v1/sites/PKM-A/batches/B1").json()
    assert (before["verdict"]["verdict"], before["verdict"]["findings"]) == ("hold_and_inspect", ["HEAT-1"])
    assert before["placements"][0]["equipment"] == "KULKAS-A"
    refused = asker.post("/api/v1/batches/B1/decision", json={"decision": "discarded", "reason": " "})
    assert refused.status_code == 422
    done = asker.post(
        "/api/v1/batches/B1/decision", json={"decision": "discarded", "reason": "VVM at stage C"}
    ).json()
    assert (done["state"], done["decision"], done["decided_by"]) == ("decided", "discarded", "manager")
    back = asker.post("/api/v1/batches/B1/decision", json={"decision": "released", "reason": "changed my mind"})
    assert (back.status_code, back.json()["reason"]) == (409, "DISCARDED_IS_FINAL")
    none = asker.post("/api/v1/batches/B2/decision", json={"decision": "released", "reason": "looks fine"})
    assert (none.status_code, none.json()["reason"]) == (409, "NO_VERDICT")
    assert asker.post("/api/v1/batches/B1/decision", json={"decision": "cleared", **WHY}).status_code == 422


def test_a_move_ends_one_placement_and_begins_the_next(world: Any) -> None:
    asker = world.as_role("operator")
    moved = asker.post("/api/v1/batches/B1/placements", json={"equipment": "KULKAS-B", **WHY})
    assert moved.status_code == 201
    places = asker.get("/api/v1/sites/PKM-A/batches/B1").json()["placements"]
    assert [(p["equipment"], p["to_ms"]) for p in places] == [("KULKAS-A", world.clock.now), ("KULKAS-B", None)]
    again = asker.post("/api/v1/batches/B1/placements", json={"equipment": "KULKAS-B", **WHY})
    assert (again.status_code, again.json()["reason"]) == (409, "ALREADY_PLACED")
    future = {"equipment": "KULKAS-A", "from_ms": world.clock.now + 1, **WHY}
    assert asker.post("/api/v1/batches/B1/placements", json=future).status_code == 422
    world.clock.now += 60_000
    foreign = asker.post("/api/v1/batches/B1/placements", json={"equipment": "KULKAS-C", **WHY})
    assert (foreign.status_code, foreign.json()["reason"]) == (409, "WRONG_SITE")


def test_a_placement_of_the_past_may_be_told_afterwards(world: Any) -> None:
    now = world.clock.now
    body = {"equipment": "KULKAS-B", "from_ms": now - 7_200_000, "to_ms": now - 3_600_000, **WHY}
    told = world.as_role("operator").post("/api/v1/batches/B2/placements", json=body).json()
    assert (told["from_ms"], told["to_ms"], told["said_by"]) == (body["from_ms"], body["to_ms"], "operator")


def test_22_a_vvm_stage_is_recorded_with_its_reader(world: Any) -> None:
    asker = world.as_role("operator")
    asker.post("/api/v1/batches/B1/vvm", json={"stage": "C", **WHY})
    vvm = asker.get("/api/v1/sites/PKM-A/batches/B1").json()["vvm"]
    assert (vvm["stage"], vvm["by"]) == ("C", "operator")


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({}, 201, ""),
        ({"code": "000132112026"}, 422, "BAD_BAG_CODE"),
        ({"code": "00120112026"}, 422, "bad_input"),
        ({"code": "000120112026"}, 409, "ALREADY_REGISTERED"),
        ({"color": "black"}, 409, "CLASS_DISAGREES"),
        ({"classification": "expired_vaccine", "waste_code": "A337-2", "color": "brown"}, 201, ""),
        ({"classification": "nonsense"}, 422, "BAD_VALUE"),
    ],
)
def test_26_27_bags_are_checked(world: Any, change: dict[str, str], status: int, reason: str) -> None:
    """smile-and-waste.md 26 (code) and 27 (class, code and colour agree)."""
    body = {
        "code": "000920112026", "site": "PKM-A", "classification": "infectious", "waste_code": "A337-1",
        "color": "yellow", "source_id": 1, "classification_id": 11, **WHY,
    }  # fmt: skip
    answer = world.as_role("operator").post("/api/v1/bags", json=body | change)
    assert (answer.status_code, answer.json().get("reason", "")) == (status, reason)


def test_21_a_weighing_keeps_its_decimals_and_is_tied_once(world: Any) -> None:
    """smile-and-waste.md 21: gross, tare and net as decimals; one weighing, one bag."""
    asker = world.as_role("operator")
    done = asker.post("/api/v1/weighings/W1/tie", json={"bag": "000120112026", **WHY}).json()
    assert (done["gross_kg"], done["tare_kg"], done["net_kg"], done["tied_by"]) == (7, 0.7, 6.3, "operator")
    assert Decimal(str(done["gross_kg"])) == Decimal(str(done["tare_kg"])) + Decimal(str(done["net_kg"]))
    for weighing, code, reason in (
        ("W1", "000220112026", "ALREADY_TIED"),
        ("W2", "000120112026", "BAG_ALREADY_WEIGHED"),
    ):
        answer = asker.post(f"/api/v1/weighings/{weighing}/tie", json={"bag": code, **WHY})
        assert (answer.status_code, answer.json()["reason"]) == (409, reason)
    unknown = asker.post("/api/v1/weighings/W2/tie", json={"bag": "009920112026", **WHY})
    assert unknown.status_code == 404
    assert [w["id"] for w in asker.get("/api/v1/sites/PKM-A/weighings?tied=false").json()] == ["W2"]


def test_a_wrong_tie_is_corrected_by_a_manager_with_a_reason(world: Any) -> None:
    """smile-and-waste.md 21 and cold-chain.md 37: the first tie, the person and the reason stay kept."""
    clerk, boss = world.as_role("operator"), world.as_role("manager")
    wanted = {"bag": "000220112026", "reason": "labels were swapped"}
    early = boss.post("/api/v1/weighings/W1/tie/correct", json=wanted)
    assert (early.status_code, early.json()["reason"]) == (409, "NOT_TIED")
    clerk.post("/api/v1/weighings/W1/tie", json={"bag": "000120112026", **WHY})
    for body in ({"bag": "000220112026"}, wanted | {"reason": "  "}):
        assert boss.post("/api/v1/weighings/W1/tie/correct", json=body).status_code == 422
    assert clerk.post("/api/v1/weighings/W1/tie/correct", json=wanted).status_code == 403
    done = boss.post("/api/v1/weighings/W1/tie/correct", json=wanted).json()
    assert (done["bag"], done["tied_by"]) == ("000220112026", "manager")
    (kept,) = world.records.corrections("W1")
    assert (kept.by, kept.reason) == ("manager", "labels were swapped")
    assert "000120112026" in str(kept)
    # The bag that was never on the scale is free again; page: only who may is offered the form.
    assert clerk.post("/api/v1/weighings/W2/tie", json={"bag": "000120112026", **WHY}).status_code == 200
    assert "/tie/correct" in world.log_in("manager").get("/sites/PKM-A/weighing").text
    assert "/tie/correct" not in world.log_in("operator").get("/sites/PKM-A/weighing").text


def test_a_whole_site_is_made_through_the_api_alone(world: Any) -> None:
    """Each creation and change with actor and reason, and an audit row in the site's chain that verifies."""
    asker = world.as_role("super_admin")
    steps = (
        (
            "sites",
            {
                "id": "PKM-N",
                "name": "Baru",
                "region": "papua.biak",
                "zone": "Asia/Jayapura",
                "shard": "s1",
                "level": "puskesmas",
            },
        ),
        (
            "equipment",
            {"id": "K-N", "site": "PKM-N", "name": "Kulkas", "kind": "refrigerator", "profile": "refrigerator"},
        ),
        (
            "devices",
            {
                "serial": "LOG-N",
                "site": "PKM-N",
                "edge": "EN",
                "driver": "bthome",
                "equipment": "K-N",
                "interval_s": 600,
            },
        ),
        (
            "batches",
            {
                "id": "BN",
                "site": "PKM-N",
                "product_kfa": "93001284",
                "product_name": "DPT",
                "batch_number": "N1",
                "expires_on": "2027-01-31",
                "doses": 10,
            },
        ),
    )
    for path, body in steps:
        assert asker.post(f"/api/v1/{path}", json=body | WHY).json()["change"] == "created"
        assert asker.post(f"/api/v1/{path}", json=body | WHY).json()["change"] == "unchanged"
        assert asker.post(f"/api/v1/{path}", json=body).status_code == 422  # no reason
        assert asker.post(f"/api/v1/{path}", json=body | WHY | {"surprise": 1}).status_code == 422
    changed = asker.post("/api/v1/devices", json=dict(steps[2][1], interval_s=300) | {"reason": "faster"}).json()
    assert changed["change"] == "changed"
    assert asker.post("/api/v1/batches/BN/placements", json={"equipment": "K-N", **WHY}).status_code == 201
    rows = asker.get("/api/v1/sites/PKM-N/audit").json()
    assert {(r["actor"], r["role"]) for r in rows} == {("super_admin", "super_admin")}
    assert rows[-2]["reason"] == "faster"
    chain = asker.get("/api/v1/sites/PKM-N/audit/verify").json()
    assert (chain["ok"], chain["rows"], chain["head"]) == (True, len(rows), rows[-1]["hash"])


def test_37_a_row_altered_behind_our_back_is_named(world: Any) -> None:
    """cold-chain.md 37: altering a stored row breaks chain verification; page and API say so."""
    import sqlite3
    from contextlib import closing

    path = world.records._db.engine.url.database
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE audit SET reason = 'nothing happened' WHERE site = 'PKM-A' AND number = 3")
    chain = world.as_role("admin").get("/api/v1/sites/PKM-A/audit/verify").json()
    assert chain["ok"] is False
    assert chain["breaks"][0]["number"] == 3
    page = world.log_in("admin").get("/sites/PKM-A/audit").text
    assert "Chain broken" in page
    assert "Chain intact" not in page


def test_an_unknown_profile_is_refused_with_the_known_ones(world: Any) -> None:
    body = {"id": "K-X", "site": "PKM-A", "name": "X", "kind": "freezer", "profile": "frezer", **WHY}
    answer = world.as_role("super_admin").post("/api/v1/equipment", json=body)
    assert (answer.status_code, answer.json()["reason"]) == (422, "unknown_profile")
    assert "freezer" in answer.json()["advice"]


def test_a_quarantined_message_goes_through_only_when_its_cause_is_gone(world: Any) -> None:
    asker = world.as_role("manager")
    early = asker.post("/api/v1/quarantine/Q1/replay", json=WHY)
    assert (early.status_code, early.json()["reason"]) == (409, "device_not_registered")
    assert "LOG-77" in early.json()["detail"]
    broken = asker.post("/api/v1/quarantine/Q2/replay", json=WHY)
    assert (broken.status_code, broken.json()["reason"]) == (409, "not_replayable")
    body = {"serial": "LOG-77", "site": "PKM-A", "edge": "E1", "driver": "bthome", **WHY}
    assert world.as_role("super_admin").post("/api/v1/devices", json=body).json()["waiting"] == ["Q1"]
    before = world.records.newest_change()
    assert asker.post("/api/v1/quarantine/Q1/replay", json={"reason": "registered today"}).status_code == 202
    asked = [r for r in asker.get("/api/v1/sites/PKM-A/audit?limit=500").json() if r["id"] > before]
    assert [(r["action"], r["subject"], r["actor"], r["reason"]) for r in asked] == [
        ("quarantine_replay_asked", "quarantine:Q1", "manager", "registered today")
    ]
    assert asker.get("/api/v1/sites/PKM-A/audit/verify").json()["ok"]
    aside = asker.post("/api/v1/quarantine/Q2/discard", json=WHY).json()
    assert aside["state"] == "discarded"
    assert asker.post("/api/v1/quarantine/Q2/discard", json=WHY).status_code == 409


def test_ledger_and_attachments_tell_what_is_missing_and_what_cannot_be_held(world: Any) -> None:
    asker = world.as_role("admin")
    line = asker.get("/api/v1/sites/PKM-A/ledger").json()[0]
    assert (line["produced"], line["received"], line["missing"], line["missing_ranges"]) == (500, 490, 9, [[11, 19]])
    got = asker.get("/api/v1/sites/PKM-A/attachments").json()
    assert got["rows"][0]["state"] == "stored"
    assert "placement" in got["cannot_hold"]
    assert got["verdicts_without_field"] == ["B1"]


def test_the_audit_page_goes_back_to_the_first_row(world: Any) -> None:
    asker = world.log_in("admin")
    site = world.app.state.desk.questions.site
    from api.roles import Person, Role

    here = site(Person("a", Role.ADMIN), "PKM-A")
    questions = world.app.state.desk.questions
    whole = [r.id for r in world.records.changes_after(0, 1000, site="PKM-A")]
    walked: list[int] = []
    before = None
    while rows := questions.newest_changes(here, before, 7):
        walked += [r.id for r in rows]
        before = rows[-1].id
    assert walked == whole[::-1]
    assert asker.get(f"/sites/PKM-A/audit?before={whole[3]}").status_code == 200


def test_the_api_describes_itself(world: Any) -> None:
    described = world.as_role("admin").get("/api/v1/openapi.json").json()
    assert described["openapi"].startswith("3.")
    assert "/api/v1/batches/{batch_id}/decision" in described["paths"]
    assert all(path.startswith(("/api/v1/", "/health")) for path in described["paths"])  # pages are not API


def test_unknown_addresses_are_problems_too(world: Any) -> None:
    asker = world.as_role("admin")
    for method, path, status in (
        ("GET", "/api/v1/nothing", 404),
        ("DELETE", "/api/v1/sites", 405),
        ("GET", "/api/v1/sites/NONE", 404),
        ("GET", "/api/v1/sites/PKM-A/batches/B9", 404),
        ("GET", "/api/v1/sites/PKM-A/equipment/KULKAS-C", 404),
    ):
        answer = asker.client.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_the_list_of_sites_can_be_searched(world: Any) -> None:
    asker = world.log_in("super_admin")
    assert asker.get("/").text.count("<li class=") == 3
    assert "Not watched yet" in asker.get("/", params={"q": "genyem"}).text  # no equipment: nobody can say "no alarm"
    found = asker.get("/", params={"q": "  DEPOK"}).text
    assert "Puskesmas Depok" in found
    assert "Puskesmas Sentani" not in found
    assert "no site in your reach" in asker.get("/", params={"q": "nowhere"}).text


def test_a_long_chain_is_walked_only_when_asked(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.pages._SHORT_CHAIN", 3)
    asker = world.log_in("admin")
    assert "Check the chain now" in asker.get("/sites/PKM-A/audit").text
    assert "Chain intact" in asker.get("/sites/PKM-A/audit?check=1").text


def test_the_batchs_page_tells_what_smile_made_of_the_discard(world: Any) -> None:
    from gateway.records import Attachment

    asker, now = world.log_in("manager"), world.clock.now
    said = {"decision": "discarded", "reason": "VVM at stage C", "sure": "yes"}
    assert asker.post("/sites/PKM-A/batches/B1/decision", said).status_code == 303
    verdict = world.records.decision("B1").id
    world.records.save_attachments(Attachment("discard", verdict, "main", "cd" * 32, "uncertain", "{}", now, "PKM-A"))
    page = asker.get("/sites/PKM-A/batches/B1").text
    assert "Uncertain" in page
    assert "SMILE has no field" not in page
