"""``Records``: all parts on one database."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from gateway.records.accounts import AccountsPart
from gateway.records.attachments import AttachmentsPart
from gateway.records.audit import AuditPart
from gateway.records.database import Database, make_engine
from gateway.records.destructions import DestructionsPart
from gateway.records.edges import EdgesPart
from gateway.records.findings import FindingsPart
from gateway.records.forecasts import ForecastsPart
from gateway.records.gtins import GtinsPart
from gateway.records.placements import PlacementsPart
from gateway.records.probes import ProbesPart
from gateway.records.profiles import ProfilesPart
from gateway.records.quarantine import QuarantinePart
from gateway.records.registry import RegistryPart
from gateway.records.scale_refusals import ScaleRefusalsPart
from gateway.records.verdicts import VerdictsPart
from gateway.records.waste import WastePart


class Records(
    RegistryPart,
    GtinsPart,
    ProfilesPart,
    ProbesPart,
    EdgesPart,
    PlacementsPart,
    FindingsPart,
    VerdictsPart,
    ForecastsPart,
    WastePart,
    ScaleRefusalsPart,
    DestructionsPart,
    QuarantinePart,
    AttachmentsPart,
    AuditPart,
    AccountsPart,
):
    """The records of the house. Each method is one transaction; it may be called from any thread.

    Raises NeighbourDownError (try again) when the database does not answer.
    """

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make all calls of this thread within the block one transaction: all of them happen, or none.

        Leave the block with the exception if one of them raises; on PostgreSQL nothing after it can succeed.
        """
        with self._db.write():
            yield

    def hold_sites(self, sites: Collection[str]) -> None:
        """Within ``together``: take the locks of several sites at once, so that no two such blocks wait in a ring."""
        with self._db.write() as tx:
            tx.lock_site(*sites)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Records:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_records(url: str | Path) -> Records:
    """Open the records and bring their tables to the newest form; safe when several processes do so at once.

    ``url``: a file (SQLite), ``sqlite:///FILE`` or ``postgresql://USER:PASSWORD@HOST/DATABASE``. Raises ConfigError
    for another one, NeighbourDownError when the database does not answer.
    """
    database = Database(make_engine(url))
    try:
        database.migrate()
    except BaseException:
        database.close()
        raise
    return Records(database)
