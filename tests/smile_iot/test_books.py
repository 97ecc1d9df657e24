"""The books of the demo: what a stored row belongs to, and that a fault cannot hide."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ingest.store import Row
from smile_iot.demo.report import Made, balance
from telemetry.readings import Origin, Quality, Sync

INTERVAL_MS = 900_000


def row(t_ms: int, value: str, received_ms: int | None = None) -> Row:
    return Row(
        "s",
        "A/temperature_c",
        t_ms,
        Decimal(value),
        Quality.GOOD,
        Origin.LIVE,
        None,
        0,
        "e",
        "x",
        1,
        Sync.SYNCED,
        50,
        t_ms if received_ms is None else received_ms,
    )


MADE = [Made(i * INTERVAL_MS, Decimal(v)) for i, v in enumerate(("4.1", "4.2", "4.3"))]


@pytest.mark.parametrize(
    ("rows", "stored", "duplicated", "missing", "unexplained"),
    [
        ([row(5, "4.1"), row(INTERVAL_MS + 9, "4.2"), row(2 * INTERVAL_MS, "4.3")], 3, 0, 0, 0),
        ([row(5, "4.1"), row(2 * INTERVAL_MS, "4.3")], 2, 0, 1, 0),  # one lost
        ([row(5, "4.1"), row(6, "4.1"), row(INTERVAL_MS, "4.2"), row(2 * INTERVAL_MS, "4.3")], 3, 1, 0, 0),  # doubled
        ([row(5, "4.1"), row(INTERVAL_MS, "4.9"), row(2 * INTERVAL_MS, "4.3")], 2, 0, 1, 1),  # another value
        (
            [row(5, "4.1"), row(INTERVAL_MS - 9, "4.2"), row(2 * INTERVAL_MS, "4.3")],
            3,
            0,
            0,
            0,
        ),  # a tag's clock, early
        ([row(5, "4.1"), row(INTERVAL_MS // 3, "4.2"), row(2 * INTERVAL_MS, "4.3")], 2, 0, 1, 1),  # misdated
        ([], 0, 0, 3, 0),
    ],
)
def test_a_fault_cannot_hide(rows: list[Row], stored: int, duplicated: int, missing: int, unexplained: int) -> None:
    books = balance(MADE, rows, INTERVAL_MS)
    assert (books.stored, books.duplicated, books.missing, books.unexplained) == (
        stored,
        duplicated,
        missing,
        unexplained,
    )


def test_late_is_received_more_than_an_interval_after_it_was_sampled() -> None:
    rows = [row(5, "4.1", 5 + INTERVAL_MS + 1), row(INTERVAL_MS, "4.2"), row(2 * INTERVAL_MS, "4.3")]
    assert balance(MADE, rows, INTERVAL_MS).late == 1
