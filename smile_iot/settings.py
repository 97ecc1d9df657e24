"""All settings of the server side: one table, one TOML file, and the environment.

``SETTINGS`` is the one place where a setting is named, typed, given its default and explained; ``docs/settings.md``
is printed from it (a test keeps them equal). A value comes from the environment (``SMILE_IOT_MQTT_HOST`` for
``mqtt.host``), else from the file, else from the default. Secrets are never settings: a setting names the
file that holds one. An unknown key is an error, so that a typing mistake is not a silent default.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from telemetry.errors import ConfigError

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. ``default`` gives the type; "" for a path or text that may be left out."""

    key: str
    default: Value
    meaning: str

    @property
    def environment(self) -> str:
        return "SMILE_IOT_" + self.key.upper().replace(".", "_")


SETTINGS: tuple[Setting, ...] = (
    Setting("server.data_dir", "var", "folder of the embedded files: journal, store, records, outbox to SMILE"),
    Setting("server.shard", "s0", "shard of sites that this machine's ingest owns; several: `s1,s2`"),
    Setting(
        "server.spare_shards", "", "shards that it takes over when their worker is gone (one machine, or PostgreSQL)"
    ),
    Setting("mqtt.host", "127.0.0.1", "broker's host name"),
    Setting("mqtt.port", 1883, "broker's port"),
    Setting("mqtt.username", "ingest", "ingest's account at the broker"),
    Setting("mqtt.password_file", "", "file with that account's password"),
    Setting("mqtt.ca_file", "", "CA certificate of the broker; empty: no TLS (loopback only)"),
    Setting("journal.url", "", "postgresql://... of the journal; empty: SQLite in the data folder"),
    Setting(
        "journal.keep_days", 30, "days after which an entry goes that every reader has passed (edges keep six months)"
    ),
    Setting(
        "ingest.linger_ms",
        0,
        "ms within which a message that waits for others is to be stored: the disk is written less often",
    ),
    Setting(
        "ingest.receipt_linger_s", 3600, "seconds that the receipt of an upload which says it may wait is held back"
    ),
    Setting("records.url", "", "SQLAlchemy URL of the records; empty: SQLite in the data folder"),
    Setting(
        "records.password_file", "", "file with the database password that records.url and journal.url leave out"
    ),
    Setting("store.kind", "sqlite", "time series: sqlite or influx"),
    Setting("store.influx_url", "http://127.0.0.1:8086", "InfluxDB's address (1.x behind a rewrite, 2.x, 3.x)"),
    Setting("store.influx_org", "smile-iot", "InfluxDB organisation"),
    Setting("store.influx_bucket", "smile_iot", "InfluxDB bucket, or database/retention policy"),
    Setting("store.influx_token_file", "", "file with InfluxDB's token (1.x: user:password)"),
    Setting(
        "ingest.require_edge_keys",
        False,
        "an edge that was never enrolled is not heard (an enrolled one must always sign)",
    ),
    Setting("enrol.broker_host", "", "the broker's name as the Pis reach it; empty: this server enrols no edges"),
    Setting("enrol.broker_port", 8883, "the broker's port as the Pis reach it"),
    Setting("enrol.broker_ca_file", "", "CA certificate of the broker for the Pis; empty: that of mqtt.ca_file"),
    Setting(
        "enrol.server_ca_file",
        "",
        "CA certificate of api.public_url, whose pin goes with each code; empty: a public authority's",
    ),
    Setting("broker.passwords_file", "", "password file of the broker, written by api from the records"),
    Setting("broker.acl_file", "", "ACL file of the broker, written by api from the records"),
    Setting("broker.base_passwords_file", "", "password file with the accounts that are no edges (ingest, import)"),
    Setting("broker.base_acl_file", "", "ACL file of those accounts (deploy/mosquitto/acl)"),
    Setting(
        "broker.pid_file",
        "",
        "the broker's pid, to be sent SIGHUP after a change; empty: it watches its files (deploy/mosquitto/run)",
    ),
    Setting("import.edge", "import", "edge id under which `smile-iot import` sends a logger's file"),
    Setting("import.username", "import", "its account at the broker"),
    Setting("import.password_file", "", "file with that account's password"),
    Setting("smile.core_url", "", "SMILE core's base address; empty: nothing is sent to SMILE"),
    Setting("smile.main_url", "", "SMILE main's base address"),
    Setting("smile.wms_url", "", "SMILE WMS's base address"),
    Setting("smile.username", "", "our account of manager role at SMILE"),
    Setting("smile.password_file", "", "file with that account's password"),
    Setting("smile.program_id", 1, "x-program-id (1 is immunization)"),
    Setting(
        "smile.assumed_humidity_percent", "60", "humidity sent where a logger has no such sensor; marked as assumed"
    ),
    Setting("smile.resend_uncertain", False, "send again what may have been stored when its answer was lost"),
    Setting("api.host", "127.0.0.1", "address the pages listen on"),
    Setting("api.port", 8080, "port of the pages"),
    Setting("api.cert_file", "", "certificate for HTTPS without a proxy (PEM); empty: plain HTTP behind a TLS proxy"),
    Setting("api.key_file", "", "that certificate's key"),
    Setting("api.secure_cookies", False, "set the Secure mark on cookies (behind TLS: true)"),
    Setting("api.public_url", "http://127.0.0.1:8080", "address people see, used in messages"),
    Setting(
        "api.waste_file", "", "TOML: SMILE's source_id and classification_id per class of waste (deploy/waste.toml)"
    ),
    Setting(
        "alerts.products_file", "", "TOML of vaccines whose rows go before the built-in ones (alerts/products.toml)"
    ),
    Setting("alerts.profiles_file", "", "TOML of profiles in place of the built-in ones"),
    Setting("alerts.night_from_h", 21, "hour of the site's clock from which only what goes on is told"),
    Setting(
        "alerts.night_to_h", 7, "hour at which the night ends; the same hour as its beginning: there is no night"
    ),
    Setting(
        "alerts.past_after_h", 6, "hours after its end an episode is past: found later than that, it is told by day"
    ),
    Setting(
        "alerts.flap_delay_s", 0, "seconds a message waits, and within which an episode that comes back is the same"
    ),
    Setting(
        "alerts.hysteresis_c",
        "0",
        "degrees; came the value back by less since an alarm that waits for an answer, the next is told in the morning's list; "
        "a profile's own `hysteresis_c` goes before it",
    ),
    Setting(
        "alerts.next_person_after_s", 1800, "seconds without an answer after which the people of the region are told"
    ),
    Setting(
        "alerts.held_back_s",
        0,
        "seconds for which edges hold calm readings back (the largest mqtt.flush_after_s): silence is told so much later",
    ),
)
_BY_KEY = {s.key: s for s in SETTINGS}
# What else of ours may stand in the environment: the clock of a demo, and what tests and deploy scripts are told.
_ENVIRONMENT = {s.environment for s in SETTINGS} | {
    "SMILE_IOT_CLOCK",
    "SMILE_IOT_EXAMPLES",
}
_KINDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked values, asked by key: ``settings.text("mqtt.host")``."""

    values: Mapping[str, Value]

    def text(self, key: str) -> str:
        return str(self.values[key])

    def number(self, key: str) -> int:
        return int(self.values[key])

    def switch(self, key: str) -> bool:
        return bool(self.values[key])

    def path(self, key: str) -> Path | None:
        text = self.text(key)
        return Path(text) if text else None

    @property
    def data_dir(self) -> Path:
        return Path(self.text("server.data_dir"))

    def secret(self, key: str) -> str:
        """What the file named by ``key`` holds, without its last newline; "" when the setting is empty."""
        path = self.path(key)
        if path is None:
            return ""
        try:
            return path.read_text().strip()
        except OSError as error:
            raise ConfigError(
                key, f"cannot read {path}", advice="check that the file is there and readable"
            ) from error


def load_settings(file: Path | None, environment: Mapping[str, str]) -> Settings:
    """Defaults, then the file, then the environment; raises ConfigError that names the setting."""
    values: dict[str, Value] = {s.key: s.default for s in SETTINGS}
    if file is not None:
        values |= _from_file(file)
    for setting in SETTINGS:
        if setting.environment in environment:
            values[setting.key] = _from_text(setting, environment[setting.environment])
    for name in environment:
        if name.startswith("SMILE_IOT_") and name not in _ENVIRONMENT:
            raise ConfigError(name, "is not a setting", advice="smile-iot settings lists them all")
    for key in ("mqtt.port", "api.port", "enrol.broker_port"):
        if not 1 <= int(values[key]) <= 65535:
            raise ConfigError(key, f"{values[key]} is no port: 1 to 65535")
    return Settings(values)


def _from_file(file: Path) -> dict[str, Value]:
    try:
        tables = tomllib.loads(file.read_text())
    except OSError as error:
        raise ConfigError("--config", f"cannot read {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("--config", f"{file} is not TOML: {error}") from error
    found: dict[str, Value] = {}
    for table, keys in tables.items():
        if not isinstance(keys, dict):
            raise ConfigError(table, "stands outside any table", advice="write [mqtt] and below it host = ...")
        for name, value in keys.items():
            key = f"{table}.{name}"
            if key not in _BY_KEY:
                raise ConfigError(key, "is not a setting", advice="smile-iot settings lists them all")
            if type(value) is not type(_BY_KEY[key].default):
                raise ConfigError(key, f"{value!r} is not {_KINDS[type(_BY_KEY[key].default)]}")
            found[key] = value
    return found


_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _from_text(setting: Setting, text: str) -> Value:
    kind: Callable[[str], Value] = type(setting.default)
    try:
        return _WORDS[text.lower()] if isinstance(setting.default, bool) else kind(text)
    except (KeyError, ValueError) as error:
        raise ConfigError(setting.environment, f"{text!r} is not {_KINDS[type(setting.default)]}") from error


def settings_table() -> str:
    """The Markdown table of ``docs/settings.md``."""
    rows = ["| setting | default | environment | meaning |", "|---|---|---|---|"]
    for s in SETTINGS:
        default = (
            f"`{str(s.default).lower() if isinstance(s.default, bool) else s.default}`" if s.default != "" else ""
        )
        rows.append(f"| `{s.key}` | {default} | `{s.environment}` | {s.meaning} |")
    return "\n".join(rows) + "\n"


def to_toml(values: Mapping[str, Value]) -> str:
    """Write values as the TOML that ``load_settings`` reads (for the demo and the tests)."""
    tables: dict[str, list[str]] = {}
    for key, value in values.items():
        table, name = key.split(".", 1)
        text = str(value).lower() if isinstance(value, bool) else value if isinstance(value, int | float) else None
        if text is None:
            text = '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
        tables.setdefault(table, []).append(f"{name} = {text}")
    return "\n".join(f"[{table}]\n" + "\n".join(lines) + "\n" for table, lines in tables.items())
