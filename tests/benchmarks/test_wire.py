"""Issue 3, few bytes: payload <= entropy + 0.6 byte a reading for hourly uploads of eight one-minute streams."""

from __future__ import annotations

import pytest

from benchmarks.wire.dataset import rows, uploads
from benchmarks.wire.entropy import estimate
from benchmarks.wire.payload import measure


@pytest.mark.parametrize("name", ["polled", "ble"])
def test_hourly_uploads_of_eight_streams_are_within_six_tenths_of_a_byte_of_their_entropy(name: str) -> None:
    table = rows(name, 8)
    assert measure(list(uploads(table, 8 * 60))).compact <= estimate(table).total + 0.6
