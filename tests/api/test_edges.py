"""Edges on pages and in JSON; and the one route without a log-in, by which a Pi enrols with its code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from api.app import create_app
from api.config import Settings
from gateway.records import EdgeState
from telemetry.enrolment import pin_of, read_line

WHY = {"reason": "new Pi for this site"}


def invite(world: Any, edge: str = "E7") -> dict[str, Any]:
    answer = world.as_role("super_admin").post("/api/v1/sites/PKM-A/edges", json={"edge": edge, **WHY})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def enrol(world: Any, code: str, machine: str = "pi-7") -> Any:
    return world.client().post("/api/v1/enrol", json={"code": code, "machine": machine})


def accounts(world: Any) -> str:
    files = world.app.state.desk.enrolment.files
    return str(files.passwords.read_text() + files.acl.read_text())


def test_a_pi_with_a_code_gets_what_it_needs_and_its_account_is_there(world: Any) -> None:
    answer = enrol(world, invite(world)["code"])
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    edge = world.records.find_edge("PKM-A", "E7")
    assert (body["shard"], body["site"], body["edge"]) == ("s1", "PKM-A", "E7")
    assert body["upload_key"] == edge.upload_key.hex()
    mqtt = body["mqtt"]
    assert (mqtt["host"], mqtt["port"], mqtt["tls"], mqtt["username"]) == ("broker.test", 8883, True, "PKM-A.E7")
    assert "BEGIN CERTIFICATE" in mqtt["ca"]
    assert f"PKM-A.E7:{edge.password_hash}\n" in accounts(world)
    assert "topic write smile-iot/v1/s1/PKM-A/E7/up/+\n" in accounts(world)
    assert mqtt["password"] not in accounts(world)


def test_an_invitation_holds_all_that_a_person_carries_to_the_pi(world: Any) -> None:
    body = invite(world)
    line = read_line(body["line"])
    assert (line.server, line.code, line.pin) == ("https://smile-iot.test", body["code"], body["pin"])
    ca = world.client().get("/api/v1/enrol/ca").json()["ca"]
    assert pin_of(ca) == body["pin"]


def test_a_used_an_unknown_and_an_old_code_get_nothing(world: Any) -> None:
    code = invite(world)["code"]
    assert enrol(world, code).status_code == 200
    old = invite(world, "E8")["code"]
    world.clock.now += 8 * 86_400_000
    answers = [enrol(world, code, "another"), enrol(world, "0000-0000-0000-0000-0000"), enrol(world, old)]
    assert [a.status_code for a in answers] == [403] * 3
    assert [a.json()["reason"] for a in answers] == ["CODE_USED", "CODE_REFUSED", "CODE_EXPIRED"]
    for answer in answers:
        assert "upload_key" not in answer.text
        assert "PKM-A" not in answer.text
    assert world.records.find_edge("PKM-A", "E8").state == EdgeState.INVITED


def test_a_pi_that_lost_the_answer_may_ask_again_and_the_new_password_counts(world: Any) -> None:
    code = invite(world)["code"]
    first, again = enrol(world, code).json(), enrol(world, code).json()
    assert again["upload_key"] == first["upload_key"]
    assert again["mqtt"]["password"] != first["mqtt"]["password"]
    assert world.records.find_edge("PKM-A", "E7").password_hash in accounts(world)


def test_wrong_codes_close_the_door_of_an_address_for_a_while(world: Any) -> None:
    code = invite(world)["code"]
    statuses = [enrol(world, "0000-0000-0000-0000-0000").status_code for _ in range(21)]
    assert statuses == [403] * 20 + [429]
    assert enrol(world, code).json()["reason"] == "too_many"
    world.clock.now += 301_000
    assert enrol(world, code).status_code == 200


def test_a_body_that_is_none_of_ours_is_refused(world: Any) -> None:
    bodies: list[Any] = [
        {},
        {"code": "x"},
        {"code": "x" * 101, "machine": "m"},
        {"code": "x", "machine": "../m"},
        [],
        "x",
    ]
    for body in bodies:
        assert world.client().post("/api/v1/enrol", json=body).status_code == 422


def test_a_page_shows_a_code_once_and_the_list_never(world: Any) -> None:
    asker = world.log_in("super_admin")
    shown = asker.post("/sites/PKM-A/edges", {"edge": "E7", **WHY})
    assert shown.status_code == 200
    (code,) = set(re.findall(r"<code>([0-9A-Z-]{24})</code>", shown.text))
    assert "smile-iot edge enrol --server https://smile-iot.test --pin" in shown.text
    assert enrol(world, code).status_code == 200
    for path in ("/sites/PKM-A/edges", "/sites/PKM-A/audit", "/sites/PKM-A/audit?all=true"):
        page = asker.get(path)
        assert page.status_code == 200
        assert code not in page.text
    for path in ("edges", "audit"):
        text = asker.get(f"/api/v1/sites/PKM-A/{path}").text
        key = world.records.find_edge("PKM-A", "E7").upload_key
        for secret in (code, code.replace("-", ""), key.hex(), world.records.find_edge("PKM-A", "E7").password_hash):
            assert secret not in text


def test_a_manager_revokes_a_stolen_edge_and_invites_none(world: Any) -> None:
    asker = world.log_in("manager")
    page = asker.get("/sites/PKM-A/edges").text
    assert "/sites/PKM-A/edges/E1/revoke" in page
    assert "Invite an edge" not in page
    answer = asker.post("/sites/PKM-A/edges/E1/revoke", {"reason": "stolen from the store"})
    assert answer.status_code == 303
    assert world.records.find_edge("PKM-A", "E1").state == EdgeState.REVOKED
    assert "PKM-A.E1" not in accounts(world)
    assert "PKM-C.E9" in accounts(world)
    again = asker.post("/sites/PKM-A/edges/E1/revoke", {"reason": "stolen from the store"})
    assert "already" in again.text


def test_the_name_of_imported_files_is_given_to_no_pi(world: Any) -> None:
    asker = world.as_role("super_admin")
    assert asker.post("/api/v1/sites/PKM-A/edges", json={"edge": "import", **WHY}).status_code == 422
    assert world.records.find_edge("PKM-A", "import") is None


def test_a_server_that_is_not_set_up_for_it_enrols_nobody(world: Any) -> None:
    world.app = create_app(world.records, world.store, world.clock, Settings())
    answer = world.as_role("super_admin").post("/api/v1/sites/PKM-A/edges", json={"edge": "E7", **WHY})
    assert (answer.status_code, answer.json()["reason"]) == (409, "enrolment_off")
    assert enrol(world, "0000-0000-0000-0000-0000").json()["reason"] == "enrolment_off"
    revoked = world.as_role("manager").post("/api/v1/sites/PKM-A/edges/E1/revoke", json=WHY)
    assert revoked.json()["state"] == "revoked"


def test_files_that_cannot_be_written_leave_the_code_good_for_another_try(world: Any, tmp_path: Path) -> None:
    code = invite(world)["code"]
    base = world.app.state.desk.enrolment.files.base_acl
    text = base.read_text()
    base.unlink()
    answer = enrol(world, code)
    assert (answer.status_code, answer.json()["reason"]) == (503, "neighbour_down")
    base.write_text(text)
    assert enrol(world, code).status_code == 200
