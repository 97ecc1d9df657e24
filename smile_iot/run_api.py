"""``smile-iot api``: the pages and the API."""

from __future__ import annotations

import argparse
import asyncio

from smile_iot.parts import records_url, store_config
from smile_iot.service import add_config_argument, serve, settings_of
from telemetry.clock import Clock


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    from api import service
    from api.config import Config
    from api.config import Settings as Pages

    settings = settings_of(args)
    config = Config(
        records=records_url(settings),
        store=store_config(settings),
        ledger_path=settings.data_dir / "ledger.db",
        profiles_path=settings.path("alerts.profiles_file"),
        host=settings.text("api.host"),
        port=settings.number("api.port"),
        settings=Pages(secure_cookies=settings.switch("api.secure_cookies")),
    )

    async def api(clock: Clock, stop: asyncio.Event) -> None:
        await service.run(config, clock, stop)

    return serve("api", settings.data_dir, api)
