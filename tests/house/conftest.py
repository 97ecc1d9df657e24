"""Reading the prose: code blocks of Markdown and the vectors of ``docs/devices.md``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from edge.decoders import ADVERT_DECODERS, LINE_DECODERS, modbus_probe, mt_sics
from edge.decoders.frames import Advert, FrameError, Measurement

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^(`{3,})(\w*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
_SECTION = re.compile(r"^### `(\w+)`$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Vector:
    """One line of a ``vectors`` block: ``kind key: said -> meant``."""

    driver: str
    kind: str
    key: str
    said: str
    meant: str

    def __str__(self) -> str:
        return f"{self.driver}: {self.said} -> {self.meant}"


def blocks_of(text: str) -> list[tuple[str, str]]:
    """(language, code) of each fenced block."""
    return [(language, code) for _, language, code in _FENCE.findall(text)]


def vectors_of(text: str) -> list[Vector]:
    """All vectors of a page, by the section they stand in."""
    found = []
    parts = _SECTION.split(text)[1:]
    for driver, section in zip(parts[::2], parts[1::2], strict=True):
        for language, code in blocks_of(section):
            for line in code.splitlines() if language == "vectors" else []:
                head, said, meant = re.fullmatch(r"(.*?): (.*) -> (.*)", line).groups()  # type: ignore[union-attr]
                kind, _, key = head.partition(" ")
                found.append(Vector(driver, kind, key, said, meant))
    return found


def _number(value: Decimal) -> str:
    return f"{value.normalize():f}"


def _values(measurements: tuple[Measurement, ...]) -> str:
    said = [
        f"{m.quantity} {'none ' + m.quality if m.value is None else _number(m.value)}" + (f" {m.channel}").rstrip()
        for m in measurements
    ]
    return ", ".join(said)


def _advert(vector: Vector) -> str:
    data, number = bytes.fromhex(vector.said.replace(" ", "")), int(vector.key, 16)
    uuid = f"0000{number:04x}-0000-1000-8000-00805f9b34fb"
    advert = (
        Advert("A4:C1:38:00:00:01", -60, {uuid: data})
        if vector.kind == "service"
        else Advert("A4:C1:38:00:00:01", -60, {}, {number: data})
    )
    return _values(ADVERT_DECODERS[vector.driver].decode(advert).measurements)


def _bytes(text: str) -> bytes:
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def _line(vector: Vector) -> str:
    frame = LINE_DECODERS[vector.driver](_bytes(vector.said))
    mass = "" if frame.mass_kg is None else f" {_number(frame.mass_kg)} kg"
    return f"{frame.stability} {frame.basis}{mass}"


def _answer(vector: Vector) -> str:
    answer = mt_sics.decode(_bytes(vector.said))
    mass = "" if answer.mass_kg is None else f" {_number(answer.mass_kg)} kg"
    return f"{answer.id} {answer.status}{mass} {answer.text}".rstrip()


def _registers(vector: Vector) -> str:
    return _values(modbus_probe.decode([int(word, 16) for word in vector.said.split()]))


_SAY: Mapping[str, Callable[[Vector], str]] = {
    "service": _advert,
    "manufacturer": _advert,
    "line": _line,
    "answer": _answer,
    "registers": _registers,
}


def decode_vector(vector: Vector) -> str:
    """What the driver makes of a vector, in the page's own words."""
    try:
        return _SAY[vector.kind](vector)
    except FrameError as error:
        return f"refused {error.reason}"


def plain(meant: str) -> str:
    """The page's numbers in one form: -20.0 and -20 are the same."""
    return re.sub(r"(?<= )-?\d+(\.\d+)?(?=$|,| )", lambda m: _number(Decimal(m[0])), meant)


class Prose:
    """The functions above, for the tests of this folder."""

    root = ROOT
    blocks = staticmethod(blocks_of)
    vectors = staticmethod(vectors_of)
    decode = staticmethod(decode_vector)
    plain = staticmethod(plain)


@pytest.fixture(scope="session")
def prose() -> Any:
    return Prose
