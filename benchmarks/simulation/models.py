"""Disks in memory: a journal and a quarantine with the semantics of the real ones, and places to die between steps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.simulation.world import CrashError
from edge.outbox import MemoryOutbox
from gateway.journal import Entry, model
from ingest.quarantine import Asked, Fault, Reason, Waiting
from telemetry.errors import NeighbourDownError


@dataclass
class Peril:
    """What may happen at a durable step: ``fuse`` counts steps down to a crash, before or after the step's effect;
    ``down`` names neighbours that refuse."""

    fuse: int = -1
    after: bool = False
    down: set[str] = field(default_factory=set)

    def step(self, name: str, effect: Callable[[], Any]) -> Any:
        if name in self.down:
            raise NeighbourDownError(name, "simulated")
        if self.fuse == 0 and not self.after:
            self.fuse = -1
            raise CrashError(f"before {name}")
        done = effect()
        if self.fuse == 0:
            self.fuse = -1
            raise CrashError(f"after {name}")
        if self.fuse > 0:
            self.fuse -= 1
        return done


class Perilous:
    """Any object whose named methods are durable steps."""

    def __init__(self, inner: Any, peril: Peril, name: str, methods: tuple[str, ...]) -> None:
        self._inner, self._peril, self._name, self._methods = inner, peril, name, methods

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._inner, method)
        if method not in self._methods:
            return found
        return lambda *args, **named: self._peril.step(self._name, lambda: found(*args, **named))


class MemoryJournal:
    """The journal's contract in a list."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, Entry]] = []
        self._last = 0

    def append(self, entries: Sequence[Entry]) -> int:
        if not all(isinstance(entry.payload, bytes) for entry in entries):
            raise NeighbourDownError("journal", "a payload is not bytes")
        for entry in entries:
            self._last += 1
            self._entries.append((self._last, entry))
        return self._last

    def after(self, offset: int, limit: int) -> list[tuple[int, Entry]]:
        found: list[tuple[int, Entry]] = []
        size = 0
        for n, entry in self._entries:
            if n > offset and len(found) < limit and size < model.AFTER_BYTES:
                found.append((n, entry))
                size += len(entry.payload)
        return found

    def last_offset(self) -> int:
        return self._last

    def skip_to(self, offset: int) -> None:
        self._last = max(self._last, offset)

    def forget(self, before_offset: int) -> int:
        kept = [(n, e) for n, e in self._entries if n >= before_offset]
        count = len(self._entries) - len(kept)
        self._entries = kept
        return count

    def close(self) -> None:
        """Nothing to close."""

    def copy(self) -> MemoryJournal:
        twin = MemoryJournal()
        twin._entries, twin._last = list(self._entries), self._last
        return twin


class MemoryQuarantine:
    """The quarantine's contract in a dict: the same bytes for the same reason wait once."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str, bytes], tuple[Fault, bool]] = {}

    def put(self, faults: Sequence[Fault]) -> None:
        for fault in faults:
            self.items.setdefault((str(fault.reason), fault.serial, fault.payload), (fault, True))

    def _waiting(self) -> list[tuple[str, Fault]]:
        return [
            (str(n), fault)
            for n, (fault, waits) in enumerate(self.items.values())
            if waits and fault.reason == Reason.UNKNOWN_DEVICE
        ]

    def waiting_serials(self) -> list[str]:
        return list(dict.fromkeys(f.serial for _, f in self._waiting()))

    def waiting(self, serial: str) -> list[Waiting]:
        return [
            Waiting(n, f.site, f.edge, f.epoch, f.serial, f.received_at_ms, f.payload)
            for n, f in self._waiting()
            if f.serial == serial
        ]

    def replayed(self, item_ids: Sequence[str]) -> None:
        keys = list(self.items)
        for item in item_ids:
            fault, _ = self.items[keys[int(item)]]
            self.items[keys[int(item)]] = (fault, False)

    def asked(self) -> list[Asked]:
        return []  # no people here

    def refused_again(self, asked: Asked, reason: str, detail: str) -> None:
        raise AssertionError(asked, reason, detail)


def copy_of(outbox: MemoryOutbox) -> MemoryOutbox:
    """A backup: the facts are immutable, so one level of copying does."""
    twin = copy.copy(outbox)
    for name, value in vars(outbox).items():
        if isinstance(value, dict | list | set):
            setattr(twin, name, copy.copy(value))
    return twin
