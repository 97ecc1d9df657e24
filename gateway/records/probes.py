"""What people say of a sensor's readings. The readings themselves are never changed (decision 0029)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from decimal import Decimal

from gateway.records.errors import Code, Refused
from gateway.records.kinds import DEVICE, PROBE_CORRECTION, READING_MARK
from gateway.records.model import Actor, ProbeCorrection, ReadingMark
from gateway.records.part import Part, equal
from gateway.records.tx import Act, Tx
from telemetry.errors import ContractError
from telemetry.quantities import parse_stream_id

MOST_OFFSET_C = Decimal(5)
"""Our own choice: PQS loggers are within 0.5 C (E006/TR05); one that is off by more than this is replaced."""
MOST_MARKED_MS = 86_400_000
"""Our own choice: a sensor that is wrong for longer is taken out of its equipment, or gets a correction."""
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
            raise Refused(Code.BAD_VALUE, "from when? At most a year ahead", field="from_ms")
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
        self, stream: str, from_ms: int, to_ms: int, actor: Actor, reason: str, at_ms: int
    ) -> ReadingMark:
        """A named person says that the readings of a stream in [from, to) are not to be counted: unknown, never in range.

        They stay as they came. Saying what stands again is no change. Raises Refused (PERSON_REQUIRED,
        REASON_REQUIRED, BAD_VALUE), UnknownRecord for a device that is not registered.
        """
        if actor.is_system:
            raise Refused(Code.PERSON_REQUIRED, "readings are marked by a named person", field="actor")
        _check_span(from_ms, to_ms, at_ms)
        with self._write() as tx:
            site = _site_of(tx, stream)
            rows = tx.all(READING_MARK, *equal(READING_MARK, stream=stream))
            for row in rows:
                if (row.from_ms, row.to_ms, row.taken_back) == (from_ms, to_ms, False):
                    return row
            new = ReadingMark(stream, len(rows) + 1, from_ms, to_ms, actor.name, at_ms, site)
            tx.put(READING_MARK, new, Act(actor, reason, at_ms), action="readings_marked", first_reason=True)
            return tx.need(READING_MARK, stream, new.number)

    def take_back_mark(self, stream: str, number: int, actor: Actor, reason: str, at_ms: int) -> ReadingMark:
        """The readings count again. A mark that was taken back stays so; another one may be made."""
        if actor.is_system:
            raise Refused(Code.PERSON_REQUIRED, "a mark is taken back by a named person", field="actor")
        with self._write() as tx:
            mark = tx.need(READING_MARK, stream, number)
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
        raise Refused(Code.BAD_VALUE, "the end of a mark lies after its beginning", field="to_ms")
    if to_ms - from_ms > MOST_MARKED_MS:
        raise Refused(
            Code.BAD_VALUE,
            "a mark holds for a day at most",
            field="to_ms",
            advice="take a sensor that is wrong for longer out of its equipment",
        )
    if to_ms > at_ms + CLOCK_AHEAD_MS:
        raise Refused(Code.BAD_VALUE, "readings that did not come yet are not marked", field="to_ms")


def _check_offset(offset_c: Decimal) -> None:
    if not offset_c.is_finite() or abs(offset_c) > MOST_OFFSET_C or offset_c != round(offset_c, 3):
        raise Refused(
            Code.BAD_VALUE,
            f"{offset_c} is no correction: from -{MOST_OFFSET_C} to {MOST_OFFSET_C} degrees, three places",
            field="offset_c",
            advice="look at the sign and the point; a sensor that is off by more is replaced",
        )


def _site_of(tx: Tx, stream: str) -> str:
    """Where the device of a stream of temperatures is registered."""
    try:
        parts = parse_stream_id(stream)
    except ContractError as error:
        raise Refused(Code.BAD_VALUE, f"{stream!r} is no stream", field="stream") from error
    if parts.quantity != _TEMPERATURE:
        raise Refused(Code.BAD_VALUE, f"{stream} is no temperature of an equipment", field="stream")
    site = tx.need(DEVICE, parts.serial).site
    tx.lock_site(site)
    return site
