"""Is everything there, once? The store is asked stream by stream after a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from benchmarks.bench_line import Line
from benchmarks.bench_messages import read_messages
from ingest.store import Store, open_store
from smile_iot.parts import store_config
from smile_iot.settings import load_settings
from telemetry.contract import decode_upload
from telemetry.readings import Reading

Said = dict[str, list[tuple[int, str]]]


@dataclass(frozen=True, slots=True)
class Count:
    """What the store holds beside what was sent. ``wrong``: rows whose time or value is not what was sent."""

    expected: int
    lost: int
    doubled: int
    wrong: int

    @property
    def exact(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)


def sent(files: Iterable[Path]) -> Said:
    """{stream: [(time, value as text), ...]} of files of messages."""
    found: Said = {}
    for payload, _ in chain.from_iterable(map(read_messages, files)):
        for numbered in decode_upload(payload).facts:
            fact = numbered.fact
            assert isinstance(fact, Reading)
            assert fact.sampled_at_ms is not None
            found.setdefault(fact.stream_id, []).append((fact.sampled_at_ms, f"{fact.value:.3f}"))
    return found


def counted(line: Line, files: Iterable[Path]) -> Count:
    """Every stream's count after all of ``files`` were sent; of some streams every time and value."""
    said = sent(files)
    config = store_config(load_settings(line.settings_file, {}))
    store = open_store(config, read_only=True)
    lost = doubled = wrong = 0
    try:
        for number, stream in enumerate(sorted(said)):
            got = store.count(stream)
            lost += max(0, len(said[stream]) - got)
            doubled += max(0, got - len(said[stream]))
            if number % 37 == 0:
                wrong += _wrong(store, stream, said[stream])
    finally:
        store.close()
    return Count(sum(map(len, said.values())), lost, doubled, wrong)


def _wrong(store: Store, stream: str, said: list[tuple[int, str]]) -> int:
    rows: list[tuple[int, str]] = []
    page = store.read(stream, 0, 1 << 43)
    while True:
        rows += [(row.t_ms, f"{row.value:.3f}") for row in page.rows]
        if page.next is None:
            return len(set(rows) ^ set(said))
        page = store.read(stream, 0, 1 << 43, after=page.next)
