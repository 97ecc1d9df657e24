"""Berlinger Fridge-tag 2 (daily summaries), Fridge-tag 2 L and Ultra Low (also a table of readings).

    Hist:
     1:                                     newest day first
      Date: 2022-06-07
      Min T: +4.1, TS Min T: 20:33
      Alarm:
       1:
        t Acc: 312, TS A: 14:55, C A: 0     minutes beyond the limit that day; when the alarm fired (00:00: goes on)
      Int Sensor timeout:
       t AccST: 0                           minutes without a sensor
    Data:                                   2 L and Ultra Low only
     <TAB>2022-05-02 04:44<TAB>26.3<TAB>x   --.- where there was no value

Slot 0 is the low limit, slot 1 the high one (the other way round where their values say so); a further slot is high
when its limit lies above slot 0's. Source: real files (``facts/cold-chain.md`` section 5).
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import date
from decimal import Decimal

from edge.decoders.files.model import (
    ISO_DATES,
    SET_TO_C,
    DaySummary,
    DeviceAlarm,
    DeviceLimit,
    FileReading,
    LoggerFile,
    LoggerFileError,
    beyond_note,
    in_order,
    is_nothing,
    number,
    plausible,
    temperature,
    whole,
)
from edge.decoders.files.tree import Node, check_whole, clock_ms, parse_tree, table_rows, timestamp

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DAY_MS = 86_400_000


def decode(text: str) -> LoggerFile:
    """A Fridge-tag export; raises LoggerFileError."""
    root = parse_tree(text)
    whole_notes = check_whole(root, text)
    device = root.need("Device")
    conf, hist = root.child("Conf"), root.child("Hist")
    if conf is None or (hist is None and root.child("Data") is None):
        raise LoggerFileError(f"no {'Conf' if conf is None else 'Hist'} block", advice="is the file cut off?")
    hist = hist or Node(0, 0, [("Hist", "")])
    check_celsius(conf)
    limits = _limits(conf)
    days, alarms = _days(hist, {x.slot: x.high for x in limits})
    readings, table_notes = read_table(root.child("Data"), limits)
    if whole_notes and not days and not readings:
        raise LoggerFileError("no day and no row of readings, and no signature", advice="is the file cut off?")
    started = timestamp(hist.get("TS Actv"), hist.line)
    created = timestamp(hist.get("TS Report Creation"), hist.line)
    table_notes += ends_early(readings, created, interval_s(conf))
    return LoggerFile(
        _format(device, bool(readings)),
        device,
        conf.need("Serial"),
        interval_s(conf),
        readings,
        limits,
        tuple(alarms),
        tuple(days),
        started,
        created,
        notes=(*whole_notes, *_notes(root, conf, days), *table_notes),
    )


def _format(device: str, has_readings: bool) -> str:
    name = device.casefold()
    if "ultra" in name or re.search(r"\bul\b", name):
        return "fridge-tag-ul"
    return "fridge-tag-2l" if has_readings or re.search(r"\b2 ?l\b", name) else "fridge-tag-2"


def interval_s(conf: Node) -> int | None:
    """The logging interval, which these devices state in minutes; None where they do not log."""
    text = conf.get("Logging Interval")
    if text is None or is_nothing(text):
        return None
    return (
        whole(re.sub(r"[ ]*min(utes)?$", "", text, flags=re.IGNORECASE), conf.line, "Logging Interval") * 60 or None
    )


def check_celsius(conf: Node) -> None:
    """Refuse a file in Fahrenheit: no such export was seen, so whether its numbers are too is not known."""
    unit = conf.get("Temp unit")
    if unit is not None and unit.strip().upper() not in ("C", "°C"):
        raise LoggerFileError(f"temperature unit {unit!r} is not supported", line=conf.line, advice=SET_TO_C)


def _limits(conf: Node) -> tuple[DeviceLimit, ...]:
    block = conf.child("Alarm")
    found: list[tuple[int, Decimal, int, int]] = []
    for slot, node in block.numbered() if block else ():
        pairs = node.exact()
        limit, after = pairs.get("T AL"), pairs.get("t AL")
        if limit is None or after is None or is_nothing(limit) or is_nothing(after):
            continue  # a slot that is switched off
        found.append((slot, number(limit, node.line, "T AL"), whole(after, node.line, "t AL"), node.line))
    at = {slot: limit for slot, limit, _, _ in found}
    # Two slots state by their values which is which; one alone is known by its place only.
    top = 0 if {0, 1} <= set(at) and at[0] > at[1] else 1
    lowest = min((limit for _, limit, _, _ in found), default=Decimal(0))
    return tuple(
        DeviceLimit(slot, slot == top or (slot > 1 and limit > lowest), limit, after * 60, cumulative=False)
        for slot, limit, after, _ in found
    )


def _days(hist: Node, high: dict[int, bool]) -> tuple[list[DaySummary], list[DeviceAlarm]]:
    days: list[DaySummary] = []
    alarms: list[DeviceAlarm] = []
    numbers: set[int] = set()
    for _, node in sorted(hist.numbered(), key=lambda x: x[1].get("Date") or ""):
        day = node.need("Date")
        midnight = timestamp(f"{day} 00:00", node.line) if _DATE.fullmatch(day) else None
        if midnight is None:
            raise LoggerFileError(f"{day[:40]!r} is not a date, wanted yyyy-MM-dd", line=node.line, advice=ISO_DATES)
        numbers.add(midnight // _DAY_MS)
        sums: dict[bool, int] = {}
        block = node.child("Alarm")
        for slot, entry in block.numbered() if block else ():
            side = high.get(slot, slot == 1)
            acc, at = entry.get("t Acc"), entry.get("TS A")
            if acc is not None and not is_nothing(acc):
                sums[side] = max(sums.get(side, 0), whole(acc, entry.line, "t Acc") * 60)
            if at is not None and not is_nothing(at):
                alarms.append(DeviceAlarm(slot, midnight + clock_ms(at, entry.line)))
        days.append(
            DaySummary(
                day,
                _maybe(node, "Min T"),
                _maybe(node, "Max T"),
                _maybe(node, "Avrg T"),
                sums.get(True),
                sums.get(False),
                sum(_timeout_s(node, name) for name in ("Int Sensor timeout", "Ext Sensor timeout")),
            )
        )
    return days, _mark_continued(alarms, numbers)


def _mark_continued(alarms: list[DeviceAlarm], days: set[int]) -> list[DeviceAlarm]:
    """A stamp of 00:00 repeats the alarm of the day before: the device stamps each day that an alarm goes on.

    Where the day before is not in the file, 00:00 is taken so too: a delay that ran out at the day's first minute
    began before it.
    """
    stamped = {(a.slot, a.local_ms // _DAY_MS) for a in alarms}
    out: list[DeviceAlarm] = []
    for a in alarms:
        before = a.local_ms // _DAY_MS - 1
        goes_on = a.local_ms % _DAY_MS == 0 and ((a.slot, before) in stamped or before not in days)
        out.append(DeviceAlarm(a.slot, a.local_ms, goes_on))
    return sorted(out, key=lambda a: (a.local_ms, a.slot))


def _maybe(node: Node, key: str) -> Decimal | None:
    text = node.get(key)
    return None if text is None else plausible(temperature(text, node.line, key))


def _timeout_s(node: Node, name: str) -> int:
    block = node.child(name)
    text = block.get("t AccST") if block else None
    return 0 if text is None or block is None or is_nothing(text) else whole(text, block.line, "t AccST") * 60


def read_table(data: Node | None, limits: tuple[DeviceLimit, ...]) -> tuple[tuple[FileReading, ...], list[str]]:
    """The readings of a ``Data:`` block, and notes on what in it contradicts the limits or no sensor can measure."""
    if data is None:
        return (), []
    readings: list[FileReading] = []
    contradicted = beyond = 0
    for line, at, cell, marked in table_rows(data):
        written = temperature(cell, line)
        value = plausible(written)
        beyond += value is not written
        readings.append(FileReading(at, value))
        out = value is not None and any(value > x.limit_c if x.high else value < x.limit_c for x in limits)
        contradicted += bool(limits) and value is not None and out is not marked
    notes = [] if readings else ["the Data block holds no row of readings"]
    notes += beyond_note(beyond)
    if contradicted:
        notes.append(f"{contradicted} rows are marked otherwise than the file's own limits say")
    ordered, mended = in_order(readings)
    return ordered, [*notes, *mended]


def ends_early(readings: tuple[FileReading, ...], end_ms: int | None, interval: int | None) -> list[str]:
    """A note where the rows stop well before the end that the file itself states: some may have been cut off."""
    if not readings or end_ms is None or interval is None:
        return []
    missing = (end_ms - readings[-1].local_ms) // (interval * 1000)
    return [f"the last row lies {missing} intervals before the end the file states"] if missing > 1 else []


def _notes(root: Node, conf: Node, days: list[DaySummary]) -> list[str]:
    notes: list[str] = []
    errors = root.child("Errors")
    for code, node in errors.numbered() if errors else ():
        notes.append(
            f"the device recorded error {code}: {', '.join(f'{k} {v}' for c in node.children for k, v in c.pairs)}"
        )
    twice = sorted(day for day, times in Counter(d.date for d in days).items() if times > 1)
    if twice:
        notes.append(f"the day {twice[0]} stands more than once: the logger's clock was set back")
    if days:
        first, last = (date.fromisoformat(d.date) for d in (days[0], days[-1]))
        missing = (last - first).days + 1 - len({d.date for d in days})
        if missing:
            notes.append(f"{missing} days between {days[0].date} and {days[-1].date} are not in the file")
    timeout_s = sum(d.timeout_s for d in days)
    if timeout_s:
        notes.append(f"the device had no sensor for {timeout_s // 60} minutes in all")
    zone = conf.get("Zone")
    if zone is not None and re.fullmatch(r"[+-]?0*[.,]?0*", zone) is None:
        notes.append(f"the device's clock was set with zone {zone}")
    return notes
