"""What people say of a sensor's readings. The readings themselves are never changed (decision 0029)."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from decimal import Decimal

from sqlalchemy import select

from gateway.records import tables
from gateway.records.errors import Code, Refused, UnknownRecord
from gateway.records.kinds import DEVICE, PROBE_CORRECTION, READING_MARK
from gateway.records.model import Actor, ProbeCorrection, ReadingMark
from gateway.records.part import Part, equal
from gateway.records.registry import since_when
from gateway.records.tx import Act, Tx
from telemetry.errors import ContractError
from telemetry.quantities import parse_stream_id

MOST_OFFSET_C = Decimal(5)
"""Our own choice: PQS loggers are within 0.5 C (E006/TR05); one that is off by more than this is replaced."""
MOST_MARKED_MS = 86_400_000
"""Our own choice: a sensor that is wrong for longer is taken out of its equipment, or gets a correction."""
MOST_MARKS = 100
"""Our own choice, of marks of one stream that stand: a sensor that is wrong more often is replaced."""
CLOCK_AHEAD_MS = 5 * 60_000
"""So far ahead of our clock a reading may be (cold-chain.md 10), and so its mark."""
MOST_AHEAD_MS = 366 * 86_400_000
_TEMPERATURE = "temperature_c"


class ProbesPart(Part):
    """Corrections by certificate (cold-chain.md 38), and marks of readings that are not to be counted (12)."""

    def correct_probe(
        self, stream: str, from_ms: int, offset_c: Decimal, certificate: str, actor: Actor, reason: str, at_ms: int
    ) -> ProbeCorrection:
        """A named person says by which certificate ``offset_c`` is added to this sensor's values from a date on.

        The date may lie in the past: a certificate comes later than its measurement. Zero ends a correction. Saying
        what stands again is no change. Raises Refused (PERSON_REQUIRED, REASON_REQUIRED, BAD_VALUE), UnknownRecord
        for a device that is not registered.
        """
        if actor.is_system:
            raise Refused(Code.PERSON_REQUIRED, "a correction is said by a named person", field="actor")
        _check_offset(offset_c)
        if not certificate.strip():
            raise Refused(Code.BAD_VALUE, "a correction has the number of its certificate", field="certificate")
        if not 0 <= from_ms <= at_ms + MOST_AHEAD_MS:
            raise Refused(Code.BAD_VALUE, "from when? At most a year ahead", field="from_ms", rule="year_ahead")
        with self._write() as tx:
            site = _site_of(tx, stream)
            rows = tx.all(PROBE_CORRECTION, *equal(PROBE_CORRECTION, stream=stream))
            same_date = [row for row in rows if row.from_ms == from_ms]
            if same_date and (same_date[-1].offset_c, same_date[-1].certificate) == (offset_c, certificate.strip()):
                return same_date[-1]
            new = ProbeCorrection(
                stream, len(rows) + 1, from_ms, offset_c, certificate.strip(), actor.name, at_ms, site
            )
            act = Act(actor, reason, at_ms)
            tx.put(PROBE_CORRECTION, new, act, action="probe_corrected", first_reason=True)
            return tx.need(PROBE_CORRECTION, stream, new.number)

    def probe_corrections(self, streams: Collection[str] | None = None) -> list[ProbeCorrection]:
        """All that were said (of these streams), by stream and number."""
        where = () if streams is None else (PROBE_CORRECTION.table.c.stream.in_(sorted(streams)),)
        return self._all(PROBE_CORRECTION, *where)

    def mark_readings(
        self,
        stream: str,
        from_ms: int,
        to_ms: int,
        actor: Actor,
        reason: str,
        at_ms: int,
        site: str | None = None,
    ) -> ReadingMark:
        """A named person says that the readings of a stream in [from, to) are not to be counted: unknown, never in range.

        They stay as they came. The device stood in one site all that time (in ``site``, where given), and the mark is of
        that site, wherever the device is now. Saying what stands again is no change. Raises Refused (PERSON_REQUIRED,
        REASON_REQUIRED, BAD_VALUE), UnknownRecord for a device that is not registered.
        """
        if actor.is_system:
            raise Refused(Code.PERSON_REQUIRED, "readings are marked by a named person", field="actor")
        _check_span(from_ms, to_ms, at_ms)
        with self._write() as tx:
            site = _stood_in(tx, stream, from_ms, to_ms, site)
            rows = tx.all(READING_MARK, *equal(READING_MARK, stream=stream))
            for row in rows:
                if (row.from_ms, row.to_ms, row.taken_back) == (from_ms, to_ms, False):
                    return row
            if sum(not row.taken_back for row in rows) >= MOST_MARKS:
                raise Refused(
                    Code.BAD_VALUE,
                    f"{MOST_MARKS} marks of {stream} stand already",
                    field="stream",
                    rule="many_marks",
                    advice="take marks back and make a longer one, or replace the sensor",
                )
            new = ReadingMark(stream, len(rows) + 1, from_ms, to_ms, actor.name, at_ms, site)
            tx.put(READING_MARK, new, Act(actor, reason, at_ms), action="readings_marked", first_reason=True)
            return tx.need(READING_MARK, stream, new.number)

    def take_back_mark(
        self, stream: str, number: int, actor: Actor, reason: str, at_ms: int, site: str | None = None
    ) -> ReadingMark:
        """The readings count again. A mark that was taken back stays so; another one may be made.

        ``site``: where it is taken back; a mark of another site is not known there (UnknownRecord).
        """
        if actor.is_system:
            raise Refused(Code.PERSON_REQUIRED, "a mark is taken back by a named person", field="actor")
        with self._write() as tx:
            mark = tx.need(READING_MARK, stream, number)
            if site not in (None, mark.site):
                raise UnknownRecord(READING_MARK.name, f"{stream}/{number}")
            tx.lock_site(mark.site)
            back = replace(mark, taken_back=True)
            tx.put(READING_MARK, back, Act(actor, reason, at_ms), action="mark_taken_back")
            return back

    def reading_marks(self, streams: Collection[str] | None = None) -> list[ReadingMark]:
        """All that were made (of these streams), those taken back too, by stream and number."""
        where = () if streams is None else (READING_MARK.table.c.stream.in_(sorted(streams)),)
        return self._all(READING_MARK, *where)


def _check_span(from_ms: int, to_ms: int, at_ms: int) -> None:
    if not 0 <= from_ms < to_ms:
        raise Refused(
            Code.BAD_VALUE, "the end of a mark lies after its beginning", field="to_ms", rule="before_first"
        )
    if to_ms - from_ms > MOST_MARKED_MS:
        raise Refused(
            Code.BAD_VALUE,
            "a mark holds for a day at most",
            field="to_ms",
            rule="a_day",
            advice="take a sensor that is wrong for longer out of its equipment",
        )
    if to_ms > at_ms + CLOCK_AHEAD_MS:
        raise Refused(Code.BAD_VALUE, "readings that did not come yet are not marked", field="to_ms", rule="to_come")


def _check_offset(offset_c: Decimal) -> None:
    if not offset_c.is_finite() or abs(offset_c) > MOST_OFFSET_C or offset_c != round(offset_c, 3):
        raise Refused(
            Code.BAD_VALUE,
            f"{offset_c} is no correction: from -{MOST_OFFSET_C} to {MOST_OFFSET_C} degrees, three places",
            field="offset_c",
            advice="look at the sign and the point; a sensor that is off by more is replaced",
        )


def _serial_of(stream: str) -> str:
    """The device of a stream of temperatures."""
    try:
        parts = parse_stream_id(stream)
    except ContractError as error:
        raise Refused(Code.BAD_VALUE, f"{stream!r} is no stream", field="stream") from error
    if parts.quantity != _TEMPERATURE:
        raise Refused(Code.BAD_VALUE, f"{stream} is no temperature of an equipment", field="stream")
    return parts.serial


def _site_of(tx: Tx, stream: str) -> str:
    """Where the device of a stream is registered now."""
    site = tx.need(DEVICE, _serial_of(stream)).site
    tx.lock_site(site)
    return site


def _stood_in(tx: Tx, stream: str, from_ms: int, to_ms: int, site: str | None) -> str:
    """The one site in which the device of a stream stood all that time, as the audit tells it."""
    serial = _serial_of(stream)
    now = tx.need(DEVICE, serial).site
    a = tables.audit
    query = select(a.c.at_ms, a.c.new).where(a.c.subject == f"{DEVICE.name}:{serial}", a.c.new.is_not(None))
    said = [(said_ms, json.loads(text)) for said_ms, text in tx.connection.execute(query.order_by(a.c.id))]
    rows = since_when(said, ("site", "equipment"))
    while len(rows) > 1 and not rows[0][1][1]:
        rows.pop(0)  # its first equipment holds since ever (alerts.homes)
    begun = [i for i, (since_ms, _) in enumerate(rows) if since_ms <= from_ms]
    first = begun[-1] if begun else 0
    seen = {fields[0] for i, (since_ms, fields) in enumerate(rows) if i == first or (i > first and since_ms < to_ms)}
    seen = seen or {now}
    if len(seen) > 1 or (site is not None and seen != {site}):
        raise Refused(
            Code.BAD_VALUE,
            f"{serial} did not stand at one site, or at another than this, in that time",
            field="from_ms",
            rule="not_here_then",
            advice="mark only the time in which the sensor stood at your site",
        )
    (here,) = seen
    tx.lock_site(here)
    return here
