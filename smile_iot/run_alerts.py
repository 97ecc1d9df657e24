"""``smile-iot alerts``: judge the readings, keep the verdicts, tell people."""

from __future__ import annotations

import argparse
import asyncio

from smile_iot.parts import alerts_config, journal_url, manners_of, open_records
from smile_iot.service import add_config_argument, serve, settings_of
from telemetry.clock import Clock


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    from alerts import channels, service
    from alerts.notify import Notifier
    from alerts.recovery import MemoryValues
    from alerts.told import read_amendments
    from api.words import LANGUAGES, Words
    from gateway.journal import open_journal

    settings = settings_of(args)
    config = alerts_config(settings)
    words = {language: Words(language) for language in LANGUAGES}

    async def alerts(clock: Clock, stop: asyncio.Event) -> None:
        journal = open_journal(journal_url(settings))
        try:
            with open_records(settings) as records:
                notifier = Notifier(
                    records,
                    clock,
                    dict(words),
                    lambda ms, zone, language: words[language].time(ms, zone),
                    config.public_url,
                    channels.send,
                    manners_of(settings),
                    MemoryValues(config.memory_path, lambda stream: read_amendments(records, (stream,))),
                    stop.is_set,
                )
                await service.run(config, clock, journal, records, notifier, stop)
        finally:
            journal.close()

    return serve("alerts", settings.data_dir, alerts)
