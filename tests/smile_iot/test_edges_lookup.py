"""What ingest is told of an edge, from real records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.records import Actor, Records, Role, Site, open_records
from gateway.records.edges import KEY_OVERLAP_MS
from ingest.check import Standing
from smile_iot import run_ingest
from smile_iot.run_ingest import EdgesLookup

T0 = 1_790_000_000_000
BOSS = Actor("Boss", Role.SUPER_ADMIN)


class Clock:
    now = T0

    def now_ms(self) -> int:
        return self.now


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    with open_records(tmp_path / "records.db") as records:
        records.upsert_site(Site("S1", "x", "kab", "Asia/Jakarta", "s0", "puskesmas"), BOSS, "", T0)
        yield records


def lookup(records: Records, *, required: bool = True) -> EdgesLookup:
    clock: Any = Clock()
    return EdgesLookup(records, clock, required=required, unsigned="import")


def enrol(records: Records, edge: str = "E1", machine: str = "pi", at_ms: int = T0) -> bytes:
    code = records.invite_edge("S1", edge, BOSS, "test", at_ms)
    key = records.enrol_edge(code.text, machine, at_ms, password_hash="x").edge.upload_key
    assert key is not None
    return key


def test_who_was_never_enrolled_is_not_heard_where_keys_are_required(records: Records) -> None:
    assert lookup(records)("S1", "E1") == Standing(required=True)
    assert lookup(records, required=False)("S1", "E1") == Standing()
    records.invite_edge("S1", "E1", BOSS, "test", T0)
    assert lookup(records, required=False)("S1", "E1") == Standing()


def test_imports_of_files_are_not_signed(records: Records) -> None:
    assert lookup(records)("S1", "import") == Standing()


def test_an_edge_is_known_at_once_when_it_is_enrolled(records: Records) -> None:
    edges = lookup(records)
    assert not edges("S1", "E1").keys
    key = enrol(records)
    assert edges("S1", "E1") == Standing((key,), required=True)


def test_a_revocation_is_felt_when_the_records_are_looked_at_again(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    edges = lookup(records)
    enrol(records)
    assert edges("S1", "E1").keys
    records.revoke_edge("S1", "E1", BOSS, "stolen", T0 + 1)
    monkeypatch.setattr(run_ingest, "EDGES_FRESH_S", 0.0)
    assert edges("S1", "E1") == Standing(revoked=True, required=True)


def test_who_was_enrolled_once_is_never_heard_unsigned_again(records: Records) -> None:
    enrol(records)
    records.revoke_edge("S1", "E1", BOSS, "stolen", T0 + 1)
    records.invite_edge("S1", "E1", BOSS, "found", T0 + 2)
    assert lookup(records, required=False)("S1", "E1") == Standing(required=True)


def test_the_old_key_ends_by_the_clock(records: Records) -> None:
    old, new = enrol(records), enrol(records, at_ms=T0 + 5)
    edges = lookup(records)
    assert edges("S1", "E1").keys == (new, old)
    Clock.now = T0 + 5 + KEY_OVERLAP_MS
    try:
        assert edges("S1", "E1").keys == (new,)
    finally:
        Clock.now = T0


def test_between_two_looks_the_records_are_not_asked(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand uploads a second must not become a thousand queries."""
    enrol(records)
    edges = lookup(records)
    asked: list[int] = []
    real = records.edges_version
    monkeypatch.setattr(records, "edges_version", lambda: asked.append(1) or real())
    for _ in range(100):
        edges("S1", "E1")
    assert len(asked) <= 2
