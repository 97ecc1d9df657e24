"""Two workers, a shard each, behind one Mosquitto; one is killed and the other takes its shard over."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.journal import SqliteJournal
from gateway.records import Actor, Device, Site, open_records
from ingest.ledger import read_ledger
from ingest.store import SqliteStore
from smile_iot.settings import to_toml
from telemetry.contract import decode_upload
from telemetry.readings import Ranges
from telemetry.topics import EdgeAddress

pytestmark = pytest.mark.neighbour("mosquitto")
Eventually = Callable[..., None]
ROOT = Path(__file__).parents[2]
T0 = 1_790_000_000_000
TOTAL = 3_000
SITES = {"SITE1": "s1", "SITE2": "s2"}


@dataclass
class Workers:
    """``smile-iot ingest`` twice on one data folder."""

    folder: Path
    port: int
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, own: str, spare: str) -> None:
        config = self.folder / f"{own}.toml"
        values = {"server.data_dir": str(self.folder / "data"), "server.shard": own, "server.spare_shards": spare}
        config.write_text(to_toml(values | {"mqtt.port": self.port, "mqtt.username": ""}))
        with (self.folder / f"{own}.log").open("ab") as log:
            self.running[own] = subprocess.Popen(
                [sys.executable, "-m", "smile_iot", "ingest", "--config", str(config)],
                cwd=ROOT, stdout=log, stderr=log, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            )  # fmt: skip

    def kill(self, own: str) -> None:
        self.running[own].kill()
        self.running[own].wait()

    def log(self, own: str) -> str:
        return (self.folder / f"{own}.log").read_text()


@pytest.fixture
def workers(tmp_path: Path, broker: Any) -> Iterator[Workers]:
    (tmp_path / "data").mkdir()
    boss = Actor("boss", "manager")
    with open_records(str(tmp_path / "data" / "records.db")) as records:
        for site, shard in SITES.items():
            records.upsert_site(Site(site, site, "r", "Asia/Jakarta", shard, "puskesmas"), boss, "test", T0)
            records.upsert_device(Device(f"T-{site}", site, "E1", "bthome"), boss, "test", T0)
    found = Workers(tmp_path, broker.port)
    found.start("s1", "s2")
    found.start("s2", "s1")
    yield found
    for process in found.running.values():
        process.kill()
        process.wait()


@pytest.mark.timeout(600)
def test_one_of_two_workers_killed_nothing_is_lost_nothing_doubled_and_each_sites_order_kept(
    workers: Workers, broker: Any, edge: Any, maker_class: Any, eventually: Eventually
) -> None:
    makers = {site: maker_class(EdgeAddress(shard, site, "E1"), f"epoch-{site}", T0) for site, shard in SITES.items()}
    edges = {site: type(edge)(broker.port, make) for site, make in makers.items()}
    stop = threading.Event()

    def publish(site: str) -> None:
        """Like the uplink: a window of what has no receipt, oldest first."""
        mine = edges[site]
        while not stop.is_set():
            with mine.lock:
                pending = list(itertools.islice((n for n in range(1, TOTAL + 1) if n not in mine.have), 300))
            for start in range(0, len(pending), 5):
                send(mine, pending[start : start + 5])
            stop.wait(0.3)

    publishers = [threading.Thread(target=publish, args=(site,)) for site in SITES]
    try:
        eventually(lambda: all("is ours" in workers.log(own) for own in ("s1", "s2")), "both at work", 40)
        for (
            mine
        ) in edges.values():  # the lease is said before the subscription stands: what nobody hears has no order
            eventually(lambda mine=mine: heard(mine, range(1, 6)), "somebody hears", 40)
        for publisher in publishers:
            publisher.start()
        eventually(lambda: any("store is ours" in workers.log(own) for own in ("s1", "s2")), "a filler", 40)
        victim = next(site for site, own in SITES.items() if "store is ours" in workers.log(own))
        eventually(lambda: len(edges[victim].have) > TOTAL // 10, "work to be cut off", 40)
        workers.kill(SITES[victim])  # and with it the store's only writer
        killed_s, at_kill = time.monotonic(), len(edges[victim].have)
        assert at_kill < TOTAL
        eventually(lambda: len(edges[victim].have) > at_kill, "the other takes over", 30)
        took_s = time.monotonic() - killed_s
        eventually(lambda: all(len(e.have) == TOTAL for e in edges.values()), "a receipt for every number", 90)
    finally:
        stop.set()
        for publisher in publishers:
            publisher.join()
        for one in edges.values():
            one.close()
    assert took_s < 15, "a shard is taken over within seconds"
    data = workers.folder / "data"
    eventually(lambda: all(len(stored(data, site)) == TOTAL for site in SITES), "every row in the store, once", 60)
    for site in SITES:
        assert sorted(stored(data, site)) == list(range(1, TOTAL + 1))
        order = journaled(data, site)
        assert order == list(range(1, TOTAL + 1)), "each number once, in its order"
    files = sorted(data.glob("ledger-*.db"))
    eventually(lambda: sum(line.received for file in files for line in read_ledger(file)) == 2 * TOTAL, "the ledgers")
    assert {(line.site, line.missing) for file in files for line in read_ledger(file)} == {
        (site, Ranges()) for site in SITES
    }


def send(edge: Any, numbers: Sequence[int]) -> None:
    stream = f"T-{edge.make.address.site}/temperature_c"
    edge.send([edge.make.reading(n, str(n % 70), stream=stream) for n in numbers])


def heard(edge: Any, numbers: Sequence[int]) -> bool:
    """Whether a receipt names the numbers; if not they are sent (again)."""
    if all(n in edge.have for n in numbers):
        return True
    send(edge, numbers)
    time.sleep(0.2)
    return False


def stored(data: Path, site: str) -> list[int]:
    if not (data / "store.db").exists():
        return []
    with closing(SqliteStore(data / "store.db", read_only=True)) as store:
        return [row.seq for row in store.read(f"T-{site}/temperature_c", 0, 1 << 43, limit=1_000_000).rows]


def journaled(data: Path, site: str) -> list[int]:
    with closing(SqliteJournal(data / "journal.db")) as journal:
        entries = [entry for _, entry in journal.after(0, 1_000_000) if entry.site == site]
    return [n.seq for entry in entries for n in decode_upload(entry.payload).facts]
