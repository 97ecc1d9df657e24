"""``smile-iot gateway limits show|set|adopt``: which limits hold, since when, by whom and why; and a change of them.

A limit is changed by a named person with a reason, from now or a later time on: the past is judged by the limits that held
then (decision 0023). What a change would have meant for stored data says ``smile-iot replay``.
"""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from smile_iot.parts import open_records
from smile_iot.service import add_config_argument, settings_of
from smile_iot.settings import Settings
from telemetry.clock import clock_from_environment
from telemetry.contract import iso_utc, parse_iso_utc
from telemetry.errors import ConfigError

if TYPE_CHECKING:
    from alerts.rules import Profile
    from gateway.records import Records


def add_action(actions: Any) -> None:
    """``actions`` is what ``add_subparsers`` gave."""
    limits = actions.add_parser(
        "limits", help="limits over time: show them, change one from a time on, adopt a file's"
    )
    words = limits.add_subparsers(dest="word", required=True, metavar="WORD")
    show = words.add_parser("show", help="versions of the profiles in use, with who, when and why")
    show.add_argument("profile", nargs="?", metavar="PROFILE", help="this profile's, with all its limits")
    change = words.add_parser("set", help="change one limit of a profile")
    change.add_argument("profile", metavar="PROFILE", help="id, as in alerts/profiles.toml")
    change.add_argument("code", metavar="CODE", help="the rule's code, as HEAT")
    change.add_argument("--limit", metavar="VALUE", help='the new value, in the unit of the limit, as "9.0"')
    change.add_argument("--after-s", type=int, metavar="SECONDS", help="the new delay")
    adopt = words.add_parser("adopt", help="take over what the profile's file says now")
    adopt.add_argument("profile", metavar="PROFILE", help="id of a profile whose file was changed")
    for parser in (change, adopt):
        parser.add_argument("--reason", required=True, help="why: a circular, a new refrigerator, ...")
        parser.add_argument("--actor", default=getpass.getuser(), help="who does it (default: the user name)")
        parser.add_argument("--from", dest="start", metavar="TIME", help="with offset; default: now")
        parser.add_argument("--version", metavar="NAME", help="the new version's name (default: its day and time)")
        parser.add_argument(
            "--supersede",
            action="store_true",
            help="also instead of versions that were announced for that time or later and have not begun",
        )
    for parser in (show, change, adopt):
        add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """0 done; raises ConfigError for words that mean nothing, Refused as ``Records.put_profile``."""
    settings = settings_of(args)
    catalogue = _catalogue(settings)
    if args.word == "show":
        with open_records(settings) as records:
            return _show(records, catalogue, args.profile)
    if args.profile not in catalogue:
        raise ConfigError("PROFILE", f"{args.profile!r} is not one of {', '.join(sorted(catalogue))}")
    with open_records(settings) as records:
        return _change(records, catalogue, args)


def _catalogue(settings: Settings) -> Mapping[str, Profile]:
    from alerts.profiles import load_profiles

    extra = settings.path("alerts.profiles_file")
    return load_profiles(*([extra] if extra else []))


def _change(records: Records, catalogue: Mapping[str, Profile], args: argparse.Namespace) -> int:
    from alerts.profiles import profile_of_table, table_of
    from gateway.records import Actor, Role

    now_ms = clock_from_environment().now_ms()
    in_file = catalogue[args.profile]
    records.keep_profile(args.profile, in_file.version, table_of(in_file), now_ms)
    last = records.profile_versions(args.profile)[-1]
    body = table_of(in_file) if args.word == "adopt" else table_of(_edited(last.profile, last.body, args))
    from_ms = now_ms if args.start is None else parse_iso_utc(args.start)
    version = args.version or (in_file.version if args.word == "adopt" else iso_utc(from_ms))
    profile_of_table(args.profile, version, body)  # raises ConfigError for what no judgement could read
    made = records.put_profile(
        args.profile,
        version,
        body,
        from_ms,
        Actor(args.actor, Role.SUPER_ADMIN),
        args.reason,
        now_ms,
        supersede=args.supersede,
    )
    if made.number == last.number:
        print(f"{args.profile} {made.version} says so already: nothing changed")
    else:
        print(f"{args.profile} {made.version} holds from {iso_utc(made.from_ms)}; before that the limits of then")
    return 0


def _edited(profile: str, body: Mapping[str, Any], args: argparse.Namespace) -> Profile:
    from decimal import Decimal, InvalidOperation

    from alerts.limit_change import UnsoundLimitError, with_limit
    from alerts.profiles import profile_of_table
    from alerts.rules.facts import milli

    held = profile_of_table(profile, "held", dict(body))
    if args.limit is None and args.after_s is None:
        raise ConfigError("--limit", "say what changes: --limit, --after-s or both")
    limit_c = None
    if args.limit is not None:
        try:
            limit_c = Decimal(args.limit)
            milli(limit_c)
        except (InvalidOperation, ValueError) as error:
            raise ConfigError("--limit", f"{args.limit!r} is not a number of at most three places") from error
    try:
        return with_limit(held, args.code, limit_c, args.after_s, args.reason)
    except KeyError as error:
        raise ConfigError(
            "CODE", f"{profile} has no {args.code}; it has {', '.join(x.code for x in held.limits)}"
        ) from error
    except UnsoundLimitError as error:
        raise ConfigError(
            "--limit", str(error), advice="an upper limit lies above every lower one; a sum needs a time"
        ) from error


def _show(records: Records, catalogue: Mapping[str, Profile], profile: str | None) -> int:
    from alerts.dated import history_of, not_followed

    kept = records.profile_versions(profile)
    if not kept:
        print(f"no version of {profile or 'any profile'} is kept yet: the file's limits hold")
    for name in dict.fromkeys(v.profile for v in kept):
        print(name)
        for change in history_of(records, name):
            since = "ever" if change.version.number == 1 else iso_utc(change.version.from_ms)
            print(f"  {change.version.version}  since {since}  by {change.by}: {change.reason}")
            for what, old, new in change.rows:
                print(f"      {what}: {old or '-'} -> {new or '-'}")
        if profile is not None:
            for row in [v for v in kept if v.profile == name][-1].body["limits"]:
                value = row.get("limit_c", row.get("limit"))
                print(
                    f"    {row['code']:16} {row['quantity']} {row['comparator']} {value} for {row['alarm_after_s']} s"
                )
    for name in sorted(not_followed(catalogue, kept)):
        print(f"note: the file of {name} says other limits; smile-iot gateway limits adopt {name} takes them over")
    return 0
