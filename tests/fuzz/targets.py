"""What meets the outside, as functions of bytes: each refuses in its own words or goes all the way, and loses nothing.

``run(data)`` returns whether the input was accepted; anything it raises is a finding. A device's bytes are followed to the
wire: decoded, made a fact, encoded both ways and read back, for a fact that the uplink cannot encode would stop an edge.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from edge import weighing
from edge.collect import reading, readings_of, refusal
from edge.collect import weighing as weighing_fact
from edge.decoders import bthome, modbus_probe, mt_sics, ruuvi, scale_ascii
from edge.decoders.files.detect import decode_file
from edge.decoders.files.model import LoggerFileError
from edge.decoders.frames import Advert, Basis, FrameError, WeightFrame
from edge.sources.lines import LineBuffer
from ingest import quick_json
from ingest.check import Arrived, Standing, check
from telemetry.columns import ReadingsUpload
from telemetry.contract import (
    MAX_FACTS,
    Encoding,
    Upload,
    claim,
    decode_readings,
    decode_receipt,
    decode_request,
    decode_upload,
    encode_readings,
    encode_receipt,
    encode_request,
    encode_upload,
    verify,
)
from telemetry.errors import ContractError
from telemetry.readings import Fact, Numbered, Origin, Quality, Reading, Stamp, Sync
from telemetry.topics import parse_up

ROOT = Path(__file__).parents[2]
STAMP = Stamp("b0", 1_000_000_000, 1_795_161_600_000, Sync.SYNCED, 64)
KEY = bytes(range(32))
T0_MS = 1_795_161_600_000


@dataclass(frozen=True, slots=True)
class Target:
    """``seeds`` are valid inputs to begin from."""

    name: str
    run: Callable[[bytes], bool]
    seeds: tuple[bytes, ...]


def goes_round(facts: Iterable[Fact], kind: str) -> None:
    """What the edge has made goes to the wire and comes back, in both encodings."""
    numbered = tuple(Numbered(n, fact) for n, fact in enumerate(facts, 1))
    for start in range(0, len(numbered), MAX_FACTS):
        upload = Upload(kind, "E1", "e1", T0_MS, numbered[start : start + MAX_FACTS])
        for encoding in Encoding:
            assert decode_upload(encode_upload(upload, encoding)) == upload


# --- messages ------------------------------------------------------------------------------------------------------


def said(decode: Callable[[bytes], ReadingsUpload], data: bytes) -> ReadingsUpload | tuple[str, str]:
    """The upload, or the reason of its refusal."""
    try:
        return decode(data)
    except ContractError as error:
        return error.reason, error.detail


def uploads(data: bytes) -> bool:
    """Both encodings, all kinds; the receiver's quick way says the same as the contract's own."""
    claimed = claim(data)
    assert said(quick_json.decode_readings, data) == said(decode_readings, data)
    try:
        verify(data, [KEY])
    except ContractError:
        pass
    try:
        upload = decode_upload(data)
    except ContractError as error:
        assert re.fullmatch(r"[a-z_]{3,20}", error.reason)
        assert len(str(error)) < 400
        return False
    assert claimed is not None
    assert (claimed.edge, claimed.epoch, claimed.ranges) == (upload.edge, upload.epoch, upload.ranges)
    assert decode_upload(encode_upload(upload)) == upload
    if upload.kind == "readings":
        columns = decode_readings(data)
        assert decode_readings(encode_readings(columns)) == columns
        try:
            written = encode_readings(replace(columns, mac=None), Encoding.COMPACT)
        except ContractError as error:
            assert "half a character" in error.detail  # JSON can hold it by its escape, UTF-8 cannot
            return True
        assert decode_readings(written) == replace(columns, mac=None)
    return True


def receipts(data: bytes) -> bool:
    try:
        receipt = decode_receipt(data)
    except ContractError:
        return False
    assert decode_receipt(encode_receipt(receipt)) == receipt
    return True


def requests(data: bytes) -> bool:
    try:
        request = decode_request(data)
    except ContractError:
        return False
    assert decode_request(encode_request(request)) == request
    return True


def topics(data: bytes) -> bool:
    topic = data.decode("utf-8", "replace")
    try:
        address, kind = parse_up(topic)
    except ContractError:
        return False
    assert address.up(kind) == topic
    return True


def arrivals(data: bytes) -> bool:
    """A topic, a line feed, a payload: all that ingest decides over a message; it never raises."""
    topic, _, payload = data.partition(b"\n")
    arrived = Arrived(topic.decode("utf-8", "replace"), payload, T0_MS + 60_000)
    checked = check(arrived, lambda serial: "SITE1" if len(serial) % 5 else None, lambda *_: Standing())
    assert checked.accepted or checked.faults or (checked.upload is not None and not checked.upload.facts)
    return bool(checked.accepted)


# --- devices -------------------------------------------------------------------------------------------------------


def adverts(data: bytes) -> bool:
    """The same bytes as BTHome service data and as RuuviTag manufacturer data, with a signal strength."""
    rssi = data[-1] - 128 if data else None
    accepted = False
    for decode, advert in (
        (bthome.decode, Advert("A4:C1:38:00:00:01", rssi, service_data={bthome.SERVICE_UUID: data})),
        (ruuvi.decode, Advert("A4:C1:38:00:00:01", rssi, manufacturer_data={ruuvi.COMPANY_ID: data})),
    ):
        try:
            decoded = decode(advert)
        except FrameError:
            continue
        accepted = True
        goes_round(readings_of("LOG-1", decoded.measurements, STAMP, advert.rssi_dbm), "readings")
    return accepted


def memories(data: bytes) -> bool:
    """Notifications of a RuuviTag's log, eleven bytes each."""
    facts = []
    for at in range(0, len(data), 11):
        try:
            record = ruuvi.decode_log(data[at : at + 11])
        except FrameError:
            continue
        if isinstance(record, ruuvi.Record):
            facts.append(reading("LOG-1", record.measurement, STAMP, record.t_ms))
    goes_round(facts, "readings")
    return bool(facts)


def registers(data: bytes) -> bool:
    """The registers of a Modbus answer (framing and checksum are pymodbus's)."""
    words = struct.unpack(f">{len(data) // 2}H", data[: len(data) // 2 * 2])
    try:
        measurements = modbus_probe.decode(words)
    except FrameError:
        return False
    goes_round(readings_of("PROBE-1", measurements, STAMP), "readings")
    return True


def weighed(frames: Sequence[WeightFrame], rules: weighing.ScaleRules) -> None:
    """Frames to weighings and refusals, and those to the wire."""
    state, weighings, events = weighing.load("armed:"), list[Fact](), list[Fact]()
    for mono_ms, frame in enumerate(frames):
        state, outcomes = weighing.step(state, frame, rules, mono_ms * 1000)
        state = replace(weighing.load(weighing.dump(state)), said=state.said)
        for outcome in outcomes:
            if isinstance(outcome, weighing.Captured):
                weighings.append(weighing_fact("SC-1", outcome, STAMP, rules.e_kg))
            elif isinstance(outcome, weighing.Refused):
                events.append(refusal("SC-1", outcome, STAMP))
    goes_round(weighings, "weighings")
    goes_round(events, "events")


RULES = (
    weighing.ScaleRules(basis=Basis.GROSS),
    weighing.ScaleRules(basis=Basis.NET, e_kg=Decimal("0.05"), preset_tare_kg=Decimal("0.715")),
)


def scale_lines(data: bytes) -> bool:
    """A serial port's bytes, in two pieces, as lines of an ST/US scale."""
    buffer, frames = LineBuffer(), []
    for line in (*buffer.feed(data[: len(data) // 2]), *buffer.feed(data[len(data) // 2 :])):
        try:
            frames.append(scale_ascii.decode(line))
        except FrameError:
            continue
    for rules in RULES:
        weighed(frames, rules)
    return bool(frames)


def sics_lines(data: bytes) -> bool:
    """Answers of an MT-SICS scale; each weight with the tare that came last."""
    frames, tare = [], None
    for line in LineBuffer().feed(data):
        try:
            answer = mt_sics.decode(line)
            if answer.id == "TA":
                tare = answer
            else:
                frames.append(mt_sics.weight_frame(answer, line, tare))
        except FrameError:
            continue
    for rules in RULES:
        weighed(frames, rules)
    return bool(frames)


def logger_files(data: bytes) -> bool:
    """A logger's export, to the readings that ``smile-iot import`` makes of it."""
    try:
        found = decode_file(data)
    except LoggerFileError as error:
        assert len(str(error)) < 1000
        return False
    facts = []
    for r in found.readings:
        quality = Quality.GOOD if r.value_c is not None else Quality.SENSOR_FAULT
        facts.append(
            Reading("LOG-1/temperature_c", r.value_c, r.instant_ms, STAMP, origin=Origin.FILE, quality=quality)
        )
    goes_round(facts, "readings")
    return True


# --- seeds -----------------------------------------------------------------------------------------------------------


def hexes(*texts: str) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(text) for text in texts)


def messages() -> tuple[bytes, ...]:
    manual = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
    examples = [text.encode() for text in re.findall(r"```json\n(.*?)```", manual, re.DOTALL)]
    vectors = [bytes.fromhex(text) for text in re.findall(r"```hex\n(.*?)```", manual, re.DOTALL)]
    golden = (ROOT / "tests" / "telemetry" / "golden" / "json_v1.ndjson").read_bytes().splitlines()
    # compact, not deflated: so that a changed byte meets the columns and not only deflate
    bare = [compact_bare(vector) for vector in vectors]
    return tuple(examples + vectors + golden + bare)


def compact_bare(payload: bytes) -> bytes:
    from telemetry import compact

    flags, body, _ = compact._opened(payload)
    return bytes((1, flags & ~(compact.DEFLATED | compact.SIGNED))) + body


MESSAGES = messages()
UPLOADS = tuple(m for m in MESSAGES if m[:1] == b"\x01" or "kind" in json.loads(m))
RECEIPTS = tuple(m for m in MESSAGES if m[:1] == b"{" and "have" in json.loads(m))
REQUESTS = tuple(m for m in MESSAGES if m[:1] == b"{" and "only" in json.loads(m))

FRIDGE_TAG = (
    b"""Device: Q-tag Fridge-tag 2
 Vers: 1.0
Fw Vers: 1.0
Sensor: 1
Conf:
 Serial: 130400191542
 PCB: X
 Zone: 0.00
 Temp unit: C
 Alarm:
  0:
   T AL: -0.5, t AL: 60
  1:
   T AL: +8.0, t AL: 600
 Int Sensor:
  Timeout: 0
  Offset: 0.0
Hist:
 TS Actv: 2026-11-01 08:00
 TS Report Creation: 2026-11-02 08:00
 1:
  Date: 2026-11-01
  Min T: +2.0, TS Min T: 13:30
  Max T: +9.1, TS Max T: 14:33
  Avrg T: +4.6
  Alarm:
   0:
    t Acc: 0
   1:
    t Acc: 75, TS A: 14:40, C A: 0
  Int Sensor timeout:
   t AccST: 0
Cert:
 Vers: 1
Sig: """
    + b"ab" * 64
    + b"\n"
)
CSV = b"time,temperature_c\n2026-11-01T08:00:00+07:00,4.25\n2026-11-01T08:10:00+07:00,--.-\n2026-11-01 08:20:00,5,1\n"


def real_files() -> tuple[bytes, ...]:
    folder = ROOT.parent / "shared" / "data" / "fridge-tag"
    return tuple(path.read_bytes()[:6000] for path in sorted(folder.glob("*.txt"))) if folder.is_dir() else ()


TARGETS = (
    Target("uploads", uploads, UPLOADS),
    Target("receipts", receipts, RECEIPTS),
    Target("requests", requests, REQUESTS),
    Target("topics", topics, (b"smile-iot/v1/s1/SITE1/E1/up/readings", b"smile-iot/v1/s1/SITE1/E1/up/hello")),
    Target("arrivals", arrivals, tuple(b"smile-iot/v1/s1/SITE1/E1/up/readings\n" + m for m in UPLOADS)),
    Target(
        "adverts",
        adverts,
        hexes(
            "4002CA0903BF13", "40065E1F", "400009016102CA090C020C", "44451101", "4002F8F8", "4001612E32",
            "0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F", "058000FFFFFFFF800080008000FFFFFFFFFFFFFFFFFFFFFF",
        ),
    ),
    Target("memories", memories, hexes("3A30106543210000000901", "3A3110654321000000158B", "3A3A10FFFFFFFFFFFFFFFF")),
    Target("registers", registers, hexes("00FA01F4", "FF9C0000", "7FFFFFFF")),
    Target(
        "scale_lines",
        scale_lines,
        (
            b"US,+0000.100 kg\r\nST,+0001.234 kg\r\n", b"ST,GS,0\xc4,000013.5 kg\r\nST,NT,+00012.4kg\r\n",
            b"ST,+0000.000 kg\r\nUS,+00123.45  g\r\nST,OK,+001234.5  g\r\nOL,+9999999\r\n", b"QT,+0000012 PC\r\n",
        ),
    ),
    Target(
        "sics_lines",
        sics_lines,
        (
            b"S D      2.000 kg\r\nTA A 0.350 kg\r\nS S      2.750 kg\r\n", b"S S     100.00 g\r\nS +\r\nS I\r\n",
            b'I4 A "SC-2"\r\nZ A\r\nTA A 2.486 g\r\nS S    -100.00 g\r\nES\r\n',
        ),
    ),
    Target("logger_files", logger_files, (FRIDGE_TAG, CSV, *real_files())),
)  # fmt: skip

# --- changes -----------------------------------------------------------------------------------------------------------

# What has broken other parsers: ends of ranges, numbers that are none, marks that open or close something.
WORDS = (
    b"", b"0", b"-0", b"-0.0", b"1e400", b"1E-400", b"1e999999999", b"NaN", b"Infinity", b"-1", b"0.0001", b"4.2500000000000001",
    b"99999999999999999999", b"9" * 40, b"4611686018427387904", b"4611686018427387905", b"8796093022208", b"8796093022209",
    b"9223372036854775808", b"1_0", b"\xd9\xa1", b"true", b"null", b"[]", b"{}", b'""', b'"\\ud800"', b"\\u0000", b"\x00",
    b"[" * 50, b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b",", b":", b"--.-", b"+", b"kg", b"\x80" * 12, b"\xff" * 12, b"\x7f",
    b"\x01",
)  # fmt: skip
_NUMBER = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?")
Change = tuple[int, int, int]


def changed(data: bytes, changes: Iterable[Change]) -> bytes:
    """``data`` with each change (what, where, with what) done to it; any three numbers >= 0 are a change."""
    for what, where, with_what in changes:
        at = where % (len(data) + 1)
        word = WORDS[with_what % len(WORDS)]
        match what % 8:
            case 0 if at < len(data):
                data = data[:at] + bytes((data[at] ^ 1 << with_what % 8,)) + data[at + 1 :]
            case 1 if at < len(data):
                data = data[:at] + bytes((with_what % 256,)) + data[at + 1 :]
            case 2:
                data = data[:at] + word + data[at:]
            case 3:
                data = data[:at] + data[at + 1 + with_what % 16 :]
            case 4:
                data = data[:at]
            case 5:
                data = data[:at] + data[max(0, at - with_what % 64) : at] + data[at:]
            case 6:
                numbers = list(_NUMBER.finditer(data))
                if numbers:
                    match_ = numbers[where % len(numbers)]
                    data = data[: match_.start()] + word + data[match_.end() :]
            case _:
                other = where % 997 % (len(data) + 1)
                data = data[:at] + data[other : other + with_what % 32] + data[at:]
    return data
