"""Faults on demand on real sockets (section 11 item 10), and the program as a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from firmware_sim.smile_core.seed import DEMO_SEED, LAB_SEED, SeedError, load_seed, seed_from
from firmware_sim.smile_core.server import Addresses, running

PUSH = "/api/v2/histories/push"


class Client:
    """A caller with a token, over real sockets."""

    def __init__(self, at: Addresses, user: str, password: str) -> None:
        self.at = at
        self.http = httpx.Client(timeout=60)
        login = self.http.post(f"{at.core}/api/auth/login", json={"username": user, "password": password})
        token = login.json()["token_login"]
        self.http.headers.update({"authorization": f"Bearer {token}", "x-program-id": "1"})

    def arm(self, **fault: Any) -> None:
        assert self.http.post(f"{self.at.control}/faults", json=fault).status_code == 201

    def table(self, name: str) -> list[Any]:
        found: list[Any] = self.http.get(f"{self.at.control}/tables/{name}").json()
        return found

    def wait_for(self, name: str) -> list[Any]:
        """The rows of a table once it has any; empty after 60 s."""
        deadline = time.monotonic() + 60
        while not (rows := self.table(name)) and time.monotonic() < deadline:
            time.sleep(0.02)
        return rows


@pytest.fixture
def client(lab: Any) -> Iterator[Client]:
    with running(lab.state) as at:
        caller = Client(at, "managerlab", "lab-word-manager")
        yield caller
        caller.http.close()


def test_an_answer_lost_after_storing_leaves_the_reading_stored(client: Client, push_item: dict[str, Any]) -> None:
    client.arm(kind="lost_answer", path=PUSH)
    with pytest.raises(httpx.TransportError):
        client.http.post(client.at.core + PUSH, json=[push_item])
    assert len(client.table("histories")) == 1
    assert client.http.post(client.at.core + PUSH, json=[push_item]).status_code == 200  # armed for one request
    assert len(client.table("histories")) == 2


def test_a_connection_cut_before_storing_leaves_nothing(client: Client, push_item: dict[str, Any]) -> None:
    client.arm(kind="cut", path=PUSH, count=2)
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            client.http.post(client.at.core + PUSH, json=[push_item])
    assert client.table("histories") == []
    assert client.http.post(client.at.core + PUSH, json=[push_item]).status_code == 200


@pytest.mark.parametrize(("kind", "status"), [("error_500", 500), ("error_503", 503)])
def test_a_sick_server_stores_nothing(client: Client, push_item: dict[str, Any], kind: str, status: int) -> None:
    client.arm(kind=kind)
    assert client.http.post(client.at.core + PUSH, json=[push_item]).status_code == status
    assert client.table("histories") == []


def test_a_slow_answer_comes_after_the_caller_gave_up_and_is_stored(
    client: Client, push_item: dict[str, Any]
) -> None:
    client.arm(kind="slow", path=PUSH, seconds=0.3)
    with pytest.raises(httpx.ReadTimeout):
        client.http.post(client.at.core + PUSH, json=[push_item], timeout=0.1)
    assert len(client.wait_for("histories")) == 1


def test_faults_wait_for_their_path_and_method(client: Client, push_item: dict[str, Any]) -> None:
    client.arm(kind="error_500", path="/api/assets", method="POST")
    assert client.http.post(client.at.core + PUSH, json=[push_item]).status_code == 200
    assert client.http.get(client.at.core + "/api/assets").status_code == 200
    assert client.http.post(client.at.core + "/api/assets", json={}).status_code == 500
    assert client.http.get(client.at.control + "/faults").json() == []


def test_a_hanging_wms_writes_its_row_and_keeps_main_waiting(client: Client) -> None:
    """6.1, item 10: the caller gives up, WMS has the letter, main's row comes later."""
    line = {"material_id": 990002, "transaction_reason_id": 4, "other_reason": None, "stock_id": 90}
    line |= {"stock_quality_id": 1, "qty": 40}
    body = {"entity_id": 1, "activity_id": 50, "entity_activity_id": 60, "materials": [line]}
    assert client.http.post(client.at.main + "/transactions/discard-stock", json=body).status_code == 204
    client.arm(kind="wms_hang", seconds=4.0)
    stocks = [{"disposal_stocks": [{"disposal_stock_id": 1, "discard_qty": 40}]}]
    instruction = {"activity_id": 50, "customer_id": 1, "instruction_type_id": 1, "bast_no": "B/HANG"}
    instruction |= {"disposal_items": [{"material_id": 990002, "stocks": stocks}]}
    with pytest.raises(httpx.ReadTimeout):
        client.http.post(client.at.main + "/disposal/instructions", json=instruction, timeout=0.1)
    assert [row["bast_no"] for row in client.wait_for("basts")] == ["B/HANG"]
    assert client.table("instructions") == []
    assert [row["bast_no"] for row in client.wait_for("instructions")] == ["B/HANG"]


def test_switches_clock_links_and_reset(client: Client, push_item: dict[str, Any]) -> None:
    control = client.at.control
    changed = client.http.patch(f"{control}/settings", json={"server_zone": "Asia/Jakarta", "wms": "encore"}).json()
    assert (changed["server_zone"], changed["wms"]) == ("Asia/Jakarta", "encore")
    for bad in ({"server_zone": "Mars/Olympus"}, {"wms": "none"}, {"no_such": 1}):
        assert client.http.patch(f"{control}/settings", json=bad).status_code == 422
    reply = client.http.post(client.at.core + PUSH, json=[{**push_item, "actual_date": "2026-11-20 08:00:00"}])
    assert reply.json()["data"]["data"][0]["actual_time"] == "2026-11-20T08:00:00.000Z"
    assert client.http.put(f"{control}/loggers/LABFREE01/asset", json={"asset_id": 5001}).status_code == 204
    client.http.post(client.at.core + PUSH, json=[{**push_item, "device_id": "LABFREE01"}])
    assert client.table("histories")[-1]["capacity_id"] == 1
    assert client.http.put(f"{control}/loggers/NOSUCH/asset", json={"asset_id": 5001}).status_code == 404
    assert client.http.post(f"{control}/faults", json={"kind": "earthquake"}).status_code == 422
    last = client.http.get(f"{control}/requests").json()[-1]
    assert (last["path"], last["status"]) == ("/core" + PUSH, 200)
    assert client.http.put(f"{control}/clock", json={"offset_ms": 1000}).status_code == 200
    assert client.http.post(f"{control}/reset").status_code == 204
    assert client.table("histories") == []
    assert client.http.get(client.at.core + "/api/assets").status_code == 401  # tokens are forgotten too


def test_the_process_announces_itself_serves_and_stops_at_sigterm(push_item: dict[str, Any]) -> None:
    """The demo's way: demo seed, free ports, one line of JSON, SIGTERM."""
    command = [sys.executable, "-m", "firmware_sim.smile_core", "--port", "0", "--control-port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready.pop("ready") is True
        at = Addresses(**ready)
        assert all(url.startswith("http://127.0.0.1:") for url in ready.values())
        caller = Client(at, "iot-manager", "demo-word-manager")
        for serial in ("BT-0001", "BT-0002", "RV-0001", "MB-0001"):
            reply = caller.http.post(at.core + PUSH, json=[{**push_item, "device_id": serial}]).json()
            assert reply["data"]["successful"] == 1
        listed = caller.http.get(at.core + "/asset-monitoring-temperature").json()["data"]
        assert len(listed) == 4
        history = caller.http.get(at.core + "/asset-monitoring-temperature/601/history").json()
        assert history["data"][0]["temperature"] == 4.5
        caller.http.close()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("words", [["--seed-file", "/no/such.toml"], ["--server-zone", "Mars/Olympus"]])
def test_what_does_not_serve_is_said_at_once(words: list[str]) -> None:
    command = [sys.executable, "-m", "firmware_sim.smile_core", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("smile_core: ")


def test_a_seed_that_does_not_fit_names_its_row(tmp_path: Path) -> None:
    with pytest.raises(SeedError, match="roles 0"):
        seed_from({"roles": [{"id": 1, "nam": "x"}]})
    with pytest.raises(SeedError, match="unknown tables"):
        seed_from({"rolls": []})
    broken = tmp_path / "broken.toml"
    broken.write_text("[[roles]\n")
    with pytest.raises(SeedError, match="not TOML"):
        load_seed(broken)


@pytest.mark.parametrize("path", [DEMO_SEED, LAB_SEED])
def test_seeds_refer_only_to_rows_they_have(path: Path) -> None:
    seed = load_seed(path)
    entities = {row.id for row in seed.entities}
    programs = {row.program_entity_id for row in seed.entities}
    materials = {row.id for row in seed.materials}
    models = {row.id: row for row in seed.asset_models}
    assert {row.entity_id for row in seed.assets} | {row.entity_id for row in seed.loggers} <= entities
    assert {row.entity_id for row in seed.scales} <= entities
    assert all(row.asset_id in {None, *(one.id for one in seed.assets)} for row in seed.loggers)
    assert all(row.material_id in materials for row in seed.batches)
    assert all(row.batch_id in {one.id for one in seed.batches} for row in seed.stocks)
    assert {row.program_entity_id for row in seed.stocks} <= programs
    assert {row.program_entity_id for row in seed.entity_activities} <= programs
    assert all(row.role_id in {one.id for one in seed.roles} for row in seed.accounts)
    for asset in seed.assets:
        if asset.active_capacity_id is not None and asset.model_id is not None:
            assert asset.active_capacity_id in {one.id for one in models[asset.model_id].capacities}
    stocked = {row.batch_id for row in seed.stocks if row.qty > 0}
    assert {row.id for row in seed.batches} == stocked


def test_the_demo_has_a_batch_of_every_vaccine_with_its_kfa_code() -> None:
    """facts/smile-and-waste.md section 3."""
    seed = load_seed(DEMO_SEED)
    known = {"bOPV": "93004968", "HepB": "93005477", "DTP-HB-Hib": "93001284", "BCG": "93005208", "MR": "93005780"}
    known |= {"IPV": "93004736", "Td": "93001641"}
    vaccines = {row.parent_name: row.kfa for row in seed.materials if row.is_temperature_sensitive}
    assert vaccines == known
