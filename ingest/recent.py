"""Uploads of readings that were decoded a moment ago, so that the filler need not decode what the receiver just did.

A memo of a pure function: the same bytes are the same upload, whoever asks. Shared by the two threads; bounded by
readings. Full, it keeps what it has and not what is new: the filler, when it is behind, comes to the oldest first. (The
other way round a filler that is just too far behind finds nothing at all, ever.) What is not here is decoded again.
"""

from __future__ import annotations

import threading

from ingest.quick_json import decode_readings
from telemetry.columns import ReadingsUpload

# Some 8 MB: a step of the filler, and what comes in meanwhile.
MAX_READINGS = 40_000
# A message weighs no less than one reading, and one for each so many bytes: while a database is away nothing is taken.
_BYTES = 200
# An upload is found by its end, where its MAC stands, and then compared whole: cheaper than to hash all of it.
_END = 48


class Recent:
    """``keep`` what was decoded and will be journaled, ``take`` it once."""

    def __init__(self, max_readings: int = MAX_READINGS) -> None:
        self._max = max_readings
        self._lock = threading.Lock()
        self._kept: dict[bytes, tuple[bytes, ReadingsUpload, int]] = {}
        self._readings = 0

    def keep(self, payload: bytes, upload: ReadingsUpload) -> None:
        if self._readings >= self._max:
            return
        count = max(1, len(upload.ranges), len(payload) // _BYTES)
        end = payload[-_END:]
        with self._lock:
            if end not in self._kept:
                self._kept[end] = (payload, upload, count)
                self._readings += count

    def take(self, payload: bytes) -> ReadingsUpload:
        """The upload in ``payload``, remembered or decoded; raises ContractError. It is forgotten then."""
        end = payload[-_END:]
        with self._lock:
            found = self._kept.get(end)
            if found is not None and found[0] == payload:
                del self._kept[end]
                self._readings -= found[2]
                return found[1]
        return decode_readings(payload)
