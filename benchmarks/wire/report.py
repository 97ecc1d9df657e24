"""The tables of ``wire.md``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from benchmarks.wire.entropy import Entropy
from benchmarks.wire.line import Measured
from benchmarks.wire.payload import Sizes

READINGS_A_MONTH = 30 * 24 * 60 * 10
CONNECTS_A_MONTH = 30
# Two records of 24 bytes, three packets with heads of 52: not met in a run, so computed.
PING_BYTES = 2 * 24 + 3 * 52

HEAD = """# Bytes on the wire

{date}; {machine}. Command: `{command}`.
Data: `benchmarks/data` (ten one-minute streams for a day, thermal model, 0.01 C steps, sensor noise sigma 0.02 to 0.05 C by
stream; *polled*: one stamp a round, some ms late; *ble*: each reading has the stamp of the advert heard first in its minute).
"""

PAYLOAD = """## Payload

Bytes a reading. Entropy: what the best simple predictor leaves of values and of stamps (stamps once for readings that share
them; how: `benchmarks/wire/entropy.py`). All forms carry names, epoch, boot, numbers and a 16-byte signature; each message
was read back and compared.

| data | streams x readings | entropy: values + stamps | JSON | JSON, deflated | compact | compact over entropy |
|---|---|---|---|---|---|---|"""

LINE = """## On the line

Ten one-minute streams, an upload of 100 readings every ten minutes unless said. The real uplink, Mosquitto with TLS 1.3, ingest,
signatures on; packets captured on a loopback with an MTU of 1500. Bytes an upload, both ways, IP level. Month: 30 days,
{readings} readings and {connects} connections; the keepalive of 15 min never comes to a ping (it would be {ping} bytes).

| data, settings | readings | receipts | hello | acks | TLS | IP + TCP | TCP acks | an upload | connect | MB a month |
|---|---|---|---|---|---|---|---|---|---|---|"""


SHORT = """## What falls short

- *ble*: where each reading has the stamp of an advert of its own, the stamps alone carry about a byte a reading. Hourly uploads
  are then 0.58 bytes over the entropy (goal 0.6), and uploads each ten minutes take more than 3 MB; each hour they do not.
- Counted on a loopback: no retransmission, no IPv6 (20 bytes a packet more), no operator's rounding up of a session.
- A connection a day is assumed; each further one costs what the column *connect* says."""


def payload_table(
    found: Sequence[tuple[str, int, int, Entropy, Sizes]], q_tag: tuple[int, Sizes] | None
) -> list[str]:
    lines = [PAYLOAD]
    for name, streams, readings, entropy, sizes in found:
        lines.append(
            f"| {name} | {streams} x {readings // streams} | {entropy.values:.2f} + {entropy.stamps:.2f} "
            f"| {sizes.json:.1f} "
            f"| {sizes.json_deflated:.2f} | {sizes.compact:.2f} ({sizes.message:.0f} a message) "
            f"| {sizes.compact - entropy.total:+.2f} |"
        )
    if q_tag is not None:
        count, sizes = q_tag
        lines.append(
            f"| real Q-tag CLm | 1 x {count} | - | {sizes.json:.1f} | {sizes.json_deflated:.2f} | {sizes.compact:.2f} | - |"
        )
    else:
        lines.append("| real Q-tag CLm | not run: file absent | | | | | |")
    return [*lines, ""]


def _uploads(m: Measured) -> float:
    """A month's."""
    return READINGS_A_MONTH / m.way.readings


def month_mb(m: Measured) -> float:
    return (m.steady.total / m.uploads * _uploads(m) + m.connect.total * CONNECTS_A_MONTH) / 1e6


def line_table(measured: Sequence[tuple[str, Measured]]) -> list[str]:
    lines = [LINE.format(readings=READINGS_A_MONTH, connects=CONNECTS_A_MONTH, ping=PING_BYTES)]
    for name, m in measured:
        c, n = m.steady, m.uploads
        acks = c.plain["acknowledgement up"] + c.plain["acknowledgement down"]
        cells = [
            c.plain["publish readings"], c.plain["receipt"], c.plain["publish hello"], acks, c.tls, c.headers, c.ack_bytes,
        ]  # fmt: skip
        lines.append(
            f"| {name}: {m.way.name} | "
            + " | ".join(f"{cell / n:.0f}" for cell in cells)
            + f" | {c.total / n:.0f} | {m.connect.total} | **{month_mb(m):.2f}** |"
        )
    return [*lines, "", *next_megabyte(measured)]


def next_megabyte(measured: Sequence[tuple[str, Measured]]) -> list[str]:
    """What a month's bytes are spent on, in the setting for mobile data, and what each saving was worth."""
    polled = [m for name, m in measured if name == "polled"]
    lines = ["## What the next megabyte is spent on", ""]
    for name, m in measured:
        if m.way.lazy and not m.way.hourly_hello:
            lines += [_spent(name, m), ""]
    steps = [f"{month_mb(a) - month_mb(b):.2f} MB from *{a.way.name}* to *{b.way.name}*" for a, b in pairwise(polled)]
    return [*lines, "Saved (polled): " + "; ".join(steps) + ".", "", SHORT]


def _spent(name: str, m: Measured) -> str:
    c, n = m.steady, m.uploads

    def mb(count: int) -> str:
        return f"{count / n * _uploads(m) / 1e6:.2f}"

    return (
        f"{name}: of {month_mb(m):.2f} MB ({m.way.name}): readings and MQTT {mb(c.plain['publish readings'])}, "
        f"IP and TCP headers {mb(c.headers)}, bare TCP acknowledgements {mb(c.ack_bytes)}, TLS records {mb(c.tls)}, "
        f"receipts {mb(c.plain['receipt'])}, MQTT's own acknowledgements "
        f"{mb(c.plain['acknowledgement up'] + c.plain['acknowledgement down'])}, "
        f"connections {m.connect.total * CONNECTS_A_MONTH / 1e6:.2f}."
    )
