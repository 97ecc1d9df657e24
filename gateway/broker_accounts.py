"""The broker's accounts and rights as two files, made of the records: who is enrolled may write its own and read its own.

    base files (our own accounts: ingest, import) ─┐
    records: enrolled edges ───────────────────────┴▶ passwords, acl ─▶ the broker reads them again (SIGHUP)

Both files are a function of what goes in, so they may be made again at any time, by any process, after any kill. They
are Mosquitto's own formats; the records hold each password as the hash that stands here, never the password.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import os
import secrets
import signal
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gateway.records import Edge, EdgeState, Records
from telemetry.errors import ConfigError
from telemetry.topics import ROOT, EdgeAddress

log = logging.getLogger(__name__)

# mosquitto_passwd 2.0: $7$ITERATIONS$SALT$HASH, PBKDF2-HMAC-SHA512. Its 101 rounds are few; ours are random words of 192
# bits, which no number of rounds makes safer.
_ITERATIONS, _SALT_BYTES, _HASH_BYTES = 101, 12, 64


def new_password() -> str:
    """A random word for one account."""
    return secrets.token_urlsafe(24)


def password_hash(password: str, salt: bytes | None = None) -> str:
    """The password as ``mosquitto_passwd`` would write it."""
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    made = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS, _HASH_BYTES)
    return f"$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(made).decode()}"


def passwords_text(base: str, edges: Iterable[Edge]) -> str:
    """The password file: the base's lines, then one for each enrolled edge."""
    lines = [f"{edge.account}:{edge.password_hash}" for edge in enrolled(edges)]
    return "\n".join([*base.splitlines(), *lines]) + "\n"


def acl_text(base: str, edges: Iterable[Edge]) -> str:
    """The ACL file: the base's rules, then for each enrolled edge its own topics and nothing else."""
    rules = [base.rstrip("\n")]
    for edge in enrolled(edges):
        at = EdgeAddress(edge.shard, edge.site, edge.edge)  # refuses what would be a wildcard
        own = f"{ROOT}/{at.shard}/{at.site}/{at.edge}"
        rules.append(f"user {edge.account}\ntopic write {own}/up/+\ntopic read {own}/down/+")
    return "\n\n".join(rules) + "\n"


def enrolled(edges: Iterable[Edge]) -> list[Edge]:
    return [e for e in edges if e.state == EdgeState.ENROLLED and e.password_hash]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerFiles:
    """Where the files are. ``pid_file``: whose SIGHUP makes the broker read them; None: it watches them by itself."""

    passwords: Path
    acl: Path
    base_passwords: Path
    base_acl: Path
    pid_file: Path | None = None


class BrokerAccounts:
    """Keeps the broker's files equal to the records. May be called from any thread."""

    def __init__(self, files: BrokerFiles, records: Records) -> None:
        self._files, self._records = files, records
        self._lock = threading.Lock()
        self._written: object = None

    def sync(self) -> bool:
        """Write what changed, each file at once and whole, and tell the broker; whether anything changed.

        Cheap when nothing did. Raises NeighbourDownError (records), ConfigError (a file that cannot be read or written).
        """
        with self._lock:
            files = self._files
            seen = (self._records.edges_version(), _stamp(files.base_passwords), _stamp(files.base_acl))
            if seen == self._written:
                return False
            edges = self._records.edges()
            try:
                changed = [
                    _replace(files.passwords, passwords_text(files.base_passwords.read_text(), edges)),
                    _replace(files.acl, acl_text(files.base_acl.read_text(), edges)),
                ]
            except OSError as error:
                raise ConfigError("broker", f"{error.filename}: {error.strerror}") from error
            if any(changed):
                self._tell()
                log.info("the broker's accounts: %d enrolled edges", len(enrolled(edges)))
            self._written = seen
            return any(changed)

    def _tell(self) -> None:
        """SIGHUP. A broker that does not run reads the files when it starts."""
        if self._files.pid_file is None:
            return
        try:
            os.kill(int(self._files.pid_file.read_text()), signal.SIGHUP)
        except (OSError, ValueError) as error:
            log.warning("the broker could not be told of its new accounts: %s", error)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        said = path.stat()
    except OSError:
        return None
    return said.st_mtime_ns, said.st_size


def _replace(path: Path, text: str) -> bool:
    """Whether the file had to be written. Readable by the broker's own user: what it holds are hashes of random words."""
    with contextlib.suppress(OSError):
        if path.read_text() == text:
            return False
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644), "w") as file:
            os.fchmod(file.fileno(), 0o644)  # whatever the umask
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return True
