"""``smile-iot gateway invite|revoke|edges``: a one-time code for a new Pi, the end of a stolen one, and who is who."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Callable
from typing import Any

from smile_iot.parts import open_records
from smile_iot.service import add_config_argument, settings_of
from smile_iot.settings import Settings
from telemetry.clock import clock_from_environment
from telemetry.contract import iso_utc_seconds
from telemetry.enrolment import Invitation, pin_of
from telemetry.errors import ConfigError

_HEAD = ("site", "edge", "state", "since", "by", "machine", "account")


def add_actions(actions: Any) -> None:
    """The three actions; ``actions`` is what ``add_subparsers`` gave."""
    invite = actions.add_parser("invite", help="a one-time code for an edge: printed once, good for seven days")
    revoke = actions.add_parser("revoke", help="take an edge's keys and broker account away")
    for parser in (invite, revoke):
        parser.add_argument("--site", required=True, help="the site's id")
        parser.add_argument("--edge", required=True, help="the edge's id at that site")
        parser.add_argument("--actor", default=getpass.getuser(), help="who does it (default: the user name)")
    invite.add_argument("--reason", default="", help="why; wanted where the edge was there before")
    invite.add_argument("--code-only", action="store_true", help="print the code alone, for a script")
    revoke.add_argument("--reason", required=True, help="why: lost, stolen, replaced ...")
    listed = actions.add_parser("edges", help="every edge with its state, machine and account")
    listed.add_argument("--site", default=None, help="this site's only")
    for parser in (invite, revoke, listed):
        add_config_argument(parser)


def _invite(args: argparse.Namespace) -> int:
    from gateway.records import Actor, Role

    settings = settings_of(args)
    if args.edge == settings.text("import.edge"):
        raise ConfigError("--edge", f"{args.edge} is the name of imported files", advice="choose another name")
    now_ms = clock_from_environment().now_ms()
    with open_records(settings) as records:
        if not args.reason.strip() and records.find_edge(args.site, args.edge) is not None:
            raise ConfigError("--reason", f"{args.edge} was invited before", advice='say why again: --reason "..."')
        code = records.invite_edge(args.site, args.edge, Actor(args.actor, Role.SUPER_ADMIN), args.reason, now_ms)
        edge = records.find_edge(args.site, args.edge)
    if args.code_only:
        print(code.text)
        return 0
    for line in invitation_text(invitation(settings, code.text), (edge and edge.code_expires_ms) or 0):
        print(line)
    return 0


def invitation(settings: Settings, code: str) -> Invitation:
    """What a person carries to the Pi."""
    ca = settings.secret("enrol.server_ca_file")
    return Invitation(settings.text("api.public_url"), code, pin_of(ca) if ca else "")


def invitation_text(asked: Invitation, expires_ms: int) -> list[str]:
    pin = f" --pin {asked.pin}" if asked.pin else ""
    return [
        f"one-time code, good until {iso_utc_seconds(expires_ms)}, shown this once:",
        "",
        f"    {asked.code}",
        "",
        "at the Pi:",
        f"    sudo /opt/smile-iot/bin/smile-iot edge enrol --server {asked.server}{pin}",
        "or all in one, for a QR code:",
        f"    {asked.line}",
    ]


def _revoke(args: argparse.Namespace) -> int:
    from gateway.records import Actor, Role

    settings = settings_of(args)
    now_ms = clock_from_environment().now_ms()
    with open_records(settings) as records:
        actor = Actor(args.actor, Role.SUPER_ADMIN)
        gone = records.revoke_edge(args.site, args.edge, actor, args.reason, now_ms)
    print(
        f"revoked: edge {gone.edge} of {gone.site}; ingest refuses what it signs, the broker's account {gone.account}"
    )
    print("goes within seconds (api writes the broker's files; without enrolment set up, take it out by hand)")
    return 0


def _edges(args: argparse.Namespace) -> int:
    with open_records(settings_of(args)) as records:
        edges = records.edges(args.site)
    rows = [
        _HEAD,
        *(
            (e.site, e.edge, str(e.state), iso_utc_seconds(e.since_ms), e.said_by, e.machine[:12] or "-", e.account)
            for e in edges
        ),
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {"invite": _invite, "revoke": _revoke, "edges": _edges}
