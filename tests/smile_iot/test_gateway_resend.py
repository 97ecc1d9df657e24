"""``smile-iot gateway resend``: a person asks by time or number, and the edge's own uplink hears it over a real Mosquitto."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from gateway.records import Actor, Role, Site, SiteLevel
from smile_iot.__main__ import main
from smile_iot.demo.mosquitto import Mosquitto
from smile_iot.parts import open_records
from smile_iot.settings import load_settings, to_toml
from telemetry.contract import Request, decode_request
from telemetry.readings import Ranges
from telemetry.topics import EdgeAddress

ADDRESS = EdgeAddress("s0", "PKM-1", "edge-1")
DAY = ["--from", "2026-11-20T00:00:00+07:00", "--to", "2026-11-20T23:59:59+07:00"]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    if Mosquitto.binary() is None:
        pytest.fail("Mosquitto is missing: apt-get install -y --no-install-recommends mosquitto")
    broker = Mosquitto(tmp_path / "broker", {ADDRESS.edge: (ADDRESS.shard, ADDRESS.site)})
    broker.start()
    yield broker
    assert broker.program is not None
    broker.program.stop()


@pytest.fixture
def config(tmp_path: Path, broker: Mosquitto) -> Path:
    path = tmp_path / "server.toml"
    settings = {
        "server.data_dir": str(tmp_path / "data"),
        "mqtt.port": broker.port,
        "mqtt.password_file": str(broker.password_files["ingest"]),
    }
    path.write_text(to_toml(settings))
    with open_records(load_settings(path, {})) as records:
        site = Site("PKM-1", "Puskesmas", "kota", "Asia/Jakarta", ADDRESS.shard, SiteLevel.PUSKESMAS)
        records.upsert_site(site, Actor("t", Role.SUPER_ADMIN), "", 1)
    return path


def heard_by_the_edge(broker: Mosquitto, config: Path, words: list[str]) -> Request:
    """What arrives at the edge's own account when the command is given, as a process of its own."""
    heard: list[bytes] = []
    subscribed, came = threading.Event(), threading.Event()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "edge")
    client.username_pw_set(ADDRESS.edge, broker.password_files[ADDRESS.edge].read_text().strip())
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _c, _d, message: (heard.append(message.payload), came.set())
    client.connect("127.0.0.1", broker.port)
    client.subscribe(ADDRESS.down("request"), 1)
    client.loop_start()
    try:
        assert subscribed.wait(60)
        command = [sys.executable, "-m", "smile_iot", "gateway", "resend", "--site", "PKM-1", "--edge", "edge-1"]
        subprocess.run([*command, *words, "--config", str(config)], check=True, timeout=60)
        assert came.wait(60)
    finally:
        client.disconnect()
        client.loop_stop()
    return decode_request(heard[0])


def test_the_edge_is_asked_for_a_day_of_its_zone(broker: Mosquitto, config: Path) -> None:
    asked = heard_by_the_edge(broker, config, DAY)
    assert (asked.from_ms, asked.to_ms, asked.only) == (1_795_107_600_000, 1_795_193_999_000, "all")


def test_the_edge_is_asked_for_numbers_that_have_no_receipt(broker: Mosquitto, config: Path) -> None:
    asked = heard_by_the_edge(broker, config, ["--numbers", "1-20,25", "--only", "unreceipted"])
    assert (asked.seq, asked.only) == (Ranges([(1, 20), (25, 25)]), "unreceipted")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give --from and --to"),
        ([*DAY, "--numbers", "1"], "give --from and --to"),
        (["--from", "2026-11-20T00:00:00+07:00"], "give --from and --to"),
        (["--from", "2026-11-20", "--to", "2026-11-21"], "no offset"),
        (["--from", DAY[3], "--to", DAY[1]], "lies before"),
        (["--numbers", "1-x"], "is not like"),
        (["--numbers", "9-1"], "is not like"),
    ],
)
def test_words_that_ask_for_nothing_are_refused_in_words(
    config: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gateway", "resend", "--site", "PKM-1", "--edge", "edge-1", *words, "--config", str(config)]) == 2
    assert said in capsys.readouterr().err


def test_an_edge_that_nobody_registered_is_asked_and_the_person_is_told(
    config: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-m", "smile_iot", "gateway", "resend", "--site", "PKM-1", "--edge", "edge-9"]
    subprocess.run([*command, *DAY, "--config", str(config)], check=True, timeout=60)
    out, err = capfd.readouterr()
    assert "asked PKM-1/edge-9" in out
    assert err == "no device and no enrolment names edge edge-9 of PKM-1: is it spelt right?\n"
