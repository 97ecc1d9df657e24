"""Which equipment a device stood in when: a reading belongs where its device stood at the reading's time. Pure.

The dates are those of the audit chain (``Records.assigned_equipment``), so that readings which come late go to the same
equipment as those which came at once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise

from telemetry.quantities import parse_stream_id

EVER_MS = -(1 << 62)
FOREVER_MS = 1 << 62

Spans = tuple[tuple[int, int, str], ...]
"""(from, to, equipment or "" for none): [from, to), without holes from ``EVER_MS`` to ``FOREVER_MS``."""


class Homes:
    """``since``: serial -> (since when, equipment or ""), oldest first.

    A device's first equipment holds since ever: nobody said that it stood elsewhere before it was registered. While it
    was taken out of one and not put into the next, it stood in none.
    """

    def __init__(self, since: Mapping[str, Sequence[tuple[int, str]]]) -> None:
        self._rows: dict[str, tuple[tuple[int, str], ...]] = {}
        for serial, rows in since.items():
            first = next((i for i, (_, equipment) in enumerate(rows) if equipment), None)
            if first is not None:
                self._rows[serial] = ((EVER_MS, rows[first][1]), *rows[first + 1 :])

    def at(self, stream_id: str, t_ms: int) -> str:
        """The equipment that a stream's device stood in, "" where it stood in none."""
        rows = self._rows.get(parse_stream_id(stream_id).serial)
        return "" if rows is None else rows[bisect_right(rows, t_ms, key=_since) - 1][1]

    def spans(self, stream_id: str) -> Spans:
        """All of its stays."""
        rows = self._rows.get(parse_stream_id(stream_id).serial, ((EVER_MS, ""),))
        return tuple((low, high, name) for (low, name), (high, _) in pairwise((*rows, (FOREVER_MS, ""))))


def _since(row: tuple[int, str]) -> int:
    return row[0]
