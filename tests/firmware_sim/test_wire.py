"""The fault hook of the serial faces: split, repeat, spoil, the same way in every run."""

from __future__ import annotations

import pytest

from firmware_sim.faults import Fault, FaultBook, FaultKind
from firmware_sim.wire import Wire

FRAME = b"ST,GS,0\xc4,000013.5 kg\r\n"


def _carried(kind: FaultKind, seed: int = 1, ratio: float = 1.0) -> list[list[bytes]]:
    wire = Wire("SC-0001", seed, FaultBook([Fault(kind, 0, 100, "SC-0001", ratio)]))
    return [wire.carry(FRAME, 50) for _ in range(40)]


def test_a_healthy_wire_carries_the_frame() -> None:
    assert Wire("SC-0001", 1, FaultBook()).carry(FRAME, 0) == [FRAME]
    other = Wire("SC-0001", 1, FaultBook([Fault(FaultKind.BIT_FLIP, 0, 100, "SC-0002")]))
    assert other.carry(FRAME, 50) == [FRAME]


@pytest.mark.parametrize("kind", [FaultKind.HANG, FaultKind.SILENCE, FaultKind.UNPLUG])
def test_a_dumb_wire_carries_nothing(kind: FaultKind) -> None:
    assert _carried(kind)[0] == []


def test_what_each_fault_does_to_a_frame() -> None:
    assert _carried(FaultKind.HALF_FRAME)[0] == [FRAME[:11]]
    assert all(len(b"".join(c)) == 28 and c[0].endswith(FRAME) for c in _carried(FaultKind.NOISE))
    assert _carried(FaultKind.DUPLICATE)[0] == [FRAME, FRAME]
    assert all(len(c) == 2 and b"".join(c) == FRAME for c in _carried(FaultKind.SPLIT))
    for (spoilt,) in _carried(FaultKind.BIT_FLIP):
        assert sum((a ^ b).bit_count() for a, b in zip(spoilt, FRAME, strict=True)) == 1


def test_the_same_seed_spoils_the_same_frames() -> None:
    assert _carried(FaultKind.BIT_FLIP) == _carried(FaultKind.BIT_FLIP)
    assert _carried(FaultKind.BIT_FLIP) != _carried(FaultKind.BIT_FLIP, seed=2)


def test_a_ratio_hits_its_share() -> None:
    hit = sum(c != [FRAME] for c in _carried(FaultKind.HALF_FRAME, ratio=0.3))
    assert 5 <= hit <= 20
