"""Who owns what, among workers on several machines that share one PostgreSQL: a row with an end (decision 0016).

A lease ends by itself ``LEASE_S`` after it was last kept, by the database's clock: a worker that was killed, cut off or
stopped (SIGSTOP keeps a connection and an advisory lock alive for ever) loses it within seconds. Its owner keeps it
every ``KEEP_EVERY_S`` and must take it for lost when that fails for ``LOST_AFTER_S``, which is before another may take
it. What the old owner writes in the moment of changing hands is written twice, not wrongly: numbers and identities tell.
"""

from __future__ import annotations

import uuid

import psycopg

from telemetry.errors import NeighbourDownError

LEASE_S = 10.0
LOST_AFTER_S = 7.5
KEEP_EVERY_S = 1.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS leases(name TEXT PRIMARY KEY, owner TEXT NOT NULL, ends TIMESTAMPTZ NOT NULL)
"""
_TAKE = """
INSERT INTO leases AS l (name, owner, ends) VALUES (%(name)s, %(owner)s, clock_timestamp() + %(length)s)
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, ends = excluded.ends
WHERE l.owner = excluded.owner OR l.ends < clock_timestamp()
"""
_KEEP = """
UPDATE leases SET ends = clock_timestamp() + %(length)s
WHERE name = %(name)s AND owner = %(owner)s AND ends >= clock_timestamp()
"""
_RELEASE = "DELETE FROM leases WHERE name = %(name)s AND owner = %(owner)s"
# "SMIL" as ASCII: two workers that start at once make the table one after the other.
_LOCK = 0x534D494C


class PostgresLeases:
    """The leases of one worker. Each call is short and opens its own connection: it is asked for once a second."""

    def __init__(self, url: str, owner: str = "") -> None:
        self._url = url
        self._owner = owner or uuid.uuid4().hex
        self._ready = False

    def take(self, name: str) -> bool:
        """Try to own ``name``; False while another does. Raises NeighbourDownError."""
        return self._changed(_TAKE, name)

    def keep(self, name: str) -> bool:
        """Own it for another ``LEASE_S``; False: it is lost. Raises NeighbourDownError (then it is not known)."""
        return self._changed(_KEEP, name)

    def release(self, name: str) -> None:
        """Let go at once, where the database answers."""
        self._changed(_RELEASE, name)

    def _changed(self, statement: str, name: str) -> bool:
        values = {"name": name, "owner": self._owner, "length": f"{LEASE_S} seconds"}
        try:
            with psycopg.connect(self._url, connect_timeout=4, options="-c statement_timeout=4000") as connection:
                if not self._ready:
                    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                    connection.execute(_SCHEMA)
                changed = connection.execute(statement.replace("%(length)s", "%(length)s::interval"), values).rowcount
        except psycopg.Error as error:
            words = str(error).strip().splitlines() or [repr(error)]
            raise NeighbourDownError("leases", words[0], advice="see whether PostgreSQL runs") from error
        self._ready = True
        return changed == 1
