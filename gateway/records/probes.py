"""What people say of a sensor's readings. The readings themselves are never changed (decision 0029)."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal

from gateway.records.errors import Code, Refused
from gateway.records.kinds import DEVICE, PROBE_CORRECTION
from gateway.records.model import Actor, ProbeCorrection
from gateway.records.part import Part, equal
from gateway.records.tx import Act, Tx
from telemetry.errors import ContractError
from telemetry.quantities import parse_stream_id

MOST_OFFSET_C = Decimal(5)
"""Our own choice: PQS loggers are within 0.5 C (E006/TR05); one that is off by more than this is replaced."""
MOST_AHEAD_MS = 366 * 86_400_000
_TEMPERATURE = "temperature_c"


class ProbesPart(Part):
    """Corrections by certificate (cold-chain.md 38)."""

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
