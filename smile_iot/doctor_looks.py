"""Looks that the server's and the edge's doctor share: Python, data folder, clock, broker, programs."""

from __future__ import annotations

import importlib.util
import os
import shutil
import ssl
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smile_iot.doctor import Finding, Sign
from telemetry.readings import Sync

PYTHON = (3, 11)
SPACE_MISSING_MB = 200
SPACE_WARNING_MB = 1000
NETWORK_S = 5.0
PROGRAM_FOLDERS = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/sbin:/bin"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def python(packages: Sequence[str], extra: str) -> list[Finding]:
    """Python's version, and whether the packages of one extra can be found."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] >= PYTHON:
        found = [Finding("Python", Sign.OK, version)]
    else:
        found = [Finding("Python", Sign.MISSING, version, "install Python 3.11 or newer")]
    gone = [name for name in packages if importlib.util.find_spec(name) is None]
    if gone:
        todo = f"pip install --require-hashes -r requirements/{extra}.lock"
        return [*found, Finding("Python packages", Sign.MISSING, f"without {', '.join(gone)}", todo)]
    return [*found, Finding("Python packages", Sign.OK, f"all of the {extra} extra")]


def data_folder(folder: Path, subject: str = "data folder") -> list[Finding]:
    """Whether the folder can be written, and how much room it has."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as trial:
            trial.write(b"x")
            trial.flush()
            os.fsync(trial.fileno())
        free_mb = shutil.disk_usage(folder).free // 1_000_000
    except OSError as error:
        todo = f"give this user the folder: chown {os.geteuid()} {folder} (or name another folder in the settings)"
        return [Finding(subject, Sign.MISSING, f"{folder} cannot be written: {error.strerror}", todo)]
    return [Finding(subject, Sign.OK, f"{folder.absolute()} can be written"), space(free_mb)]


def space(free_mb: int) -> Finding:
    """What the free space means."""
    said = f"{free_mb} MB free"
    if free_mb < SPACE_MISSING_MB:
        return Finding("disk space", Sign.MISSING, said, "make room now: soon nothing more can be kept")
    if free_mb < SPACE_WARNING_MB:
        return Finding("disk space", Sign.WARNING, said, "make room before it is full")
    return Finding("disk space", Sign.OK, said)


def clock(state: Sync, max_error_ms: int | None) -> Finding:
    """The kernel's word on the clock (``telemetry.clock.kernel_sync``)."""
    if state is Sync.SYNCED:
        return Finding("clock", Sign.OK, f"synchronised, at most {max_error_ms} ms off")
    todo = "timedatectl set-ntp true, and allow the network's time service; until then readings wait without a date"
    return Finding("clock", Sign.WARNING, "the kernel does not call it synchronised", todo)


def program(name: str, package: str, why: str) -> Finding:
    """Whether a program is installed on this machine."""
    path = shutil.which(name, path=PROGRAM_FOLDERS)
    if path is None:
        return Finding(name, Sign.WARNING, f"not installed here ({why})", f"apt-get install {package}")
    return Finding(name, Sign.OK, path)


@dataclass(frozen=True, slots=True)
class Account:
    """How to log in at the broker. ``ca_file`` "" with ``tls`` means the system's authorities."""

    host: str
    port: int
    username: str
    password: str
    tls: bool
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


def broker(account: Account, timeout_s: float = NETWORK_S) -> list[Finding]:
    """Log in as the service would, under a client id of our own, and leave."""
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    place = f"{account.host}:{account.port}"
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"smile-iot-doctor-{os.getpid()}")
    if account.username:
        client.username_pw_set(account.username, account.password)
    answered = threading.Event()
    answers: list[Any] = []

    def on_connect(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        answers.append(reason)
        answered.set()

    client.on_connect = on_connect
    client.connect_timeout = timeout_s
    try:
        if account.tls:
            client.tls_set(account.ca_file or None, account.cert_file or None, account.key_file or None)
        client.connect(account.host, account.port)
    except ssl.SSLError as error:
        todo = "is ca_file the certificate of this broker's authority, and the port the one with TLS?"
        return [Finding("broker", Sign.MISSING, f"{place}: no trust: {error.reason}", todo)]
    except OSError as error:
        todo = "is it running (systemctl status mosquitto), is host and port right, does the firewall let us out?"
        return [Finding("broker", Sign.MISSING, f"{place}: {error.strerror or error}", todo)]
    client.loop_start()
    try:
        answered.wait(timeout_s)
    finally:
        client.disconnect()
        client.loop_stop()
    return [_said(place, account.username, answers), *([] if account.tls else _open(account.host))]


def _said(place: str, username: str, answers: list[Any]) -> Finding:
    if not answers:
        todo = "it listens and says nothing: is the port the one without TLS?"
        return Finding("broker", Sign.MISSING, f"{place}: no answer", todo)
    if answers[0].is_failure:
        todo = "check username and password_file; is the edge enrolled? on the server: smile-iot gateway edges"
        return Finding("broker", Sign.MISSING, f"{place} refused {username!r}: {answers[0]}", todo)
    return Finding("broker", Sign.OK, f"{place} lets {username!r} in")


def _open(host: str) -> list[Finding]:
    if host in LOOPBACK:
        return []
    todo = "set the CA's file, so that passwords and readings do not travel in the open"
    return [Finding("broker's TLS", Sign.WARNING, "is off", todo)]
