"""``smile-iot import FILE --equipment E``: send a logger's own export down the live line.

    file ─▶ decode ─▶ readings of origin "file" ─▶ outbox of its own ─▶ uplink ─▶ broker ─▶ ingest ─▶ journal
                                                        ◀───────────── receipt: what the journal holds ──┘

The file takes the very way that a Pi's readings take, as an edge of its own (``import.edge``) at the equipment's
site, with its own account at the broker. So a receipt proves what arrived; a command that was cut off, or met no
broker, goes on where it stopped when it is given again, and a file sent twice adds no reading twice (the store knows
a reading by stream and time).
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import hashlib
import random
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from edge.config import MqttSettings
from edge.decoders.files import LoggerFile, LoggerFileError, decode_file
from edge.outbox import Outbox, SqliteOutbox
from edge.supervisor import Backoff, Outage, supervise
from smile_iot.evaluate_zone import parse_zone, rfc3339, utc_ms
from smile_iot.parts import open_records
from smile_iot.service import add_config_argument, set_up_log, settings_of
from smile_iot.settings import Settings
from telemetry.clock import Clock, clock_from_environment
from telemetry.errors import ConfigError
from telemetry.quantities import SERIAL_PATTERN
from telemetry.readings import Origin, Quality, Ranges, Reading, Stamp, Sync
from telemetry.topics import EdgeAddress

if TYPE_CHECKING:
    from gateway.records import Registry

QUANTITY = "temperature_c"
CLOCK_AHEAD_MS = 5 * 60 * 1000  # facts/cold-chain.md 10
_POLL_S = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="export of a logger, as for smile-iot evaluate")
    parser.add_argument("--equipment", required=True, metavar="E", help="id of the equipment the logger lay in")
    parser.add_argument(
        "--zone", help="time zone of the logger's clock (default: the site's, where the file has none)"
    )
    parser.add_argument("--serial", help="the logger's serial number, where the file does not state it")
    parser.add_argument(
        "--patience", type=float, default=60.0, metavar="S", help="give up when no receipt comes for S s (60)"
    )
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    try:
        data: bytes = args.file.read_bytes()
    except OSError as error:
        raise LoggerFileError(f"cannot read {args.file}: {error.strerror}") from error
    settings = settings_of(args)
    clock = clock_from_environment()
    file = with_readings(decode_file(data))
    with open_records(settings) as records:
        registry = records.registry()
    target = find_target(registry, file, args.equipment, args.serial, settings.text("import.edge"))
    zone = parse_zone(args.zone) if args.zone else target.zone
    readings = readings_of(file, target.serial, zone, clock)
    for line in _announcement(file, target, readings, zone):
        print(line)
    set_up_log()
    with import_outbox(settings, target) as outbox:
        digest = hashlib.sha256(data + f"\0{target.serial}\0{zone}".encode()).hexdigest()
        numbers = keep(outbox, digest, readings)
        asyncio.run(deliver(outbox, target.address, mqtt_settings(settings), clock, args.patience))
        return _outcome(outbox, numbers, args.file)


# --- what is sent, and for whom -------------------------------------------------------------------------------


def with_readings(file: LoggerFile) -> LoggerFile:
    """The file itself; raises LoggerFileError for one that holds daily summaries only."""
    if file.summary_only:
        raise LoggerFileError(
            f"a {file.device} file holds daily summaries only and no readings: there is nothing to import",
            advice="smile-iot evaluate shows the days; readings are never made up from them",
        )
    return file


@dataclass(frozen=True, slots=True)
class Target:
    """Where the readings belong. ``known`` is False when nobody registered the logger yet."""

    address: EdgeAddress
    serial: str
    zone: tzinfo
    known: bool


def find_target(registry: Registry, file: LoggerFile, equipment_id: str, serial: str | None, edge: str) -> Target:
    """Match the file with the registry. Raises ConfigError for what would put readings in the wrong place."""
    equipment = registry.equipment.get(equipment_id)
    if equipment is None:
        raise ConfigError(
            "--equipment",
            f"{equipment_id!r} is not registered",
            advice="register it first: smile-iot gateway load FILE.toml (gateway/records/site.example.toml)",
        )
    name = _serial(file, serial)
    device = registry.device(name)
    if device is not None and device.equipment != equipment_id:
        place = device.equipment or f"no equipment at {device.site}"
        raise ConfigError(
            "--equipment",
            f"logger {name} is registered in {place}, not in {equipment_id}",
            advice="name that equipment, or change the registration with a reason (smile-iot gateway load)",
        )
    site = registry.sites[equipment.site]
    return Target(EdgeAddress(site.shard, site.id, edge), name, parse_zone(str(site.zone)), device is not None)


def _serial(file: LoggerFile, given: str | None) -> str:
    if file.serial and given and given != file.serial:
        raise ConfigError("--serial", f"the file says {file.serial!r}, not {given!r}")
    serial = file.serial or given
    if not serial:
        raise ConfigError("--serial", "the file names no logger", advice="say which one wrote it: --serial ...")
    if not SERIAL_PATTERN.fullmatch(serial):
        raise ConfigError("--serial", f"{serial!r}: letters, digits, - _ . only, at most 64")
    return serial


def readings_of(file: LoggerFile, serial: str, zone: tzinfo, clock: Clock) -> list[Reading]:
    """The rows as readings of origin FILE, at the logger's times.

    The stamp says when and by whom they were read in; ``unsynced``, for nobody vouches for a logger's clock. Raises
    ConfigError when the last row lies in the future, which only a wrong zone or clock explains.
    """
    now_ms = clock.now_ms()
    stamp = Stamp(clock.boot_id(), clock.boottime_ns(), now_ms, Sync.UNSYNCED)
    made = [
        Reading(
            f"{serial}/{QUANTITY}",
            row.value_c,
            utc_ms(row, zone),
            stamp,
            origin=Origin.FILE,
            quality=Quality.GOOD if row.value_c is not None else Quality.SENSOR_FAULT,
        )
        for row in file.readings
    ]
    last_ms = max(r.sampled_at_ms or 0 for r in made)
    if last_ms > now_ms + CLOCK_AHEAD_MS:
        raise ConfigError(
            "--zone",
            f"the last reading would be of {rfc3339(last_ms, zone)}, which has not come yet",
            advice="was the logger's clock, or the zone, another one?",
        )
    return made


def _announcement(file: LoggerFile, target: Target, readings: Sequence[Reading], zone: tzinfo) -> Iterator[str]:
    times = [r.sampled_at_ms or 0 for r in readings]
    span = f"{rfc3339(min(times), zone)} to {rfc3339(max(times), zone)}"
    yield f"{file.device} {target.serial}: {len(readings)} readings, {span} (by the logger's clock in {zone})"
    yield from (f"note: {note}" for note in file.notes)
    if not target.known:
        yield (
            f"warning: logger {target.serial} is not registered: its readings will wait in quarantine until it is"
            " (smile-iot gateway load FILE.toml; they are then stored by themselves)"
        )


# --- the way ----------------------------------------------------------------------------------------------------


class ImportOutbox(SqliteOutbox):
    """An outbox that also remembers, for our last words, what the last receipt called quarantined (None: no receipt)."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.quarantined: Ranges | None = None

    def received(self, have: Ranges, quarantined: Ranges) -> None:
        self.quarantined = quarantined
        super().received(have, quarantined)


@contextmanager
def import_outbox(settings: Settings, target: Target) -> Iterator[ImportOutbox]:
    """The one outbox of imports to a site; raises ConfigError while another import to it runs."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", target.address.site)
    path = settings.data_dir / f"import-{name}.db"
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            message = f"another import to {target.address.site} runs now"
            raise ConfigError("--equipment", message, advice="wait for its end") from error
        outbox = ImportOutbox(path)
        try:
            yield outbox
        finally:
            outbox.close()


def keep(outbox: Outbox, digest: str, readings: Sequence[Reading]) -> Ranges:
    """Number the readings of a file once: given again in the same epoch, the numbers of the first time."""
    key = f"file:{outbox.epoch}:{digest}"
    known = outbox.hint(key)
    if known is None:
        first = outbox.usage().numbered_to + 1
        known = f"{first}-{first + len(readings) - 1}"
        outbox.append(readings, {key: known})
    low, high = map(int, known.split("-"))
    return Ranges([(low, high)])


def mqtt_settings(settings: Settings) -> MqttSettings:
    settings.secret("import.password_file")  # here and now, and not as an outage, if it cannot be read
    ca_file = settings.text("mqtt.ca_file")
    return MqttSettings(
        host=settings.text("mqtt.host"),
        port=settings.number("mqtt.port"),
        username=settings.text("import.username"),
        password_file=settings.text("import.password_file"),
        tls=bool(ca_file),
        ca_file=ca_file,
        receipt_timeout_s=5.0,
        window_facts=2000,
    )


async def deliver(
    outbox: ImportOutbox, address: EdgeAddress, settings: MqttSettings, clock: Clock, patience_s: float
) -> None:
    """Send until a receipt was heard and names everything, or until none came for ``patience_s``."""
    from edge.uplink import EXPECTED, Uplink

    outage = Outage(f"broker {settings.host}:{settings.port}")
    uplink = Uplink(address, settings, clock, outbox, outage, {"software": "smile-iot import"})
    life = supervise(uplink.run, outage, EXPECTED, Backoff(0.5, 10.0), random.Random())  # noqa: S311  (jitter)
    task = asyncio.create_task(life, name="uplink")
    loop = asyncio.get_running_loop()
    left, since_s = outbox.usage().unreceipted, loop.time()
    try:
        while (left or outbox.quarantined is None) and loop.time() - since_s < patience_s:
            await asyncio.sleep(_POLL_S)
            now_left = outbox.usage().unreceipted
            if now_left != left:
                left, since_s = now_left, loop.time()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _outcome(outbox: ImportOutbox, numbers: Ranges, file: Path) -> int:
    waiting = Ranges.of(n.seq for n in outbox.select(seq=numbers, only="unreceipted", limit=len(numbers)))
    quarantined = Ranges.of(n for n in numbers if n in (outbox.quarantined or Ranges()))
    arrived = len(numbers) - len(waiting) - len(quarantined)
    print(f"{arrived} readings are in the journal, {len(quarantined)} in quarantine, {len(waiting)} without receipt")
    if waiting:
        print(
            f"smile-iot import: no receipt for {len(waiting)} readings of {file}; they are kept: give the same command"
            " again when broker and ingest run (smile-iot doctor looks)",
            file=sys.stderr,
        )
    return 1 if waiting or quarantined else 0
