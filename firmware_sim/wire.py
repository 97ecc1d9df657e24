"""The wire can split, repeat and spoil: the fault hook of every serial face. Pure.

``Wire.carry(frame, at_s)`` gives the chunks that reach the reader; no chunk at all means silence.
"""

from __future__ import annotations

import random

from firmware_sim.faults import Fault, FaultBook, FaultKind

NOISE_BYTES = 6


def half_frame(frame: bytes, _chance: random.Random) -> list[bytes]:
    """Only the first half arrives."""
    return [frame[: len(frame) // 2]]


def noise(frame: bytes, chance: random.Random) -> list[bytes]:
    """Random bytes glued in front."""
    return [chance.randbytes(NOISE_BYTES) + frame]


def bit_flip(frame: bytes, chance: random.Random) -> list[bytes]:
    """One bit of one byte is wrong."""
    at = chance.randrange(len(frame))
    spoilt = frame[at] ^ (1 << chance.randrange(8))
    return [frame[:at] + bytes([spoilt]) + frame[at + 1 :]]


def duplicate(frame: bytes, _chance: random.Random) -> list[bytes]:
    """The frame comes twice."""
    return [frame, frame]


def split(frame: bytes, chance: random.Random) -> list[bytes]:
    """A pause in the middle of the frame."""
    at = chance.randrange(1, len(frame)) if len(frame) > 1 else 0
    return [frame[:at], frame[at:]]


MANIPULATORS = {
    FaultKind.HALF_FRAME: half_frame,
    FaultKind.NOISE: noise,
    FaultKind.BIT_FLIP: bit_flip,
    FaultKind.DUPLICATE: duplicate,
    FaultKind.SPLIT: split,
}


class Wire:
    """The cable of one device; the n-th frame is spoilt the same way in every run with the same seed and plan."""

    def __init__(self, serial: str, seed: int, book: FaultBook) -> None:
        self._serial = serial
        self._seed = seed
        self._book = book
        self._frames = 0

    def silent(self, at_s: float) -> bool:
        """Does the device say nothing, though the cable may be in?"""
        return any(self._book.is_on(kind, self._serial, at_s) for kind in (FaultKind.HANG, FaultKind.SILENCE))

    def unplugged(self, at_s: float) -> bool:
        """Is the cable out?"""
        return self._book.is_on(FaultKind.UNPLUG, self._serial, at_s)

    def carry(self, frame: bytes, at_s: float) -> list[bytes]:
        """What arrives of a frame."""
        self._frames += 1
        if self.silent(at_s) or self.unplugged(at_s) or not frame:
            return []
        for kind, manipulate in MANIPULATORS.items():
            fault = self._book.active(kind, self._serial, at_s)
            if fault is not None and self._hits(kind, fault):
                return manipulate(frame, self._chance(kind))
        return [frame]

    def _hits(self, kind: FaultKind, fault: Fault) -> bool:
        return fault.ratio >= 1 or self._chance(kind, "hit").random() < fault.ratio

    def _chance(self, kind: FaultKind, what: str = "how") -> random.Random:
        return random.Random(f"{self._seed}/{self._serial}/{kind}/{self._frames}/{what}")
