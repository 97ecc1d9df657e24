"""``smile-iot import``: a logger's export through a real Mosquitto and a real ingest into the store, proved by receipts."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from edge.decoders.files import LoggerFileError, decode_file
from edge.outbox import MemoryOutbox
from gateway.records import Actor, Device, Equipment, EquipmentKind, Role, Site, SiteLevel
from ingest.ledger import read_ledger
from ingest.store import SqliteStore
from smile_iot.__main__ import main
from smile_iot.demo.mosquitto import Mosquitto
from smile_iot.import_command import find_target, keep, mqtt_settings, readings_of, with_readings
from smile_iot.parts import open_records
from smile_iot.processes import Program, free_port
from smile_iot.settings import Settings, load_settings, to_toml
from telemetry.clock import VirtualClock
from telemetry.errors import ConfigError
from telemetry.readings import Origin, Quality, Ranges, Sync

NOW = 1_790_000_000_000  # 2026-09-21T14:13:20Z
T0 = datetime(2026, 9, 20, 8, 0)
ACTOR = Actor("root", Role.SUPER_ADMIN)
CLOCK = VirtualClock(NOW, 0, 0.0)
FILES = Path(__file__).parents[3] / "shared/data/fridge-tag"
SUMMARY_ONLY = FILES / "fridge-tag-2-130400191542.txt"
Q_TAG = FILES / "q-tag-clm-RCPJ00010-run-2.txt"


def csv_of(count: int, offset: str = "", gap_at: int = -1) -> bytes:
    """Rows a minute apart from T0, 4.0 and up by a tenth every ten rows; row ``gap_at`` has no value."""
    rows = ["time,temperature_c"]
    for i in range(count):
        value = "" if i == gap_at else f"{Decimal(40 + i // 10) / 10}"
        rows.append(f"{(T0 + timedelta(minutes=i)).isoformat()}{offset},{value or '--.-'}")
    return "\n".join(rows).encode()


@dataclass
class House:
    """A site with two refrigerators, one registered logger, a broker that knows the import account."""

    folder: Path
    broker: Mosquitto

    @property
    def config(self) -> Path:
        return self.folder / "server.toml"

    @property
    def settings(self) -> Settings:
        return load_settings(self.config, {})

    def set_up(self) -> None:
        password = {name: str(path) for name, path in self.broker.password_files.items()}
        self.config.write_text(
            to_toml(
                {
                    "server.data_dir": str(self.folder / "data"),
                    "mqtt.port": self.broker.port,
                    "mqtt.password_file": password["ingest"],
                    "import.password_file": password["import"],
                }
            )
        )
        with open_records(self.settings) as records:
            site = Site("PKM-1", "Puskesmas", "kota", "Asia/Jayapura", "s0", SiteLevel.PUSKESMAS)
            records.upsert_site(site, ACTOR, "", NOW)
            for name in ("KUL-1", "KUL-2"):
                kulkas = Equipment(name, "PKM-1", name, EquipmentKind.REFRIGERATOR, "refrigerator")
                records.upsert_equipment(kulkas, ACTOR, "", NOW)
        self.register("LOG-1", "KUL-1")

    def register(self, serial: str, equipment: str) -> None:
        with open_records(self.settings) as records:
            records.upsert_device(Device(serial, "PKM-1", "E1", "file", equipment), ACTOR, "", NOW)

    def file(self, data: bytes) -> Path:
        path = self.folder / "export.csv"
        path.write_bytes(data)
        return path

    def run(self, *words: str, patience_s: float = 20) -> int:
        return main(["import", *words, "--config", str(self.config), "--patience", str(patience_s)])

    def stored(self, serial: str) -> int:
        with closing(SqliteStore(self.folder / "data" / "store.db", read_only=True)) as store:
            return store.count(f"{serial}/temperature_c")


def poll(condition: Callable[[], bool], timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def start_ingest(house: House) -> Program:
    """Until it is connected: what is sent before is sent again only after the receipt's time-out."""
    command = [sys.executable, "-m", "smile_iot", "ingest", "--config", str(house.config)]
    program = Program("ingest", command, house.folder)
    program.start()
    remote, established = f"0100007F:{house.broker.port:04X}", "01"
    poll(lambda: f" {remote} {established} " in Path("/proc/net/tcp").read_text())
    return program


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    if Mosquitto.binary() is None:
        pytest.fail("Mosquitto is missing: apt-get install -y --no-install-recommends mosquitto")
    broker = Mosquitto(tmp_path / "broker", {"import": ("s0", "PKM-1")})
    broker.start()
    house = House(tmp_path, broker)
    house.set_up()
    yield house
    assert broker.program is not None
    broker.program.stop()


@pytest.fixture
def ingest(house: House) -> Iterator[Program]:
    program = start_ingest(house)
    yield program
    program.stop()


@pytest.mark.timeout(600)
def test_a_file_goes_down_the_line_once_and_receipts_prove_it(
    house: House, ingest: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sent, sent again, sent from a machine that lost its outbox: each reading is in the store once."""
    file = house.file(csv_of(3000, gap_at=7))
    assert house.run(str(file), "--equipment", "KUL-1", "--serial", "LOG-1") == 0
    said = capsys.readouterr().out
    assert "3000 readings, 2026-09-20T08:00:00+09:00 to 2026-09-22T09:59:00+09:00" in said
    assert "3000 readings are in the journal, 0 in quarantine, 0 without receipt" in said

    assert house.run(str(file), "--equipment", "KUL-1", "--serial", "LOG-1") == 0
    assert "3000 readings are in the journal" in capsys.readouterr().out
    ledger = house.folder / "data" / "ledger.db"
    poll(lambda: [x.received for x in read_ledger(ledger)] == [3000])  # its file follows half a second later
    (line,) = read_ledger(ledger)
    assert (line.edge, line.numbered_to, line.received) == ("import", 3000, 3000)  # nothing was numbered twice

    for path in (house.folder / "data").glob("import-*.db*"):
        path.unlink()
    assert house.run(str(file), "--equipment", "KUL-1", "--serial", "LOG-1") == 0
    poll(lambda: house.stored("LOG-1") == 3000)
    with closing(SqliteStore(house.folder / "data" / "store.db", read_only=True)) as store:
        first_ms = int(datetime(2026, 9, 19, 23, 0, tzinfo=UTC).timestamp()) * 1000  # 08:00 at UTC+9
        page = store.read("LOG-1/temperature_c", first_ms, first_ms + 15 * 60_000, limit=100)
    assert page.rows[0].t_ms == first_ms
    assert {r.origin for r in page.rows} == {Origin.FILE}
    assert [r.value for r in page.rows[6:12]] == [
        Decimal("4"),
        None,
        Decimal("4"),
        Decimal("4"),
        Decimal("4.1"),
        Decimal("4.1"),
    ]
    assert page.rows[7].quality is Quality.SENSOR_FAULT


@pytest.mark.timeout(600)
def test_an_unregistered_loggers_file_waits_in_quarantine_and_is_replayed(
    house: House, ingest: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    file = house.file(csv_of(50))
    assert house.run(str(file), "--equipment", "KUL-2", "--serial", "NEW-1") == 1
    said = capsys.readouterr().out
    assert "warning: logger NEW-1 is not registered" in said
    assert "0 readings are in the journal, 50 in quarantine, 0 without receipt" in said
    house.register("NEW-1", "KUL-2")
    poll(lambda: house.stored("NEW-1") == 50)
    assert house.run(str(file), "--equipment", "KUL-2", "--serial", "NEW-1") == 0
    assert "50 readings are in the journal, 0 in quarantine" in capsys.readouterr().out


@pytest.mark.timeout(600)
def test_without_ingest_the_readings_are_kept_and_go_with_the_next_try(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    file = house.file(csv_of(20))
    assert house.run(str(file), "--equipment", "KUL-1", "--serial", "LOG-1", patience_s=0.5) == 1
    said = capsys.readouterr()
    assert "0 readings are in the journal, 0 in quarantine, 20 without receipt" in said.out
    assert "give the same command again" in said.err
    program = start_ingest(house)
    try:
        assert house.run(str(file), "--equipment", "KUL-1", "--serial", "LOG-1") == 0
    finally:
        program.stop()
    (line,) = read_ledger(house.folder / "data" / "ledger.db")  # its file follows half a second later, or at the end
    assert (line.numbered_to, line.received) == (20, 20)


def test_two_imports_to_one_site_do_not_meet(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    file = house.file(csv_of(3))
    words = [sys.executable, "-m", "smile_iot", "import", str(file), "--equipment", "KUL-1", "--serial", "LOG-1"]
    first = subprocess.Popen(
        [*words, "--config", str(house.config), "--patience", "30"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        lock = house.folder / "data" / "import-PKM-1.db-wal"
        poll(lock.exists)
        assert house.run(str(file), "--equipment", "KUL-1", "--serial", "LOG-1") == 2
        assert "another import to PKM-1 runs now" in capsys.readouterr().err
    finally:
        first.kill()
        first.communicate()


@pytest.mark.parametrize(
    ("equipment", "serial", "words"),
    [
        ("KUL-9", "LOG-1", "'KUL-9' is not registered"),
        ("KUL-2", "LOG-1", "LOG-1 is registered in KUL-1, not in KUL-2"),
        ("KUL-1", None, "the file names no logger"),
        ("KUL-1", "no/slash", "letters, digits"),
    ],
)
def test_what_would_put_readings_in_a_wrong_place_is_refused(
    house: House, equipment: str, serial: str | None, words: str
) -> None:
    with open_records(house.settings) as records:
        registry = records.registry()
    with pytest.raises(ConfigError, match=words):
        find_target(registry, decode_file(csv_of(3)), equipment, serial, "import")


def test_a_serial_that_contradicts_the_file_is_refused(house: House) -> None:
    with open_records(house.settings) as records:
        registry = records.registry()
    file = dataclasses.replace(decode_file(csv_of(3)), serial="LOG-1")
    with pytest.raises(ConfigError, match="the file says 'LOG-1'"):
        find_target(registry, file, "KUL-1", "LOG-2", "import")
    assert find_target(registry, file, "KUL-1", None, "import").known


def test_a_file_of_daily_summaries_is_refused() -> None:
    """No reading is ever made up from a day's minimum and maximum."""
    summary = dataclasses.replace(decode_file(csv_of(3)), readings=(), device="Fridge-tag 2")
    with pytest.raises(LoggerFileError, match="daily summaries only and no readings"):
        with_readings(summary)


@pytest.mark.real_files
def test_a_real_fridge_tag_export_is_refused_in_words(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    if not SUMMARY_ONLY.exists():
        assert "CI" not in os.environ, "the real logger files are missing beside the project"
        pytest.skip("not run: real files absent")
    config = tmp_path / "server.toml"
    config.write_text(to_toml({"server.data_dir": str(tmp_path)}))
    assert main(["import", str(SUMMARY_ONLY), "--equipment", "KUL-1", "--config", str(config)]) == 2
    assert "daily summaries only" in capsys.readouterr().err


@pytest.mark.real_files
@pytest.mark.timeout(600)
def test_a_real_q_tag_export_arrives_whole(house: House, ingest: Program, capsys: pytest.CaptureFixture[str]) -> None:
    """The serial number is the file's own; the zone is the site's unless said otherwise."""
    if not Q_TAG.exists():
        assert "CI" not in os.environ, "the real logger files are missing beside the project"
        pytest.skip("not run: real files absent")
    file = decode_file(Q_TAG.read_bytes())
    assert file.serial
    house.register(file.serial, "KUL-2")
    assert house.run(str(Q_TAG), "--equipment", "KUL-2") == 0
    count = len(file.readings)
    assert f"{count} readings are in the journal, 0 in quarantine, 0 without receipt" in capsys.readouterr().out
    poll(lambda: house.stored(str(file.serial)) == count)


def test_a_reading_of_the_future_is_refused() -> None:
    """A wrong zone would date readings ahead; cold-chain 10 calls that a bad clock."""
    from smile_iot.evaluate_zone import parse_zone

    late = b"time,temperature_c\n2026-09-21T16:00:00,5.0\n"
    with pytest.raises(ConfigError, match="has not come yet"):
        readings_of(decode_file(late), "LOG-1", parse_zone("UTC"), CLOCK)
    (reading,) = readings_of(decode_file(late), "LOG-1", parse_zone("WIB"), CLOCK)
    assert reading.sampled_at_ms == NOW - 5 * 3_600_000 - 13 * 60_000 - 20_000
    assert (reading.origin, reading.stamp.sync, reading.stamp.wall_ms) == (Origin.FILE, Sync.UNSYNCED, NOW)


def test_rows_that_state_their_offset_do_not_heed_the_zone() -> None:
    from smile_iot.evaluate_zone import parse_zone

    rows = decode_file(csv_of(2, offset="+08:00"))
    in_wib = readings_of(rows, "L", parse_zone("WIB"), CLOCK)
    in_wit = readings_of(rows, "L", parse_zone("WIT"), CLOCK)
    assert [r.sampled_at_ms for r in in_wib] == [r.sampled_at_ms for r in in_wit]


def test_a_file_is_numbered_once_per_epoch() -> None:
    from smile_iot.evaluate_zone import parse_zone

    readings = readings_of(decode_file(csv_of(5)), "L", parse_zone("WIB"), CLOCK)
    outbox = MemoryOutbox()
    assert keep(outbox, "one", readings) == Ranges([(1, 5)])
    assert keep(outbox, "two", readings[:2]) == Ranges([(6, 7)])
    assert keep(outbox, "one", readings) == Ranges([(1, 5)])
    assert outbox.usage().numbered_to == 7


def test_an_unreadable_password_is_said_at_once(tmp_path: Path) -> None:
    settings = load_settings(None, {"SMILE_IOT_IMPORT_PASSWORD_FILE": str(tmp_path / "gone")})
    with pytest.raises(ConfigError, match=r"import\.password_file"):
        mqtt_settings(settings)
    tls = load_settings(None, {"SMILE_IOT_MQTT_CA_FILE": "/ca", "SMILE_IOT_MQTT_PORT": str(free_port())})
    assert (mqtt_settings(tls).tls, mqtt_settings(tls).ca_file) == (True, "/ca")
