"""Which format a file is, by its content, never by its name."""

from __future__ import annotations

import re
from dataclasses import replace

from edge.decoders.files import csv_plain, fridge_tag, q_tag
from edge.decoders.files.dates import iso_dates
from edge.decoders.files.model import LoggerFile, LoggerFileError, decode_text, utf_16
from edge.decoders.files.signature import Signature, check_signature
from edge.decoders.files.tree import NO_SIGNATURE

_HEAD = 40  # lines in which the device is named; in every file seen it is the first
_DEVICE = re.compile(r"Device[ \t]*:(.*)", re.IGNORECASE)
_FRIDGE_TAG = re.compile(r"fridge\W{0,3}tag", re.IGNORECASE)
_Q_TAG = re.compile(r"q\W{0,3}tag", re.IGNORECASE)


def decode_file(data: bytes) -> LoggerFile:
    """The export in ``data``; raises LoggerFileError, and nothing else, for whatever bytes."""
    text = decode_text(data)
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    device = next((m[1] for line in text.split("\n")[:_HEAD] if (m := _DEVICE.match(line))), None)
    if device is not None:
        if _FRIDGE_TAG.search(device):
            return _signed(fridge_tag.decode(iso_dates(text)), data)
        if _Q_TAG.search(device):
            return _signed(q_tag.decode(iso_dates(text)), data)
        raise LoggerFileError(
            f"the device {device.strip()[:60]!r} is not known", advice="Fridge-tag 2, 2 L, 2 E and Q-tag CLm are"
        )
    if csv_plain.looks_like(text):
        return csv_plain.decode(text)
    raise LoggerFileError(
        f"the format is not known; it begins with {first[:40]!r}",
        advice="known are Fridge-tag 2, 2 L and 2 E, Q-tag CLm, and CSV with the heading time,temperature_c",
    )


def _signed(file: LoggerFile, data: bytes) -> LoggerFile:
    """The file with what its signature says; one that does not fit is the first note: nothing else weighs more."""
    signature = check_signature(data, utf_16(data))
    note = _SIGNATURE_NOTES.get(signature)
    if signature is Signature.NONE and NO_SIGNATURE not in file.notes:
        note = NO_SIGNATURE  # there is something like one, but none that the logger wrote
    return replace(file, signature=signature, notes=file.notes if note is None else (note, *file.notes))


_SIGNATURE_NOTES = {
    Signature.BROKEN: "THE SIGNATURE DOES NOT FIT: the file was changed after the logger wrote it, or spoiled on its way;"
    " copy it from the logger again before you rely on it",
    Signature.NOT_CHECKABLE: "the signature cannot be checked: the file holds no key",
}
