"""Settings: one table, one file, the environment; mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from smile_iot.settings import SETTINGS, load_settings, settings_table, to_toml
from telemetry.errors import ConfigError


def test_the_manual_lists_exactly_the_settings_there_are() -> None:
    page = (Path(__file__).parents[2] / "docs/settings.md").read_text()
    assert settings_table() in page


def test_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('[mqtt]\nhost = "broker"\nport = 8883\n')
    settings = load_settings(file, {"SMILE_IOT_MQTT_PORT": "1884"})
    assert (settings.text("mqtt.host"), settings.number("mqtt.port")) == ("broker", 1884)
    assert settings.text("store.kind") == "sqlite"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[mqtt]\nhots = 'x'\n", "mqtt.hots"),
        ("[mqtt]\nport = 'x'\n", "mqtt.port"),
        ("port = 1\n", "outside any table"),
        ("[mqtt", "server.toml"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "server.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_settings(file, {})


def test_a_secret_comes_from_the_file_that_the_setting_names(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("word\n")
    settings = load_settings(None, {"SMILE_IOT_MQTT_PASSWORD_FILE": str(tmp_path / "pw")})
    assert settings.secret("mqtt.password_file") == "word"
    with pytest.raises(ConfigError, match="cannot read"):
        load_settings(None, {"SMILE_IOT_MQTT_PASSWORD_FILE": str(tmp_path / "no")}).secret("mqtt.password_file")


def test_what_to_toml_writes_load_settings_reads(tmp_path: Path) -> None:
    values = {s.key: s.default for s in SETTINGS} | {"mqtt.host": 'a "b" \\ c', "api.secure_cookies": True}
    file = tmp_path / "server.toml"
    file.write_text(to_toml(values))
    assert load_settings(file, {}).values == values
