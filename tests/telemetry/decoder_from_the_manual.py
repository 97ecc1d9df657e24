"""A second decoder of compact readings, written from ``docs/contract.md`` alone: what a stranger would write.

It imports nothing of ours, checks nothing and takes its time. It returns the body as the JSON form has it.
"""

from __future__ import annotations

import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

DICTIONARY = (
    "/mass_kg|/door_open|/voltage_v|/mains_power_on|/rssi_dbm|/battery_percent|"
    "/ambient_temperature_c|/humidity_percent|/temperature_c|"
).replace("|", "\n")  # fmt: skip


class Body:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, count: int) -> bytes:
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def varint(self) -> int:
        number, weight = 0, 1
        while True:
            byte = self.take(1)[0]
            number += byte % 128 * weight
            weight *= 128
            if byte < 128:
                return number

    def text(self) -> str:
        length, form = divmod(self.varint(), 4)
        data = self.take(length)
        if form == 0:
            return data.decode()
        digits = data.hex()
        return (
            digits if form == 1 else "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        )

    def column(self, n: int) -> list[int]:
        if n == 0:
            return []
        base, form = divmod(self.varint(), 16)
        base = signed(base)
        if form == 9:
            s = self.take(1)[0]
            low, high = self.take(n), self.take(n)
            return [base + low[i] + high[i] * 2**s for i in range(n)]
        if form == 10:
            w = self.take(1)[0]
            number = int.from_bytes(self.take((n * w + 7) // 8), "little")
            return [base + number // 2 ** (w * i) % 2**w for i in range(n)]
        planes = [self.take(n) for _ in range(form)]
        return [base + sum(plane[i] * 256**k for k, plane in enumerate(planes)) for i in range(n)]

    def along(self, n: int) -> list[int]:
        return summed(0, self.column(n))[1:]

    def runs(self, firsts: list[int], lengths: list[int]) -> list[list[int]]:
        steps = self.column(sum(lengths) - len(lengths))
        found = []
        for first, length in zip(firsts, lengths, strict=True):
            found.append(summed(first, steps[: length - 1]))
            steps = steps[length - 1 :]
        return found


def signed(z: int) -> int:
    return z // 2 if z % 2 == 0 else -(z + 1) // 2


def summed(first: int, steps: list[int]) -> list[int]:
    numbers = [first]
    for step in steps:
        numbers.append(numbers[-1] + step)
    return numbers


def iso(ms: int) -> str:
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=ms // 1000):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def read(message: bytes) -> dict[str, Any]:
    assert message[0] == 1
    flags, data = message[1], message[2:]
    mac = None
    if flags & 2:
        data, mac = data[:-16], data[-16:].hex()
    if flags & 1:
        data = zlib.decompressobj(-15, zdict=DICTIONARY.encode()).decompress(data)
    body = Body(data)
    found: dict[str, Any] = {"v": 1, "kind": "readings", "sent_at": iso(signed(body.varint()))}
    found |= {"edge": body.text(), "epoch": body.text(), "mac": mac}
    if flags & 4:
        found["lazy"] = True
    contexts = [(body.text(), body.varint()) for _ in range(body.varint())]
    count = body.varint()
    ids = body.text().split("\n") if count else []
    tracks = stamps(body, 1 if flags & 8 else 1_000_000)
    groups = body.varint()
    columns = [body.along(groups), body.along(groups), body.along(groups), body.column(groups)]
    streams = []
    for stream, context, track, how in zip(*columns, strict=True):
        boot_id, e = contexts[context]
        streams.append(
            {
                "id": ids[stream],
                "origin": ["live", "memory", "file"][how % 4],
                "boot_id": boot_id,
                "sync": "synced" if e % 2 else "unsynced",
                "max_error_ms": e // 2 - 1 if e > 1 else None,
                "quality": {},
                **{key: list(numbers) for key, numbers in tracks[track].items()},
                **({"device_seq": []} if how & 4 else {}),
            }
        )
    readings(body, streams, columns[0], count)
    assert not body.data
    numbers = sorted(n for s in streams for n in s["seq"])
    found["ranges"] = []
    for n in numbers:
        if found["ranges"] and found["ranges"][-1][1] == n - 1:
            found["ranges"][-1][1] = n
        else:
            found["ranges"].append([n, n])
    return found | {"streams": streams}


def stamps(body: Body, unit_ns: int) -> list[dict[str, list[Any]]]:
    count = body.varint()
    lengths, kinds = body.column(count), body.column(count)
    first_boots = body.along(count)
    own = [i for i in range(count) if kinds[i] == 2]
    first_aheads = body.along(len(own))
    boots = body.runs(first_boots, lengths)
    offsets = body.column(sum(lengths))
    aheads: list[Any] = [a for run in body.runs(first_aheads, [lengths[i] for i in own]) for a in run]
    if own:
        for place in body.along(body.varint()):
            aheads[place] = None
    tracks = []
    for boot, kind in zip(boots, kinds, strict=True):
        wall = [b * unit_ns // 1_000_000 + offsets.pop(0) for b in boot]
        t: list[int | None] = [*wall] if kind == 0 else [None] * len(wall)
        if kind == 2:
            ahead = [aheads.pop(0) for _ in wall]
            t = [None if a is None else w + a for w, a in zip(wall, ahead, strict=True)]
        tracks.append({"boottime_ns": [b * unit_ns for b in boot], "wall_ms": wall, "t_ms": t})
    return tracks


def readings(body: Body, streams: list[dict[str, Any]], which: list[int], count: int) -> None:
    groups = [[s for s, w in zip(streams, which, strict=True) if w == i] for i in range(count)]
    places = [(s, i) for of_one in groups for s in of_one for i in range(len(s["wall_ms"]))]
    for s in streams:
        s["seq"], s["value"] = [None] * len(s["wall_ms"]), [None] * len(s["wall_ms"])
    boots = list(dict.fromkeys(s["boot_id"] for s in streams))
    order = sorted(range(len(places)), key=lambda p: stamped(places[p], boots))
    if places:
        first = body.varint()
        for place, number in zip(order, summed(first, body.column(len(places) - 1)), strict=True):
            s, i = places[place]
            s["seq"][i] = number
    odd = body.along(body.varint())
    codes = dict(zip(odd, body.column(len(odd)), strict=True))
    numbered = [[(s, i) for s in of_one if "device_seq" in s for i in s["wall_ms"]] for of_one in groups]
    numbered = [n for n in numbered if n]
    for cells, numbers in zip(
        numbered, body.runs(body.along(len(numbered)), [len(n) for n in numbered]), strict=True
    ):
        for (s, _), number in zip(cells, numbers, strict=True):
            s["device_seq"].append(number)
    steps = body.column(count)
    lengths = [sum(len(s["wall_ms"]) for s in of_one) for of_one in groups]
    runs = body.runs(body.column(count), lengths)
    values = [value * step / 1000 for run, step in zip(runs, steps, strict=True) for value in run]
    for place, (s, i) in enumerate(places):
        code = codes.get(place, 0)
        s["value"][i] = None if code & 8 else values[place]
        if code:
            names = ["good", "unstable", "over_range", "under_range", "sensor_fault", "invalid"]
            s["quality"][str(i)] = names[code & 7]


def stamped(place: tuple[dict[str, Any], int], boots: list[str]) -> tuple[int, int]:
    s, i = place
    return boots.index(s["boot_id"]), s["boottime_ns"][i]
