"""Berlinger Q-tag CLm: a transport logger with a table of readings, five alarm slots, and its own MKT.

    Conf:
     MKT Energy: 83.0                               kJ/mol
     Logging Interval: 10                           minutes; the device samples finer than it logs
     Alarm:
      1:
       Type: 2, T AL: 8.0, t AL: 30                 0 off, 1 cold and 2 hot consecutive, 3 cold and 4 hot cumulative
    Res:
     MKT: 10.5
     Alarm:
      5:
       TS S: .., t A: 145, TS A: .., TS E: .., ..   one line per event; TS A empty: it did not come to an alarm

Source: a real file (``facts/cold-chain.md`` section 5).
"""

from __future__ import annotations

import re
from decimal import Decimal

from edge.decoders.files.fridge_tag import check_celsius, ends_early, interval_s, read_table
from edge.decoders.files.model import (
    DeviceAlarm,
    DeviceLimit,
    FileReading,
    LoggerFile,
    LoggerFileError,
    is_nothing,
    number,
    plausible,
    temperature,
    whole,
)
from edge.decoders.files.tree import Node, check_whole, parse_tree, timestamp

_ENERGY_KJ_MOL = (Decimal(10), Decimal(300))  # of real products 60 to 100; J/mol or an empty field lie outside
# Type -> (high, cumulative)
_TYPES = {1: (False, False), 2: (True, False), 3: (False, True), 4: (True, True)}
_STATED = (("min_c", "Min T"), ("max_c", "Max T"), ("mean_c", "Avrg T"), ("mkt_c", "MKT"))


def decode(text: str) -> LoggerFile:
    """A Q-tag CLm export; raises LoggerFileError."""
    root = parse_tree(text)
    whole_notes = check_whole(root, text)
    conf, res, data = root.child("Conf"), root.child("Res"), root.child("Data")
    if conf is None or (whole_notes and res is None and data is None):
        raise LoggerFileError(f"no {'Conf' if conf is None else 'Res'} block", advice="is the file cut off?")
    check_celsius(conf)
    limits, notes = _limits(conf)
    energy, energy_notes = _energy(conf)
    readings, table_notes = read_table(data, limits)
    if data is None:
        table_notes.append("the file has no Data block: no reading is in it")
    started = None if res is None else timestamp(res.get("TS Start"), res.line)
    stopped = None if res is None else timestamp(res.get("TS Stop"), res.line)
    table_notes += _too_few(readings, started, stopped, interval_s(conf))
    return LoggerFile(
        "q-tag-clm",
        root.need("Device"),
        conf.need("Serial"),
        interval_s(conf),
        readings,
        limits,
        () if res is None else _alarms(res),
        (),
        started,
        stopped,
        energy,
        () if res is None else _stated(res),
        (*whole_notes, *notes, *energy_notes, *_run_notes(res), *table_notes),
    )


def _energy(conf: Node) -> tuple[Decimal | None, list[str]]:
    """The activation energy that the file states for its MKT; None, with a note, where it cannot be meant."""
    text = conf.get("MKT Energy")
    if text is None or is_nothing(text):
        return None, []
    try:
        energy = number(text, conf.line, "MKT Energy")
    except LoggerFileError:
        energy = Decimal(0)
    if _ENERGY_KJ_MOL[0] <= energy <= _ENERGY_KJ_MOL[1]:
        return energy, []
    return None, [f"the file's MKT energy {text[:20]!r} cannot be meant (10..300 kJ/mol): the default is used"]


def _too_few(
    readings: tuple[FileReading, ...], start_ms: int | None, stop_ms: int | None, interval: int | None
) -> list[str]:
    """A note where rows are missing, by the run's own start, stop and interval."""
    if start_ms is None or stop_ms is None or interval is None or not readings:
        return []
    wanted = (stop_ms - start_ms) // (interval * 1000) + 1
    have = len({r.local_ms for r in readings})
    notes = [f"the run of the file makes {wanted} rows, {have} are in it"] if have < wanted - 1 else []
    return [*notes, *ends_early(readings, stop_ms, interval)]


def _limits(conf: Node) -> tuple[tuple[DeviceLimit, ...], list[str]]:
    limits: list[DeviceLimit] = []
    notes: list[str] = []
    block = conf.child("Alarm")
    for slot, node in block.numbered() if block else ():
        pairs = node.exact()
        kind = whole(pairs.get("Type", ""), node.line, "Type")
        if kind == 0:
            continue
        if kind not in _TYPES:
            notes.append(f"alarm slot {slot} has type {kind}, which is not known here: it is not judged")
            continue
        high, cumulative = _TYPES[kind]
        if is_nothing(pairs.get("T AL", "")):
            notes.append(f"alarm slot {slot} states no limit: it is not judged")
            continue
        limit_c = number(pairs["T AL"], node.line, "T AL")
        after_s = whole(pairs.get("t AL", ""), node.line, "t AL") * 60
        limits.append(DeviceLimit(slot, high, limit_c, after_s, cumulative))
    return tuple(limits), notes


def _alarms(res: Node) -> tuple[DeviceAlarm, ...]:
    found: list[DeviceAlarm] = []
    block = res.child("Alarm")
    for slot, node in block.numbered() if block else ():
        for event in node.below():
            stamp = dict(event.pairs).get("TS A")
            at = None if is_nothing(stamp) else timestamp(stamp, event.line)
            if at is not None:
                found.append(DeviceAlarm(slot, at))
    return tuple(sorted(found, key=lambda a: (a.local_ms, a.slot)))


def _stated(res: Node) -> tuple[tuple[str, Decimal], ...]:
    found: list[tuple[str, Decimal]] = []
    for name, key in _STATED:
        text = res.get(key)
        value = None if text is None else plausible(temperature(text, res.line, key))
        if value is not None:
            found.append((name, value))
    return tuple(found)


def _run_notes(res: Node | None) -> list[str]:
    if res is None:
        return ["the logger was not started: the file has no results"]
    run = res.get("Run Number")
    if run is not None and re.fullmatch(r"[0-9]{1,6}", run) and int(run) > 1:
        return [f"run {run} of a logger that was started before; the file holds this run only"]
    return []
