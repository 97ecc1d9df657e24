"""What the edge says it used is what went over the line."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from edge.data_package import UNSET, Meter, Traffic, month_of, read_months, traffic_of
from edge.outbox import MemoryOutbox, SqliteOutbox
from telemetry.errors import ConfigError
from telemetry.readings import Sync


@pytest.fixture
def line() -> Any:
    """Two ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    with near, far:
        yield near, far


def exchange(line: Any, out: int, back: int) -> None:
    near, far = line
    near.sendall(b"o" * out)
    far.recv(out, socket.MSG_WAITALL)
    far.sendall(b"b" * back)
    near.recv(back, socket.MSG_WAITALL)


def test_bytes_both_ways_are_counted_and_headers_estimated_by_segment(line: Any) -> None:
    exchange(line, 1000, 300)
    traffic = traffic_of(line[0])
    assert traffic is not None
    assert (traffic.sent, traffic.received) == (1000, 300)
    assert traffic.headers % 52 == 0
    assert 4 * 52 <= traffic.headers <= 9 * 52  # SYN, SYN+ACK, ACK, two segments, their ACKs


def test_a_month_adds_up_over_connections_and_a_closed_one_is_still_counted(line: Any, clock: Any) -> None:
    outbox = MemoryOutbox()
    meter = Meter(clock, outbox)
    meter.open(line[0])
    exchange(line, 5000, 10)
    meter.look()
    exchange(line, 7000, 20)
    line[0].close()
    meter.close()
    total = meter.total("2027-01")
    assert (total.sent, total.received) == (12000, 30)
    meter.keep()
    assert Meter(clock, outbox).total("2027-01") == total, "it is durable"


def test_flash_is_written_once_an_hour_or_for_64_kilobytes(line: Any, clock: Any) -> None:
    outbox = MemoryOutbox()
    meter = Meter(clock, outbox)
    meter.open(line[0])
    exchange(line, 5000, 10)
    meter.keep_at_times()
    assert Meter(clock, outbox).total("2027-01") == Traffic()
    clock.go(3600)
    meter.keep_at_times()
    assert Meter(clock, outbox).total("2027-01").sent == 5000
    exchange(line, 70_000, 10)
    meter.keep_at_times()
    assert Meter(clock, outbox).total("2027-01").sent == 75_000


def test_a_month_ends_at_midnight_utc_and_an_unset_clock_has_a_row_of_its_own(line: Any, clock: Any) -> None:
    meter = Meter(clock, MemoryOutbox())
    meter.open(line[0])
    clock.wall_ms = 1_801_439_999_999
    assert month_of(clock) == "2027-01"
    exchange(line, 100, 1)
    meter.look()
    clock.wall_ms += 1
    exchange(line, 200, 1)
    meter.look()
    clock.state, clock.wall_ms = Sync.UNSYNCED, 5
    exchange(line, 400, 1)
    meter.keep()
    assert [meter.total(m).sent for m in ("2027-01", "2027-02", UNSET)] == [100, 200, 400]


def test_the_file_tells_its_months_to_another_process(line: Any, clock: Any, tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    assert read_months(path) == {}
    outbox = SqliteOutbox(path)
    meter = Meter(clock, outbox)
    meter.open(line[0])
    exchange(line, 9000, 100)
    meter.keep()
    assert read_months(path)["2027-01"].sent == 9000
    meter.close()
    outbox.close()
    (tmp_path / "bad.db").write_text("no database" * 1000)
    with pytest.raises(ConfigError, match="cannot read"):
        read_months(tmp_path / "bad.db")


def test_a_socket_without_tcp_counts_nothing(clock: Any) -> None:
    near, far = socket.socketpair()
    with near, far:
        assert traffic_of(near) is None
        meter = Meter(clock, MemoryOutbox())
        meter.open(near)
        meter.close()
        assert meter.total() == Traffic()
