"""``smile-iot api``: the pages and the API."""

from __future__ import annotations

import argparse
import asyncio
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from smile_iot.parts import enrolment, records_url, store_config
from smile_iot.service import add_config_argument, serve, settings_of
from telemetry.clock import Clock
from telemetry.errors import ConfigError

if TYPE_CHECKING:
    from api.config import WasteIds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)


def waste_ids(file: Path | None) -> dict[str, WasteIds]:
    """SMILE's ids per class of waste; raises ConfigError. Without a file the weigh page registers no bags."""
    from api.config import WasteIds

    if file is None:
        return {}
    try:
        tables = tomllib.loads(file.read_text())
        return {name: WasteIds(**{k: int(v) for k, v in row.items()}) for name, row in tables.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError("api.waste_file", f"{file}: {error}") from error


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
        products_path=settings.path("alerts.products_file"),
        host=settings.text("api.host"),
        port=settings.number("api.port"),
        settings=Pages(
            secure_cookies=settings.switch("api.secure_cookies"),
            waste=waste_ids(settings.path("api.waste_file")),
            import_edge=settings.text("import.edge"),
        ),
        enrolment=enrolment(settings),
        cert_file=settings.text("api.cert_file"),
        key_file=settings.text("api.key_file"),
    )

    async def api(clock: Clock, stop: asyncio.Event) -> None:
        await service.run(config, clock, stop)

    return serve("api", settings.data_dir, api)
