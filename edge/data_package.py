"""The data package: how many bytes of mobile data this edge really used, month by month. Decree HK.01.07/MENKES/1568/2024
names it as the third piece of equipment, beside thermometer and scale.

Counted   what the kernel says of the uplink's TCP connection (tcp(7), TCP_INFO): bytes sent, those sent again included,
          and bytes received, TLS and MQTT in them; and the segments both ways.
Estimated the headers: 20 bytes of IP (40 for IPv6), 20 of TCP, 12 of its time stamps, for each segment.
Not seen  a connection that failed before its first MQTT byte (a TLS handshake refused), the segments that close one,
          name and time services (DNS, NTP), and whatever else the Pi does. The operator's bill rounds up as well.

A month is one of UTC; while the clock is not set it is counted under ``unset``. The count is kept in the outbox as a hint
once an hour, after 64 kB and when the agent stops: so much a SIGKILL may lose of it, for flash is worth more than that.
"""

from __future__ import annotations

import json
import logging
import socket
import sqlite3
import struct
from contextlib import closing
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from edge.outbox import Outbox
from telemetry.clock import Clock
from telemetry.errors import ConfigError, NeighbourDownError
from telemetry.readings import Sync

log = logging.getLogger(__name__)
_PREFIX = "data_package:"
UNSET = "unset"
TCP_HEADER_BYTES = 32  # 20 and 12 of time stamps, which Linux sends by default
IPV4_HEADER_BYTES, IPV6_HEADER_BYTES = 20, 40
# struct tcp_info of <linux/tcp.h>: bytes_received, segs_out, segs_in; bytes_sent (since Linux 4.19).
_RECEIVED = struct.Struct("=QII")
_RECEIVED_AT, _SENT_AT, _INFO_BYTES = 128, 200, 256
# Before either of them a hello or a connection's end is not worth a write to flash.
_WORTH_KEEPING_BYTES = 1 << 16
_WORTH_KEEPING_NS = 3600 * 1_000_000_000


class SupportsFileno(Protocol):
    """Any socket, wrapped in TLS or not."""

    def fileno(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes of TCP payload both ways, and the estimate of all headers."""

    sent: int = 0
    received: int = 0
    headers: int = 0

    @property
    def total(self) -> int:
        return self.sent + self.received + self.headers

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.sent + other.sent, self.received + other.received, self.headers + other.headers)

    def __sub__(self, other: Traffic) -> Traffic:
        return Traffic(self.sent - other.sent, self.received - other.received, self.headers - other.headers)


def month_of(clock: Clock) -> str:
    """``2026-11``, or ``unset`` while the clock does not claim to be right."""
    if clock.sync()[0] is not Sync.SYNCED:
        return UNSET
    return datetime.fromtimestamp(clock.now_ms() / 1000, UTC).strftime("%Y-%m")


def traffic_of(connection: socket.socket) -> Traffic | None:
    """What this TCP connection carried so far; None where the kernel does not say."""
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    except (OSError, AttributeError):
        return None
    if len(info) < _SENT_AT + 8:
        return None
    received, segments_out, segments_in = _RECEIVED.unpack_from(info, _RECEIVED_AT)
    sent = int(struct.unpack_from("=Q", info, _SENT_AT)[0])
    ip_bytes = IPV6_HEADER_BYTES if connection.family == socket.AF_INET6 else IPV4_HEADER_BYTES
    return Traffic(sent, int(received), (segments_out + segments_in) * (ip_bytes + TCP_HEADER_BYTES))


class Meter:
    """Counts one connection after the other into months. ``total`` is this month's so far."""

    def __init__(self, clock: Clock, outbox: Outbox) -> None:
        self._clock = clock
        self._outbox = outbox
        self._connection: socket.socket | None = None
        self._seen = Traffic()
        self._unkept: dict[str, Traffic] = {}
        self._kept_ns = clock.boottime_ns()

    def open(self, connection: SupportsFileno) -> None:
        """Count this connection from now on; a second descriptor of it stays readable when its owner closed it."""
        self.close()
        self._connection, self._seen = socket.socket(fileno=socket.dup(connection.fileno())), Traffic()

    def look(self) -> None:
        """Add what went over the line since the last look."""
        now = traffic_of(self._connection) if self._connection is not None else None
        if now is None:
            return
        month = month_of(self._clock)
        self._unkept[month] = self._unkept.get(month, Traffic()) + (now - self._seen)
        self._seen = now

    def close(self) -> None:
        """The connection is over."""
        if self._connection is not None:
            self.look()
            self._connection.close()
            self._connection = None
        self.keep_at_times()

    def keep_at_times(self) -> None:
        """Make the count durable if it is worth it by now."""
        self.look()
        size = sum(t.total for t in self._unkept.values())
        if size >= _WORTH_KEEPING_BYTES or self._clock.boottime_ns() >= self._kept_ns + _WORTH_KEEPING_NS:
            self.keep()

    def keep(self) -> None:
        """Make the count durable."""
        self.look()
        sums = {month: self.total(month) for month, traffic in self._unkept.items() if traffic.total}
        try:
            if sums:
                self._outbox.append([], {_PREFIX + m: json.dumps(astuple(traffic)) for m, traffic in sums.items()})
            self._unkept.clear()
            self._kept_ns = self._clock.boottime_ns()
        except NeighbourDownError as error:
            log.debug("the data package is not kept now: %s", error)  # a full disk must not stop the line

    def total(self, month: str | None = None) -> Traffic:
        """What the month (this one) has used so far."""
        month = month or month_of(self._clock)
        kept = self._outbox.hint(_PREFIX + month)
        return _load(kept) + self._unkept.get(month, Traffic())


def _load(text: str | None) -> Traffic:
    return Traffic(*json.loads(text)) if text else Traffic()


def read_months(outbox: Path) -> dict[str, Traffic]:
    """What an outbox file knows of its months, oldest first; it may be in use. Raises ConfigError."""
    if not outbox.exists():
        return {}
    try:
        with closing(sqlite3.connect(f"{outbox.resolve().as_uri()}?mode=ro", uri=True, timeout=10)) as db:
            rows = db.execute(
                "SELECT key, value FROM hint WHERE key GLOB ? ORDER BY key", (_PREFIX + "*",)
            ).fetchall()
    except sqlite3.Error as error:
        raise ConfigError("edge.outbox", f"cannot read {outbox}: {error}") from error
    return {key.removeprefix(_PREFIX): _load(value) for key, value in rows}
