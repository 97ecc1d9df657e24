"""What the receiver decoded a moment ago is not decoded again by the filler; the memo is bounded."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.recent import Recent
from telemetry.contract import decode_readings
from telemetry.errors import ContractError


def payload(make: Any, *numbers: int) -> bytes:
    return make.message([make.reading(n) for n in numbers]).payload


def test_it_is_the_same_upload_once_and_decoded_after_that(make: Any) -> None:
    recent, body = Recent(), payload(make, 1, 2)
    upload = decode_readings(body)
    recent.keep(body, upload)
    recent.keep(bytes(bytearray(body)), decode_readings(body))
    assert recent.take(bytes(bytearray(body))) is upload
    again = recent.take(body)
    assert again == upload
    assert again is not upload


def test_full_it_keeps_the_oldest_to_which_a_filler_that_is_behind_comes_first(make: Any) -> None:
    recent = Recent(max_readings=5)
    bodies = [payload(make, n, n + 1) for n in range(1, 20, 2)]
    uploads = [decode_readings(body) for body in bodies]
    for body, upload in zip(bodies, uploads, strict=True):
        recent.keep(body, upload)
    kept = [body for body, upload in zip(bodies, uploads, strict=True) if recent.take(body) is upload]
    assert kept == bodies[:3]  # the one that reached the bound is the last


def test_what_cannot_be_read_is_refused_as_ever() -> None:
    with pytest.raises(ContractError):
        Recent().take(b"{")


def test_intake_keeps_what_it_journals_as_it_came(pipeline: Any, make: Any) -> None:
    recent = Recent()
    pipeline.intake._recent = recent
    good = make.message([make.reading(1)])
    mixed = make.message([make.reading(2), make.reading(3, stream="NEW/temperature_c")])
    pipeline.intake.take([good, mixed])
    assert [payload for payload, _, _ in recent._kept.values()] == [good.payload]


def test_messages_that_hold_little_and_weigh_much_fill_it_too(make: Any) -> None:
    """While a database is away nobody takes anything out: uploads of nothing, or of one reading and a megabyte of blanks."""
    for numbers, blanks in (((), 0), ((1,), 100_000)):
        recent = Recent(max_readings=1_000)
        for n in range(3_000):
            body = payload(make, *numbers).replace(b"}", b" " * (blanks + n) + b"}", 1)
            recent.keep(body, decode_readings(payload(make, *numbers)))
            if blanks and n == 20:
                break
        assert len(recent._kept) <= 1_000
        assert sum(map(len, recent._kept)) < 2_000_000
