"""The data set of ``make bench-wire``: ten one-minute streams for a day, from a thermal model; committed, with its seed.

Air of a pharmacy refrigerator: a compressor with hysteresis, the room outside, a door that is opened now and then, a
first-order sensor. To that comes sensor noise of SIGMA_C (normal, stated per stream below), and the value is rounded
to the 0.01 C that SHT4x and TMP117 class devices report. Two files of one truth, which differ in their stamps:

polled   a round a minute over a serial bus: one stamp for all streams, a few ms of scheduling late
ble      the first advert in each minute that was heard: every device has its own period (about 1.285 s, each advert
         0 to 10 ms late as Bluetooth asks), so every reading has its own stamp

    .venv/bin/python benchmarks/data/make_wire.py    (writes wire_polled.csv.gz, wire_ble.csv.gz; the same bytes always)
"""

from __future__ import annotations

import gzip
import io
import random
from pathlib import Path

SEED = 20261128
STREAMS = 10
MINUTES = 24 * 60
SIGMA_C = (0.02, 0.02, 0.03, 0.03, 0.03, 0.03, 0.04, 0.04, 0.05, 0.05)
T0_MS = 1_795_564_800_000  # 2026-11-25T00:00:00Z
BOOT0_MS = 350_123_456  # four days up
HERE = Path(__file__).parent


def temperatures(rng: random.Random, sigma_c: float) -> list[int]:
    """A day of minutes, in hundredths of a degree."""
    air, sensor, running = rng.uniform(3.5, 6), 5.0, False
    low, high = rng.uniform(3.0, 3.6), rng.uniform(5.2, 6.2)
    room, leak, cooling = rng.uniform(24, 31), rng.uniform(0.0025, 0.004), rng.uniform(0.22, 0.32)
    door_min, found = 0, []
    for minute in range(MINUTES):
        if door_min == 0 and 7 * 60 < minute % 1440 < 17 * 60 and rng.random() < 1 / 45:
            door_min = rng.randint(1, 4)
        running = air > high or (running and air > low)
        air += leak * (room - air) - (cooling if running else 0.0)
        if door_min:
            air += 0.04 * (room - air)
            door_min -= 1
        sensor += 0.35 * (air - sensor)  # a time constant of about 2.5 minutes
        found.append(round(100 * (sensor + rng.gauss(0, sigma_c))))
    return found


def polled_stamps(rng: random.Random) -> list[list[float]]:
    """[minute][stream] in ms after T0: the same for all streams of a round."""
    return [[minute * 60_000 + 3 + rng.expovariate(1 / 4)] * STREAMS for minute in range(MINUTES)]


def ble_stamps(rng: random.Random) -> list[list[float]]:
    """[minute][stream]: when the first advert of that minute was heard (one in twenty is not)."""
    columns = []
    for _ in range(STREAMS):
        at, period, heard = rng.uniform(0, 1285), 1285 + rng.uniform(-0.05, 0.05), []
        while len(heard) < MINUTES:
            if at >= 60_000 * len(heard) and rng.random() > 0.05:
                heard.append(at)
            at += period + rng.uniform(0, 10)
        columns.append(heard)
    return [list(row) for row in zip(*columns, strict=True)]


def table(stamps: list[list[float]], values: list[list[int]]) -> str:
    """``seq,stream,boottime_ms,wall_ms,centi_c`` in the order of arrival. The two clocks are cut to ms, each by itself."""
    text, seq = io.StringIO(), 0
    text.write("seq,stream,boottime_ms,wall_ms,centi_c\n")
    for minute, row in enumerate(stamps):
        for at, stream in sorted((at, stream) for stream, at in enumerate(row)):
            seq += 1
            text.write(f"{seq},{stream},{BOOT0_MS + int(at)},{T0_MS + int(at + 0.37)},{values[stream][minute]}\n")
    return text.getvalue()


def main() -> None:
    rng = random.Random(SEED)
    values = [temperatures(rng, sigma) for sigma in SIGMA_C]
    for name, stamps in (("polled", polled_stamps(rng)), ("ble", ble_stamps(rng))):
        packed = gzip.compress(table(stamps, values).encode(), 9, mtime=0)
        (HERE / f"wire_{name}.csv.gz").write_bytes(packed)


if __name__ == "__main__":
    main()
