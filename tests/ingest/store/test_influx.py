"""What only InfluxDB asks of us: outages, refusals, kills between index and server, short reads."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.store import Row
from ingest.store.identity import Fresh
from ingest.store.influx import InfluxStore
from ingest.store.line_protocol import WINDOW_MS, lines_of, quoted, row_of_point, string, tag
from ingest.store.local_influx import LocalInflux
from ingest.store.model import batches_of
from telemetry.errors import NeighbourDownError
from telemetry.readings import Origin, Quality, Sync

pytestmark = pytest.mark.neighbour("influxdb")
S = "T1/temperature_c"
T0 = 1_790_000_000_000
FOREVER = (0, 1 << 43)
RowMaker = Callable[..., Row]
Opener = Callable[..., InfluxStore]


def admin(influx: LocalInflux, query: str, db: str = "") -> dict[str, Any]:
    user, _, password = influx.token.partition(":")
    answer = httpx.post(
        f"{influx.url}/query", params={"q": query, "db": db}, headers={"Authorization": f"Token {user}:{password}"}
    )
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def line(row: Row, *, slot: int = 0, variant: int = 0) -> str:
    (batch,) = batches_of([row])
    return lines_of(Fresh(batch, row.t_ms, row.t_ms, [variant] if variant else None), [slot] if slot else None)[0]


def test_a_line_is_what_the_module_says(row: RowMaker) -> None:
    assert line(row(1, "4.125")) == (
        "readings,site=SITE1,source=E1/ep1,stream=T1/temperature_c,variant=0 "
        f"value=4.125,seq=2i,received_at_ms={T0 + 1000}i,max_error_ms=50i {T0 + 60_000}"
    )
    odd = row(1, None, device_seq=9, origin=Origin.MEMORY, sync=Sync.UNSYNCED, max_error_ms=None)
    assert line(odd, slot=1, variant=2) == (
        "readings,origin=memory,quality=sensor_fault,site=SITE1,slot=1,source=E1/ep1,stream=T1/temperature_c,"
        f"sync=unsynced,variant=2 device_seq=9i,seq=2i,received_at_ms={T0 + 1000}i {T0 + 60_000}"
    )
    strange = line(row(1, "0.001", epoch='a "b" \\'))
    assert strange.startswith("readings,site=SITE1,stream=T1/temperature_c,variant=0 value=0.001,seq=2i,")
    assert 'edge="E1",epoch="a \\"b\\" \\\\"' in strange


def test_a_point_from_before_decision_0018_is_read(row: RowMaker) -> None:
    """They had edge, epoch, quality, origin and sync as fields; beside new points InfluxQL renames one of the two."""
    point = {
        "time": T0, "site": "SITE1", "stream": S, "variant": "0", "value": Decimal("5.0"), "max_error_ms": 50,
        "edge": "E1", "epoch": "ep1", "quality": "unstable", "quality_1": None, "origin": None, "origin_1": "memory",
        "seq": 1, "sync": "synced", "received_at_ms": T0 + 1000,
    }  # fmt: skip
    assert row_of_point(point) == row(0, origin=Origin.MEMORY, quality=Quality.UNSTABLE)
    assert row_of_point(point | {"seq": None}) is None


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (tag("a b,c=d"), "a\\ b\\,c\\=d"),
        (string('a "b" \\c\nd'), '"a \\"b\\" \\\\c d"'),
        (quoted("it's \\ so"), "'it\\'s \\\\ so'"),
    ],
)
def test_escapes(made: str, expected: str) -> None:
    assert made == expected


@given(st.integers(-(10**12) + 1, 10**12 - 1))
def test_three_decimals_below_1e9_survive_the_way_through_a_double(thousandths: int) -> None:
    printed = f"{thousandths / 1000}"
    assert "e" not in printed
    assert Decimal(repr(float(printed))) == Decimal(printed) == Decimal(thousandths) / 1000


def test_names_with_odd_signs_come_back(open_influx: Opener, row: RowMaker) -> None:
    store = open_influx()
    odd = row(1, site="a.b-c_D", edge='x"y\\', epoch="p q, r=s \\")
    store.append([odd])
    assert store.read(S, *FOREVER).rows == (odd,)
    assert store.streams("a.b-c_D") == [S]
    assert store.streams("it's \\ not here") == []


def test_a_dead_server_is_down_and_not_a_bad_row(influx: LocalInflux, open_influx: Opener, row: RowMaker) -> None:
    """facts/data-path.md 1: nginx answers 502 with HTML; that is "later", and afterwards nothing is doubled."""
    store = open_influx()
    store.append([row(1)])
    influx.kill_influxd()
    try:
        for call in (
            lambda: store.append([row(1), row(2), row(2, "9")]),
            lambda: store.count(S),
            lambda: store.latest([S]),
        ):
            with pytest.raises(NeighbourDownError) as caught:
                call()
            assert caught.value.again
            assert "\n" not in caught.value.message
    finally:
        influx.restart_influxd()
    result = store.append([row(1), row(2), row(2, "9")])
    assert result.rejected == ()
    assert [(r.t_ms - T0, r.variant) for r in store.read(S, *FOREVER).rows] == [
        (60_000, 0),
        (120_000, 0),
        (120_000, 1),
    ]


def test_nobody_listens(tmp_path: Path, row: RowMaker) -> None:
    store = InfluxStore("http://127.0.0.1:1", "o", "b", "u:p", index_path=tmp_path / "i.db")
    with pytest.raises(NeighbourDownError):
        store.append([row(1)])
    with pytest.raises(NeighbourDownError):
        store.streams()
    store.close()


@pytest.mark.parametrize(("bucket_name", "token"), [("no-such-bucket", None), (None, "smile:wrong"), (None, "")])
def test_a_wrong_set_up_costs_no_reading(
    influx: LocalInflux, bucket: str, tmp_path: Path, row: RowMaker, bucket_name: str | None, token: str | None
) -> None:
    """404 database not found, 401: every row would "never pass", yet none is rejected; a technician is told."""
    wrong = InfluxStore(
        influx.url, influx.org, bucket_name or bucket, influx.token if token is None else token,
        index_path=tmp_path / "i.db",
    )  # fmt: skip
    with pytest.raises(NeighbourDownError) as caught:
        wrong.append([row(1)])
    assert "token" in caught.value.advice
    with pytest.raises(NeighbourDownError):
        wrong.count(S)
    wrong.close()


def test_what_is_acknowledged_survives_a_kill_of_the_server(
    influx: LocalInflux, open_influx: Opener, row: RowMaker
) -> None:
    """facts/data-path.md 1: kill -9 right after 204 loses nothing."""
    store = open_influx()
    for n in range(10):
        store.append([row(n)])
    influx.restart_influxd()
    assert store.count(S) == 10


def test_the_server_refuses_some_lines_and_the_rest_is_stored(
    influx: LocalInflux, open_influx: Opener, bucket: str, row: RowMaker
) -> None:
    """400 "field type conflict" for one series and time span: halved until each bad line stands alone."""
    store = open_influx()
    store.append([row(0)])
    user, _, password = influx.token.partition(":")
    httpx.post(
        f"{influx.url}/api/v2/write", params={"bucket": bucket, "precision": "ms"},
        headers={"Authorization": f"Token {user}:{password}"},
        content=f'readings,site=BAD,stream=T2/temperature_c,variant=0 seq="text" {T0 - 30 * 86_400_000}',
    ).raise_for_status()  # fmt: skip
    old = [row(n - 30 * 1440, stream_id="T2/temperature_c", seq=n) for n in range(1, 4)]
    rows = [row(1), old[0], row(2), old[1], row(3), old[2], row(4)]
    result = store.append(rows)
    assert [r for r, _ in result.rejected] == old
    assert all("type conflict" in reason for _, reason in result.rejected)
    assert result.committed == 4
    assert store.count(S) == 5
    assert store.append(rows).duplicates == 4  # the refused ones are not remembered as stored
    assert store.latest([S, "T2/temperature_c"]).keys() == {S}


def test_a_bucket_that_drops_old_data_costs_no_reading(
    influx: LocalInflux, open_influx: Opener, bucket: str, row: RowMaker
) -> None:
    """400 "points beyond retention policy dropped" for our windows: the set-up is wrong, and is told as such."""
    admin(influx, f'ALTER RETENTION POLICY "autogen" ON "{bucket}" DURATION 3650d')
    store = open_influx()
    with pytest.raises(NeighbourDownError, match=r"keep data for ever.*retention"):
        store.append([row(0)])
    admin(influx, f'ALTER RETENTION POLICY "autogen" ON "{bucket}" DURATION INF')
    store.append([row(0)])
    assert store.read(S, *FOREVER).rows == (row(0),)


@pytest.mark.parametrize("cut", ["before the server", "after the server", "after half of it"])
def test_a_kill_between_mark_and_server_leaves_each_point_at_one_place(
    open_influx: Opener, row: RowMaker, cut: str
) -> None:
    """Even when the caller repeats in another order, with another time for the same device number."""
    store = open_influx()
    write = store._write

    def killed(fresh: Any, numbered: Any) -> Any:
        if cut == "after the server":
            write(fresh, numbered)
        if cut == "after half of it":
            write(fresh[:1], [])
        raise RuntimeError("SIGKILL")

    store._write = killed  # type: ignore[method-assign]
    live = row(1, device_seq=7)
    memory = row(1, device_seq=7, t_ms=T0 + 61_500)
    with pytest.raises(RuntimeError):
        store.append([row(3, "5"), row(3, "6"), live])
    again = open_influx()
    again.append([memory, row(3, "6"), row(3, "5")])
    found = again.read(S, *FOREVER).rows
    assert len(found) == again.count(S) == 3
    assert {(r.t_ms, r.value) for r in found if r.device_seq is None} == {(T0 + 180_000, 5), (T0 + 180_000, 6)}
    assert [r.variant for r in found if r.device_seq is None] == [0, 1]
    (numbered,) = (r for r in found if r.device_seq == 7)
    assert numbered.t_ms == (T0 + 60_000 if cut == "after the server" else T0 + 61_500)
    assert again.append([live, memory, row(3, "5"), row(3, "6")]).duplicates == 4


def after_a_power_cut(influx: LocalInflux, store: InfluxStore, before: Path, boot_id: str) -> InfluxStore:
    """The same database beside an index as the disk had it ``before``."""
    return InfluxStore(influx.url, influx.org, store._bucket, influx.token, index_path=before, boot_id=boot_id)


def test_a_mark_that_a_power_cut_took_back_overwrites_nothing(
    influx: LocalInflux, open_influx: Opener, row: RowMaker, tmp_path: Path
) -> None:
    """design.md promise 8. Marks of live readings wait for no disk: another boot id says that some may be lost."""
    store = open_influx()
    store.append([row(0), row(0, device_seq=5)])
    on_disk = tmp_path / "on_disk.db"
    for ending in ("", "-wal"):
        shutil.copy(tmp_path / f"index.db{ending}", f"{on_disk}{ending}")
    store.append([row(1), row(2)])  # their marks were never written out
    again = after_a_power_cut(influx, store, on_disk, "another boot")
    result = again.append([row(2, "9"), row(1), row(0), row(0, device_seq=5), row(3)])
    assert (result.committed, result.duplicates, result.conflicts) == (2, 3, 1)
    assert [(r.value, r.variant) for r in again.read(S, row(2).t_ms, row(2).t_ms + 1).rows] == [(5, 0), (9, 1)]
    again.close()


def test_after_a_kill_or_a_clean_end_nothing_is_asked(
    influx: LocalInflux, open_influx: Opener, row: RowMaker, tmp_path: Path
) -> None:
    """A kill keeps the marks (the boot is the same); what was closed is on disk, whatever boot comes next."""
    store = open_influx()
    store.append([row(0)])
    store.append([row(1)])
    killed = open_influx()
    asked: list[str] = []
    killed._http.event_hooks["request"].append(lambda request: asked.append(str(request.url)))
    killed.append([row(2)])
    killed.close()
    rebooted = after_a_power_cut(influx, store, tmp_path / "index.db", "another boot")
    rebooted._http.event_hooks["request"].append(lambda request: asked.append(str(request.url)))
    assert rebooted.append([row(3)]).committed == 1
    assert asked == []
    rebooted.close()


def test_a_lost_index_is_rebuilt_from_the_database(open_influx: Opener, row: RowMaker, tmp_path: Path) -> None:
    rows = [row(1), row(1, "9"), row(2, device_seq=5), row(2, device_seq=6), row(9_000)]
    other = row(3, stream_id="T2/temperature_c")
    store = open_influx()
    store.append([*rows, other])
    store.close()
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    again = open_influx()
    late = row(2, device_seq=7)
    result = again.append([*rows, other, late, row(9_001)])
    assert (result.committed, result.duplicates, result.conflicts) == (2, 6, 0)
    assert again.append([row(2, "7", device_seq=5), row(1, "10")]).conflicts == 2
    found = again.read(S, *FOREVER).rows
    assert len(found) == again.count(S) == 9
    assert again.streams() == [S, "T2/temperature_c"]


def test_live_data_ask_the_database_nothing(open_influx: Opener, row: RowMaker) -> None:
    store = open_influx()
    store.append([row(0)])
    asked: list[str] = []
    store._http.event_hooks["request"].append(lambda request: asked.append(str(request.url)))
    store.append([row(n, stream_id=f"T{n % 3}/temperature_c") for n in range(1, 100)])
    store.append([row(100), row(101), row(7, device_seq=3)])
    assert asked == []
    store.append([row(50), row(51), row(52)])
    assert len(asked) == 1


def test_many_bad_lines_cost_a_bounded_number_of_requests(
    influx: LocalInflux, open_influx: Opener, bucket: str, row: RowMaker
) -> None:
    """Each second line meets a type conflict: halving alone would ask 4,000 times."""
    store = open_influx()
    user, _, password = influx.token.partition(":")
    httpx.post(
        f"{influx.url}/api/v2/write", params={"bucket": bucket, "precision": "ms"},
        headers={"Authorization": f"Token {user}:{password}"},
        content=f'readings,site=BAD,source=E1/ep1,stream=T2/temperature_c,variant=0 seq="text" {T0}',
    ).raise_for_status()  # fmt: skip
    admin(influx, "DROP SERIES FROM \"readings\" WHERE site = 'BAD'", bucket)
    asked: list[str] = []
    post = store._post
    store._post = lambda body: (asked.append(body), post(body))[1]  # type: ignore[method-assign,func-returns-value]
    rows = [row(n, str(n % 90)) for n in range(2_000)]
    old = [row(n, stream_id="T3/temperature_c", seq=n) for n in range(2_000)]
    result = store.append([r for pair in zip(rows, old, strict=True) for r in pair])
    assert result.committed + len(result.rejected) == 4_000
    assert store.count(S) + store.count("T3/temperature_c") == result.committed
    assert len(asked) < 150


def test_no_read_spans_more_than_72_hours(open_influx: Opener, row: RowMaker) -> None:
    """design.md: reads in windows <= 72 h; 3.x refuses long ones. Two years hold few windows and few questions."""
    store = open_influx()
    days = [0, 1, 5, 300, 700]
    store.append([row(day * 1440) for day in days])
    asked: list[str] = []
    store._http.event_hooks["request"].append(lambda request: asked.append(request.url.params["q"]))
    assert len(store.read(S, *FOREVER).rows) == 5
    assert store.count(S) == 5
    assert store.latest([S])[S].t_ms == T0 + 700 * 86_400_000
    assert store.streams("SITE1") == [S]
    assert len(asked) < 20
    for query in asked:
        low, high = re.findall(r"time [<>]=? (\d+)ms", query)
        assert int(high) - int(low) <= WINDOW_MS, query


def test_more_rows_at_one_time_than_a_page_holds(open_influx: Opener, row: RowMaker) -> None:
    store = open_influx()
    rows = [row(1, device_seq=n) for n in range(200)] + [row(2)]
    store.append(rows)
    whole, after = [], None
    while True:
        page = store.read(S, *FOREVER, limit=60, after=after)
        whole += page.rows
        after = page.next
        if after is None:
            break
    assert whole == rows
