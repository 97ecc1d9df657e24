"""The page of the wire is enough to read a compact message: its vectors are true, and so is a decoder made from it."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from telemetry import compact
from telemetry.columns import ReadingsUpload
from telemetry.contract import Encoding, decode_readings, encode_readings, verify

HERE = Path(__file__).parent
MANUAL = (HERE.parents[1] / "docs" / "contract.md").read_text(encoding="utf-8")
SECTION = MANUAL[MANUAL.index("## Readings, compact") :]


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


strangers = loaded("decoder_from_the_manual")
uploads = loaded("test_compact").uploads


def vectors() -> list[bytes]:
    return [bytes.fromhex(text) for text in re.findall(r"```hex\n(.*?)```", SECTION, re.DOTALL)]


def spoken() -> list[Any]:
    return [json.loads(text) for text in re.findall(r"```json\n(.*?)```", SECTION, re.DOTALL)]


@pytest.mark.parametrize(("vector", "body"), list(zip(vectors()[:2], spoken(), strict=True)))
def test_a_vector_says_what_stands_beside_it(vector: bytes, body: dict[str, Any]) -> None:
    assert json.loads(encode_readings(decode_readings(vector))) == body
    assert strangers.read(vector) == body


def test_the_long_vector_is_signed_and_adds_up() -> None:
    vector = vectors()[2]
    verify(vector, [bytes(range(32))])
    upload = decode_readings(vector)
    milli = [m for s in upload.streams for m in s.milli if m is not None]
    said = re.search(r"begin with ([-0-9., ]+); their sum is ([0-9.]+)\.\n", SECTION)
    assert said is not None
    assert [float(v) for v in said[1].split(", ")] == [m / 1000 for m in milli[:6]]
    assert float(said[2]) == sum(milli) / 1000
    assert upload.ranges.to_lists() == [[1000, 1119]]
    assert strangers.read(vector) == json.loads(encode_readings(upload))


def test_the_vectors_use_what_the_encoding_has() -> None:
    flags = 0
    for vector in vectors():
        flags |= vector[1]
    assert flags == compact.DEFLATED | compact.SIGNED | compact.LAZY | compact.NANOSECONDS


def test_the_dictionary_of_the_manual_is_the_code_s() -> None:
    text = re.search(r"```text\n(.*?)```", SECTION, re.DOTALL)
    assert text is not None
    assert text[1].replace("\n", "").replace("|", "\n").encode() == compact.DICTIONARY


def test_the_second_decoder_is_no_copy_of_the_first() -> None:
    assert "telemetry" not in re.findall(
        r"^(?:from|import) (\w+)", (HERE / "decoder_from_the_manual.py").read_text(), re.M
    )


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(uploads())
def test_a_stranger_reads_the_same_as_we(upload: ReadingsUpload) -> None:
    payload = encode_readings(upload, Encoding.COMPACT)
    assert strangers.read(payload) == json.loads(encode_readings(upload))
