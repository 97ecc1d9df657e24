"""Bytes of payload a reading: JSON, JSON deflated, compact; all with room for the signature."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from telemetry.columns import ReadingsUpload
from telemetry.contract import Encoding, decode_readings, encode_readings


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes a reading, and of an average compact message."""

    json: float
    json_deflated: float
    compact: float
    message: float


def measure(uploads: Sequence[ReadingsUpload]) -> Sizes:
    """Each message is also read back: a size that loses something would be no size."""
    plain = deflated = compact = count = 0
    for upload in uploads:
        written, text = encode_readings(upload, Encoding.COMPACT), encode_readings(upload)
        if decode_readings(written) != upload or decode_readings(text) != upload:
            raise AssertionError("what was written is not what is read")
        plain += len(text)
        deflated += len(zlib.compress(text, 9)) - 6  # raw deflate: without the zlib frame
        compact += len(written)
        count += len(upload.ranges)
    return Sizes(plain / count, deflated / count, compact / count, compact / len(uploads))
