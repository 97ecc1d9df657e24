"""From settings to the parts: one function per neighbour or store, so that each is named once."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from smile_iot.settings import Settings
from telemetry.errors import ConfigError

_SHARD = re.compile(r"[A-Za-z0-9_.\-]{1,64}")

if TYPE_CHECKING:
    from alerts.config import Config as AlertsConfig
    from alerts.manners import Manners
    from api.config import Enrolment
    from gateway.records import Records
    from ingest.config import Config as IngestConfig
    from ingest.config import StoreConfig


_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _with_password(url: str, password: str) -> str:
    """``scheme://user@host/db`` with the password put in; other URLs as they are."""
    scheme, separator, rest = url.partition("://")
    user, at, host = rest.partition("@")
    if not (password and separator and at) or ":" in user:
        return url
    return f"{scheme}://{user}:{quote(password, safe='')}@{host}"


def records_url(settings: Settings) -> str:
    url = settings.text("records.url")
    if not url:
        return str(settings.data_dir / "records.db")
    return _with_password(url, settings.secret("records.password_file"))


def journal_url(settings: Settings) -> str:
    url = settings.text("journal.url")
    if not url:
        return str(settings.data_dir / "journal.db")
    return _with_password(url, settings.secret("records.password_file"))


def never_ran(path: Path, what: str) -> ConfigError:
    """The refusal of a command that only looks, where nothing is to be looked at: "nothing waits" would be a false calm."""
    return ConfigError(
        "server.data_dir", f"no {path}: {what} never ran here", advice="name the server's settings with --config"
    )


def open_kept_records(settings: Settings) -> Records:
    """The records, which must be there already; raises ConfigError where they are a file that nobody made."""
    url = records_url(settings)
    if "://" not in url and not Path(url).exists():
        raise never_ran(Path(url), "the server")
    return open_records(settings)


def open_records(settings: Settings) -> Records:
    from gateway.records import open_records

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    return open_records(records_url(settings))


def enrolment(settings: Settings) -> Enrolment | None:
    """What a new edge is told, or None where this server enrols none; raises ConfigError."""
    from api.config import Enrolment
    from gateway.broker_accounts import BrokerFiles

    host = settings.text("enrol.broker_host")
    if not host:
        return None

    def named(key: str) -> Path:
        path = settings.path(key)
        if path is None:
            raise ConfigError(key, "is needed where edges are enrolled (enrol.broker_host)")
        return path

    ca = settings.secret("enrol.broker_ca_file") or settings.secret("mqtt.ca_file")
    return Enrolment(
        server_url=settings.text("api.public_url"),
        broker_host=host,
        broker_port=settings.number("enrol.broker_port"),
        broker_tls=bool(ca) or host not in _LOOPBACK,
        broker_ca=f"{ca}\n" if ca else "",
        server_ca=settings.secret("enrol.server_ca_file"),
        import_edge=settings.text("import.edge"),
        files=BrokerFiles(
            passwords=named("broker.passwords_file"),
            acl=named("broker.acl_file"),
            base_passwords=named("broker.base_passwords_file"),
            base_acl=named("broker.base_acl_file"),
            pid_file=settings.path("broker.pid_file"),
        ),
    )


def store_config(settings: Settings) -> StoreConfig:
    from ingest.config import StoreConfig, StoreKind

    try:
        kind = StoreKind(settings.text("store.kind"))
    except ValueError as error:
        raise ConfigError("store.kind", f"{settings.text('store.kind')!r} is neither sqlite nor influx") from error
    return StoreConfig(
        kind=kind,
        path=settings.data_dir / "store.db",
        url=settings.text("store.influx_url"),
        org=settings.text("store.influx_org"),
        bucket=settings.text("store.influx_bucket"),
        token=settings.secret("store.influx_token_file"),
        index_path=settings.data_dir / "influx_index.db",
    )


def alerts_config(settings: Settings) -> AlertsConfig:
    from alerts.config import Config

    profiles, products = settings.path("alerts.profiles_file"), settings.path("alerts.products_file")
    return Config(
        memory_path=settings.data_dir / "alerts.db",
        profiles_files=(profiles,) if profiles else (),
        products_files=(products,) if products else (),
        public_url=settings.text("api.public_url"),
        held_back_s=settings.number("alerts.held_back_s"),
    )


def manners_of(settings: Settings) -> Manners:
    """How this installation tells people of alarms; what a profile says of messages goes before the settings."""
    from alerts.manners import Manners
    from alerts.profiles import load_profiles

    profiles = load_profiles(*alerts_config(settings).profiles_files).values()
    return Manners(
        past_after_s=settings.number("alerts.past_after_h") * 3600,
        night_from_h=settings.number("alerts.night_from_h"),
        night_to_h=settings.number("alerts.night_to_h"),
        flap_delay_s=settings.number("alerts.flap_delay_s"),
        next_after_s=settings.number("alerts.next_person_after_s"),
        hysteresis_c=degrees_setting("alerts.hysteresis_c", settings.text("alerts.hysteresis_c")),
        of_profile={p.id: p.hysteresis_c for p in profiles if p.hysteresis_c is not None},
    )


def ledger_files(settings: Settings) -> list[Path]:
    """The ledger of every shard that this machine's ingest keeps or kept."""
    return sorted(settings.data_dir.glob("ledger*.db")) or [settings.data_dir / "ledger.db"]


def shards(settings: Settings) -> tuple[list[str], list[str]]:
    """(shards to own, shards to take over); raises ConfigError for what cannot stand in a topic."""
    own, spare = (_names(settings, key) for key in ("server.shard", "server.spare_shards"))
    if not own and not spare:
        raise ConfigError("server.shard", "is empty", advice='name the shard of your sites, such as "s0"')
    if "+" in own and len(own) + len(spare) > 1:
        raise ConfigError("server.shard", '"+" is all shards and stands alone')
    return own, [name for name in spare if name not in own]


def _names(settings: Settings, key: str) -> list[str]:
    names = [name.strip() for name in settings.text(key).split(",") if name.strip()]
    for name in names:
        if name != "+" and not _SHARD.fullmatch(name):
            raise ConfigError(key, f"{name!r} cannot be a shard", advice="letters, digits, _ . - and at most 64")
    return list(dict.fromkeys(names))


def ingest_configs(settings: Settings) -> dict[str, IngestConfig]:
    """The configuration of each shard's worker. One shard keeps the ledger it always had; each of several its own."""
    own, spare = shards(settings)
    names = [*own, *spare]
    if len(names) == 1:
        return {names[0]: replace(ingest_config(settings), shard=names[0])}
    return {
        name: replace(
            ingest_config(settings), shard=name, ledger_path=settings.data_dir / f"ledger-{name}.db", poll_s=0.1
        )
        for name in names
    }


def ingest_config(settings: Settings) -> IngestConfig:
    from ingest.config import BrokerConfig, Config

    return Config(
        journal=journal_url(settings),
        ledger_path=settings.data_dir / "ledger.db",
        broker=BrokerConfig(
            host=settings.text("mqtt.host"),
            port=settings.number("mqtt.port"),
            username=settings.text("mqtt.username") or None,
            password=settings.secret("mqtt.password_file") or None,
            ca_file=settings.text("mqtt.ca_file") or None,
        ),
        store=store_config(settings),
        linger_s=settings.number("ingest.linger_ms") / 1000,
        receipt_linger_s=settings.number("ingest.receipt_linger_s"),
    )


def degrees_setting(key: str, text: str) -> Decimal:
    """A width in degrees, 0 or more; raises ConfigError."""
    try:
        degrees = Decimal(text)
    except InvalidOperation as error:
        raise ConfigError(key, f"{text!r} is not a number", advice='write degrees as "0.5"') from error
    if not degrees.is_finite() or degrees < 0:
        raise ConfigError(key, f"{text!r} is no width in degrees", advice='write degrees as "0.5"')
    return degrees
