"""``smile-iot smile``: hand temperatures, discards and weights to the SMILE core."""

from __future__ import annotations

import argparse
import asyncio
import logging
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from smile_iot.parts import journal_url, records_url
from smile_iot.service import add_config_argument, serve, settings_of
from smile_iot.settings import Settings
from telemetry.clock import Clock
from telemetry.errors import ConfigError

if TYPE_CHECKING:
    from gateway.smile.config import Config

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)


def smile_config(settings: Settings) -> Config:
    """The adapter's settings; raises ConfigError."""
    from gateway.smile.client import Account
    from gateway.smile.config import Config
    from gateway.smile.items import Assumed

    humidity = settings.text("smile.assumed_humidity_percent")
    try:
        assumed = Assumed(humidity_percent=Decimal(humidity))
    except InvalidOperation as error:
        raise ConfigError("smile.assumed_humidity_percent", f"{humidity!r} is not a number") from error
    return Config(
        core_url=settings.text("smile.core_url"),
        main_url=settings.text("smile.main_url"),
        wms_url=settings.text("smile.wms_url"),
        account=Account("gateway", settings.text("smile.username"), settings.secret("smile.password_file")),
        program_id=settings.number("smile.program_id"),
        outbox_path=settings.data_dir / "smile.db",
        token_dir=settings.data_dir / "smile-tokens",
        journal=journal_url(settings),
        records=records_url(settings),
        resend_uncertain=settings.switch("smile.resend_uncertain"),
        assumed=assumed,
    )


def run(args: argparse.Namespace) -> int:
    from gateway.smile import service

    settings = settings_of(args)
    config = smile_config(settings) if settings.text("smile.core_url") else None

    async def smile(clock: Clock, stop: asyncio.Event) -> None:
        if config is None:
            log.warning("smile.core_url is not set: nothing is sent to SMILE")
            await stop.wait()
            return
        await service.run(config, clock, stop)

    return serve("smile", settings.data_dir, smile)
