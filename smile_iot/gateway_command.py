"""``smile-iot gateway load FILE.toml``: create and change sites, equipment, devices, batches, bags and people."""

from __future__ import annotations

import argparse
import getpass
from pathlib import Path

from smile_iot.parts import open_records
from smile_iot.service import add_config_argument, settings_of
from telemetry.clock import clock_from_environment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    load = actions.add_parser("load", help="load a TOML file (gateway/records/site.example.toml shows every table)")
    load.add_argument("file", type=Path, metavar="FILE.toml", help="tables as in gateway/records/site.example.toml")
    load.add_argument("--reason", default="", help="why something already there changes; wanted for changes")
    load.add_argument("--actor", default=getpass.getuser(), help="who does it (default: the user name)")
    add_config_argument(load)


def run(args: argparse.Namespace) -> int:
    from gateway.records import Actor, Role
    from gateway.records.load import load_toml

    with open_records(settings_of(args)) as records:
        now_ms = clock_from_environment().now_ms()
        report = load_toml(records, args.file, Actor(args.actor, Role.SUPER_ADMIN), args.reason, now_ms)
    for name in ("created", "changed"):
        for subject in getattr(report, name):
            print(f"{name}: {subject}")
    print(f"{len(report.created)} created, {len(report.changed)} changed, {len(report.unchanged)} unchanged")
    if report.waiting:
        print(f"{len(report.waiting)} quarantined messages of these devices will be replayed by ingest")
    return 0
