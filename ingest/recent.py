"""Uploads of readings that were decoded a moment ago, so that the filler need not decode what the receiver just did.

A memo of a pure function: the same bytes are the same upload, whoever asks. Shared by the two threads; bounded by
readings, the oldest go first. What is not here any more is decoded again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from telemetry.columns import ReadingsUpload
from telemetry.contract import decode_readings

# Some 4 MB: half a second of a full stream.
MAX_READINGS = 20_000


class Recent:
    """``keep`` what was decoded, ``take`` it once."""

    def __init__(self, max_readings: int = MAX_READINGS) -> None:
        self._max = max_readings
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, tuple[ReadingsUpload, int]] = OrderedDict()
        self._readings = 0

    def keep(self, payload: bytes, upload: ReadingsUpload) -> None:
        count = sum(len(s.seq) for s in upload.streams)
        with self._lock:
            if payload in self._kept:
                return
            self._kept[payload] = (upload, count)
            self._readings += count
            while self._readings > self._max:
                _, (_, gone) = self._kept.popitem(last=False)
                self._readings -= gone

    def take(self, payload: bytes) -> ReadingsUpload:
        """The upload in ``payload``, remembered or decoded; raises ContractError. It is forgotten then."""
        with self._lock:
            found = self._kept.pop(payload, None)
            if found is not None:
                self._readings -= found[1]
        return decode_readings(payload) if found is None else found[0]
