"""Which format a file is, by its content, never by its name."""

from __future__ import annotations

from edge.decoders.files import csv_plain, fridge_tag, q_tag
from edge.decoders.files.model import LoggerFile, LoggerFileError, decode_text


def decode_file(data: bytes) -> LoggerFile:
    """The export in ``data``; raises LoggerFileError, and nothing else, for whatever bytes."""
    text = decode_text(data)
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    key, _, value = first.partition(":")
    if key.strip().casefold() == "device":
        name = value.casefold()
        if "fridge-tag" in name or "fridge tag" in name:
            return fridge_tag.decode(text)
        if "q-tag" in name:
            return q_tag.decode(text)
        raise LoggerFileError(
            f"the device {value.strip()[:60]!r} is not known", advice="Fridge-tag 2, 2 L and Q-tag CLm are"
        )
    if csv_plain.looks_like(text):
        return csv_plain.decode(text)
    raise LoggerFileError(
        f"the format is not known; it begins with {first[:40]!r}",
        advice="known are Fridge-tag 2, Fridge-tag 2 L, Q-tag CLm, and CSV with the heading time,temperature_c",
    )
