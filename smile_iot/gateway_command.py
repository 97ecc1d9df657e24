"""``smile-iot gateway load FILE.toml``: create and change sites, equipment, devices, batches, bags and people; and
``invite``, ``revoke`` and ``edges``: which Pi may speak for which edge (``smile_iot/gateway_edges.py``); and ``resend``:
an edge is asked to send again (``smile_iot/gateway_resend.py``); and ``limits``: limits over time
(``smile_iot/gateway_limits.py``).
"""

from __future__ import annotations

import argparse
import getpass
import sys
import tomllib
from pathlib import Path
from typing import Any

from smile_iot import gateway_edges, gateway_limits, gateway_resend
from smile_iot.parts import open_records, shards
from smile_iot.service import add_config_argument, settings_of
from smile_iot.settings import Settings
from telemetry.clock import clock_from_environment
from telemetry.errors import ConfigError

BY_FILE = "file"  # a logger that nobody hears: its exports come by ``smile-iot import``


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    load = actions.add_parser("load", help="load a TOML file (gateway/records/site.example.toml shows every table)")
    load.add_argument("file", type=Path, metavar="FILE.toml", help="tables as in gateway/records/site.example.toml")
    load.add_argument("--reason", default="", help="why something already there changes; wanted for changes")
    load.add_argument("--actor", default=getpass.getuser(), help="who does it (default: the user name)")
    add_config_argument(load)
    gateway_edges.add_actions(actions)
    gateway_resend.add_action(actions)
    gateway_limits.add_action(actions)


def run(args: argparse.Namespace) -> int:
    """0 done; raises what ``_load`` and the actions of the two other modules raise."""
    if args.action == "resend":
        return gateway_resend.run(args)
    if args.action == "limits":
        return gateway_limits.run(args)
    return gateway_edges.ACTIONS.get(args.action, _load)(args)


def _load(args: argparse.Namespace) -> int:
    from gateway.records import Actor, Role
    from gateway.records.load import load_toml

    settings = settings_of(args)
    _check_words(_read(args.file), settings)
    with open_records(settings) as records:
        now_ms = clock_from_environment().now_ms()
        report = load_toml(records, args.file, Actor(args.actor, Role.SUPER_ADMIN), args.reason, now_ms)
    for name in ("created", "changed"):
        for subject in getattr(report, name):
            print(f"{name}: {subject}")
    if not (report.created or report.changed or report.unchanged):
        print(f"{args.file} holds no tables: nothing was loaded", file=sys.stderr)
        return 2
    print(f"{len(report.created)} created, {len(report.changed)} changed, {len(report.unchanged)} unchanged")
    if report.waiting:
        print(f"{len(report.waiting)} quarantined messages of these devices will be replayed by ingest")
    return 0


def _read(file: Path) -> dict[str, Any]:
    """The file's tables; raises ConfigError in words where it cannot be read."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError("FILE.toml", f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError("FILE.toml", f"{file} is not a text file in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("FILE.toml", f"{file} is not TOML: {error}") from error


def _check_words(tables: dict[str, Any], settings: Settings) -> None:
    """Profiles, drivers and shards are words of other parts than the records: a mistyped one must not wait until night."""
    from alerts.profiles import load_profiles
    from edge.config import known_drivers

    extra = settings.path("alerts.profiles_file")
    profiles, drivers = set(load_profiles(*([extra] if extra else []))), {*known_drivers(), BY_FILE}
    heard = [name for names in shards(settings) for name in names]
    for kind, key, known in (("equipment", "profile", profiles), ("device", "driver", drivers)):
        for row in tables.get(kind, []) if isinstance(tables.get(kind), list) else []:
            word = row.get(key) if isinstance(row, dict) else None
            if isinstance(word, str) and word not in known:
                name = row.get("id", row.get("serial", "?"))
                raise ConfigError(f"{kind} {name}.{key}", f"{word!r} is not one of {', '.join(sorted(known))}")
    for row in tables.get("site", []) if isinstance(tables.get("site"), list) else []:
        if isinstance(row, dict) and row.get("shard") not in (None, *heard) and "+" not in heard:
            print(
                f"note: site {row.get('id')} is in shard {row.get('shard')!r}, this server's ingest hears only"
                f" {', '.join(heard)}",
                file=sys.stderr,
            )
