"""``smile-iot report SITE``: the figures of a site's month or days, the same as on the report's page.

Exit codes: 0 told, 2 called or set up wrongly.
"""

from __future__ import annotations

import argparse
import json

from smile_iot.service import add_config_argument, settings_of
from telemetry.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("site", metavar="SITE", help="the site's id")
    parser.add_argument("--month", default="", metavar="YYYY-MM", help="the month (the one that runs)")
    parser.add_argument(
        "--from", dest="first", default="", metavar="DAY", help="instead: the first day, as 2026-11-01"
    )
    parser.add_argument("--to", dest="last", default="", metavar="DAY", help="the last day; at most 92 days in all")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON: durations in whole ms")
    form.add_argument("--csv", action="store_true", help="print CSV, a figure a line: durations in minutes")
    parser.add_argument("--language", choices=("id", "en"), default="id", help="language of the text (id)")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    from alerts.rulebook import rules_of
    from api.report_out import as_csv, as_json
    from api.report_words import as_text
    from api.reports import PeriodError, period_of, read_report
    from api.words import Words
    from gateway.records import UnknownRecord
    from ingest.store import open_store
    from smile_iot.parts import alerts_config, open_kept_records, store_config
    from telemetry.clock import clock_from_environment

    if args.month and (args.first or args.last):
        raise ConfigError("--month", "a month, or --from and --to, not both")
    settings = settings_of(args)
    now_ms = clock_from_environment().now_ms()
    with open_kept_records(settings) as records:
        try:
            site = records.site(args.site)
            period = period_of(site.zone, now_ms, args.month, args.first, args.last)
        except UnknownRecord as error:
            raise ConfigError("SITE", f"{args.site!r} is not registered") from error
        except PeriodError as error:
            raise ConfigError("--month", str(error)) from error
        store = open_store(store_config(settings), read_only=True)
        try:
            made = read_report(records, store, rules_of(alerts_config(settings)).catalogue, site, period)
        finally:
            store.close()
    if args.json:
        print(json.dumps(as_json(made), indent=2))
    elif args.csv:
        print(as_csv(made), end="")
    else:
        print(as_text(Words(args.language), made))
    return 0
