"""What must be thrown away now and then: journal entries everybody has read, and log-ins that have expired.

Real time drives it (APScheduler); what is old is judged by the service's clock, which the jobs take as an argument.

An entry of the journal goes when it is older than ``journal.keep_days`` *and* every reader has passed it. The readers
keep their places in their own files in the data folder: the ledger (which catches up from the journal after a kill),
the filler of the time series, alerts, and SMILE where it is set up. A reader whose file is not there has read
nothing, so nothing goes: a service that was never started, or that keeps its files on another machine, loses nothing.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from smile_iot.parts import ingest_config, ingest_configs, journal_url, open_records
from smile_iot.settings import Settings
from telemetry.clock import Clock, SystemClock
from telemetry.errors import NeighbourDownError, SmileIotError

if TYPE_CHECKING:
    from apscheduler.schedulers.background import BackgroundScheduler

log = logging.getLogger(__name__)

DAY_MS = 86_400_000
EVERY = timedelta(hours=1)
FIRST_AFTER = timedelta(minutes=1)


def reader_places(settings: Settings) -> dict[str, int]:
    """{reader: journal offset that it has committed}; 0 for one that has no file yet."""
    places = {
        "ledger": min(
            _place(config.ledger_path, "SELECT journal_offset FROM place")
            for config in ingest_configs(settings).values()
        ),
        "time series": _place(ingest_config(settings).filler_file, "SELECT journal_offset FROM filler_place"),
        "alerts": _place(settings.data_dir / "alerts.db", "SELECT journal_offset FROM done"),
    }
    if settings.text("smile.core_url"):
        query = "SELECT position FROM offsets WHERE reader = 'journal'"
        places["smile"] = _place(settings.data_dir / "smile.db", query)
    return places


def _place(path: Path, query: str) -> int:
    """A look at another process's file that can not disturb it: read-only, and WAL readers hold up no writer."""
    if not path.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=30.0)) as db:
            row = db.execute(query).fetchone()
    except sqlite3.Error as error:
        raise NeighbourDownError("housekeeping", f"cannot read {path}: {error}") from error
    return int(row[0]) if row else 0


def forget_journal(settings: Settings, now_ms: int) -> int:
    """Drop journal entries that every reader passed and that are older than ``journal.keep_days``; how many."""
    from gateway.journal import forget_passed, open_journal

    before_ms = now_ms - settings.number("journal.keep_days") * DAY_MS
    with closing(open_journal(journal_url(settings))) as journal:
        return forget_passed(journal, list(reader_places(settings).values()), before_ms)


def forget_sessions(settings: Settings, now_ms: int) -> int:
    """Drop log-ins and tokens that have expired; how many."""
    with open_records(settings) as records:
        return records.forget_sessions(now_ms)


def start(settings: Settings, clock: Clock) -> BackgroundScheduler:
    """Run both jobs a minute from now and then every hour, in a thread of their own; ``shutdown()`` ends it."""
    from apscheduler.schedulers.background import BackgroundScheduler

    scheduler = BackgroundScheduler(timezone=UTC, job_defaults={"coalesce": True, "misfire_grace_time": None})
    begin = datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC) + FIRST_AFTER
    for job, what in ((forget_journal, "journal entries"), (forget_sessions, "expired log-ins")):
        scheduler.add_job(
            tell,
            "interval",
            (job, what, settings, clock),
            seconds=EVERY.total_seconds(),
            next_run_time=begin,
            id=what,
        )
    scheduler.start()
    return scheduler


def tell(job: Callable[[Settings, int], int], what: str, settings: Settings, clock: Clock) -> None:
    """Run a job and say what it did; a neighbour that is down is only said: the next hour tries again."""
    try:
        count = job(settings, clock.now_ms())
    except SmileIotError as error:
        log.warning("housekeeping: %s stay for now: %s", what, error)
        return
    if count:
        log.info("housekeeping: %d %s dropped", count, what)
