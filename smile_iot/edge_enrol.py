"""``smile-iot edge enrol``: at the Pi, once: give the one-time code, get account, password, key and CA.

The server must be who it says: its HTTPS certificate is checked against the CA whose fingerprint came with the code
(``--pin``), else against the system's authorities. Plain HTTP goes to this machine itself only (a demo). Standard library
only: a Pi installs nothing for this.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import ipaddress
import json
import os
import secrets
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edge.machine import machine_id
from telemetry.enrolment import PATH, Invitation, certificate, pin_of, read_line, same_pin
from telemetry.errors import ConfigError, ContractError, NeighbourDownError, SmileIotError
from telemetry.mac import KEY_BYTES
from telemetry.topics import EdgeAddress

_TIMEOUT_S = 30.0
_MAX_ANSWER = 64 * 1024


class EnrolRefusedError(SmileIotError):
    """The server did not take the code; ``reason`` is its word for it."""

    def __init__(self, reason: str, detail: str, advice: str) -> None:
        super().__init__(f"the server refused: {detail}", advice=advice)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Granted:
    """What the server gave. Checked: it is written into files that the agent reads."""

    address: EdgeAddress
    host: str
    port: int
    username: str
    password: str = field(repr=False)
    key: bytes = field(repr=False)
    tls: bool = True
    ca: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", metavar="URL", help="https://... address of the server's pages")
    parser.add_argument(
        "--code", metavar="CODE", help="the one-time code; left out: asked for, so that no history has it"
    )
    parser.add_argument(
        "--pin", default="", metavar="PIN", help="fingerprint of the server's CA, printed with the code"
    )
    parser.add_argument("--line", metavar="LINE", help="server, code and pin in one (what the QR code holds)")
    parser.add_argument(
        "--config",
        dest="folder",
        type=Path,
        default=Path("/etc/smile-iot"),
        metavar="DIR",
        help="folder for edge.toml and the secrets (default /etc/smile-iot)",
    )
    parser.add_argument(
        "--outbox",
        default="/var/lib/smile-iot/outbox.db",
        metavar="FILE",
        help="where a new edge.toml keeps the outbox",
    )


def run(args: argparse.Namespace) -> int:
    granted = enrol(_asked(args), machine_id())
    files = write_files(args.folder, granted, args.outbox)
    for path in files:
        print(f"written: {path}")
    where = granted.address
    print(f"this Pi is edge {where.edge} of site {where.site}, account {granted.username} at {granted.host}")
    settings = args.folder / "edge.toml"
    if files[-1] == settings:
        print(f"next: one [[device]] each into {settings} (edge/edge.example.toml), then start the agent")
    else:
        print(
            f"{settings} was there and is as it was. Where id, site, shard or [mqtt] of {files[-1]} differ, take them over;"
        )
        print(
            "keep your outbox. Then start the agent anew (sudo systemctl restart smile-iot-edge): it reads its secrets at start"
        )
    return 0


def _asked(args: argparse.Namespace) -> Invitation:
    """The invitation of the command line, or of the one line, or typed in."""
    if args.line:
        try:
            return read_line(args.line)
        except ContractError as error:
            raise ConfigError("--line", error.detail) from error
    if not args.server:
        raise ConfigError("--server", "is missing", advice="give --server and --code, or the whole --line")
    return Invitation(args.server, args.code or _typed(), args.pin)


def _typed() -> str:
    print("one-time code: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


# --- asking -----------------------------------------------------------------------------------------------------


def enrol(asked: Invitation, machine: str) -> Granted:
    """Use the code up. Raises EnrolRefusedError, ConfigError, NeighbourDownError (then the same code may be repeated)."""
    if not machine:
        raise ConfigError("machine", "nothing tells this machine from another", advice="systemd-machine-id-setup")
    base = urlsplit(asked.server if "://" in asked.server else f"https://{asked.server}")
    if base.scheme not in ("https", "http") or not base.hostname:
        raise ConfigError("--server", f"{asked.server!r} is not an address like https://iot.example.org")
    context = None
    if base.scheme == "https":
        context = _pinned(base.hostname, base.port, asked.pin) if asked.pin else ssl.create_default_context()
    elif not _loopback(base.hostname):
        raise ConfigError(
            "--server", "plain http would show the code and the key to the network", advice="use https://"
        )
    body = json.dumps({"code": asked.code, "machine": machine}).encode()
    status, answer = _ask(base.hostname, base.port, context, "POST", PATH, body)
    if status != 200:
        reason, detail = str(answer.get("reason", status)), str(answer.get("detail", f"status {status}"))
        if status >= 500:
            raise NeighbourDownError("server", detail, advice="repeat the same code in a minute")
        raise EnrolRefusedError(reason, detail, str(answer.get("advice", "")))
    return granted_of(answer)


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _pinned(host: str, port: int | None, pin: str) -> ssl.SSLContext:
    """A context that trusts the one CA whose fingerprint is ``pin``: fetched from the server, believed for its hash."""
    blind = ssl.create_default_context()
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    status, answer = _ask(host, port, blind, "GET", f"{PATH}/ca", b"")
    ca = str(answer.get("ca", ""))
    try:
        fits = status == 200 and same_pin(pin_of(ca), pin)
    except ContractError:
        fits = False
    if not fits:
        raise EnrolRefusedError(
            "pin",
            "this server does not show the CA that the pin names",
            "check the pin, or who answers at this address",
        )
    return ssl.create_default_context(cadata=certificate(ca)[0])


def _ask(
    host: str, port: int | None, context: ssl.SSLContext | None, method: str, path: str, body: bytes
) -> tuple[int, Mapping[str, Any]]:
    """(status, JSON object). Follows nothing. Raises NeighbourDownError."""
    connection: http.client.HTTPConnection
    if context is None:
        connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    else:
        connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=context)
    try:
        with contextlib.closing(connection):
            connection.request(method, path, body or None, {"content-type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read(_MAX_ANSWER) or b"{}")
    except ssl.SSLCertVerificationError as error:
        said = f"its certificate is not to be trusted: {error.verify_message}"
        raise NeighbourDownError("server", said, advice="check the address, the pin, and this Pi's date") from error
    except (OSError, http.client.HTTPException) as error:
        raise NeighbourDownError("server", f"{host}: {error!r}", advice="repeat the same code") from error
    except ValueError as error:
        raise NeighbourDownError("server", f"{host} gave no answer of ours", advice="check the address") from error
    if not isinstance(answer, dict):
        raise NeighbourDownError("server", f"{host} gave no answer of ours", advice="check the address")
    return response.status, answer


def granted_of(answer: Mapping[str, Any]) -> Granted:
    """The server's answer, checked; raises NeighbourDownError for one that cannot be used."""
    try:
        mqtt = answer["mqtt"]
        granted = Granted(
            EdgeAddress(str(answer["shard"]), str(answer["site"]), str(answer["edge"])),
            str(mqtt["host"]),
            int(mqtt["port"]),
            str(mqtt["username"]),
            str(mqtt["password"]),
            bytes.fromhex(answer["upload_key"]),
            bool(mqtt["tls"]),
            str(mqtt["ca"]),
        )
    except (LookupError, TypeError, ValueError, ContractError) as error:
        raise NeighbourDownError(
            "server", "its answer lacks what an edge needs", advice="is it up to date?"
        ) from error
    plain = all(
        text.isprintable() and '"' not in text and "\\" not in text for text in (granted.host, granted.username)
    )
    if len(granted.key) != KEY_BYTES or not granted.password or not plain:
        raise NeighbourDownError("server", "its answer lacks what an edge needs", advice="is it up to date?")
    return granted


# --- files ------------------------------------------------------------------------------------------------------


def write_files(folder: Path, granted: Granted, outbox: str) -> list[Path]:
    """Write the secrets (0600, each at once and whole) and edge.toml; which. A settings file that is there is left alone:
    what belongs into it stands beside it in ``edge.enrolled.toml``. Raises ConfigError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        files = {"password": granted.password + "\n", "upload.key": granted.key.hex() + "\n"}
        if granted.ca:
            files["ca.pem"] = granted.ca
        written = [_write(folder / name, text) for name, text in files.items()]
        settings = folder / "edge.toml"
        target = folder / "edge.enrolled.toml" if settings.exists() else settings
        return [*written, _write(target, edge_toml(folder, granted, outbox))]
    except OSError as error:
        raise ConfigError("--config", f"cannot write in {folder}: {error.strerror}", advice="sudo?") from error


def edge_toml(folder: Path, granted: Granted, outbox: str) -> str:
    """The tables [edge] and [mqtt]; devices are added by a person (edge/edge.example.toml)."""
    at = granted.address
    place = folder.absolute()
    tls = ("tls = true\n" if granted.tls else "") + (f'ca_file = "{place / "ca.pem"}"\n' if granted.ca else "")
    return (
        "# Written by smile-iot edge enrol. Add one [[device]] each: edge/edge.example.toml shows them.\n"
        f'[edge]\nid = "{at.edge}"\nsite = "{at.site}"\nshard = "{at.shard}"\noutbox = "{outbox}"\n\n'
        f'[mqtt]\nhost = "{granted.host}"\nport = {granted.port}\nusername = "{granted.username}"\n'
        f'password_file = "{place / "password"}"\nupload_key_file = "{place / "upload.key"}"\n{tls}'
    )


def _write(path: Path, text: str) -> Path:
    """On disk at return, never half; mode 0600, the folder's owner (``sudo`` writes, the agent reads)."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    owner = path.parent.stat()
    try:
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            if os.geteuid() == 0:
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return path
