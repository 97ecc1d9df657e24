"""Settings: the example file is complete and true; mistakes are named."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from edge import config
from telemetry.errors import ConfigError

EXAMPLE = Path(config.__file__).with_name("edge.example.toml")
EDGE: dict[str, Any] = {"id": "E1", "site": "PKM-1"}
SCALE: dict[str, Any] = {"serial": "SC-1", "driver": "scale_ascii", "port": "/dev/ttyX"}


def test_the_example_file_loads() -> None:
    loaded = config.load(EXAMPLE)
    assert [d.driver for d in loaded.devices] == ["bthome", "scale_ascii"]
    assert loaded.devices[1].e_kg == Decimal("0.05")
    assert loaded.address.up("readings") == "smile-iot/v1/s0/PKM-0001/E1/up/readings"


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ("edge", config.EdgeSettings),
        ("mqtt", config.MqttSettings),
        ("ble", config.BleSettings),
        ("device", config.DeviceSettings),
    ],
)
def test_the_example_shows_every_setting_with_its_default(table: str, kind: type[Any]) -> None:
    section = re.split(r"^\[+\w+\]+$", EXAMPLE.read_text(), flags=re.M)
    names = re.findall(r"^\[+(\w+)\]+$", EXAMPLE.read_text(), flags=re.M)
    text = "\n".join(body for name, body in zip(names, section[1:], strict=True) if name == table)
    for spec in dataclasses.fields(kind):
        line = re.search(rf"^(# )?{spec.name} = *(.*)$", text, flags=re.M)
        assert line, f"{table}.{spec.name} is not in {EXAMPLE.name}"
        if line[1] and spec.default is not None:
            value = tomllib.loads(f"v = {line[2]}")["v"]
            wanted = str(spec.default) if isinstance(spec.default, Decimal) else spec.default
            assert value == wanted, f"{table}.{spec.name}"


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"edge": {"id": "E1"}}, "edge.site"),
        ({"edge": EDGE | {"sitte": 1}}, "edge.sitte"),
        ({"edge": EDGE, "mqt": {}}, "mqt"),
        ({"edge": EDGE, "mqtt": {"port": "1883"}}, "mqtt.port"),
        ({"edge": EDGE, "mqtt": {"port": True}}, "mqtt.port"),
        ({"edge": {"id": "E/1", "site": "P"}}, "edge"),
        ({"edge": EDGE | {"quota_days": -1}}, "edge.quota_days"),
        ({"edge": EDGE | {"commit_after_s": -1}}, "edge.commit_after_s"),
        ({"edge": EDGE, "limits": {"temprature_c": ["2", "8"]}}, "limits.temprature_c"),
        ({"edge": EDGE, "limits": {"temperature_c": ["8", "2"]}}, "limits.temperature_c"),
        ({"edge": EDGE, "limits": {"temperature_c": [2.5, 8]}}, "limits.temperature_c"),
        ({"edge": EDGE, "limits": {"F-1/temperature_c": "-20"}}, "limits.F-1/temperature_c"),
        ({"edge": EDGE, "device": {}}, "device"),
        ({"edge": EDGE, "device": [SCALE, SCALE]}, "device[1].serial"),
        ({"edge": EDGE, "device": [SCALE | {"e_kg": 0.05}]}, "device[0].e_kg"),
        ({"edge": EDGE, "device": [SCALE | {"e_kg": "0.0005"}]}, "device[0].e_kg"),  # a message has three decimals
        ({"edge": EDGE, "device": [SCALE | {"driver": "bthme"}]}, "device[0].driver"),
        ({"edge": EDGE, "device": [SCALE | {"driver": "bthome"}]}, "device[0].address"),
        ({"edge": EDGE, "device": [{"serial": "S", "driver": "scale_ascii"}]}, "device[0].port"),
        ({"edge": EDGE, "device": [SCALE | {"basis": "gros"}]}, "device[0].basis"),
        ({"edge": EDGE, "device": [{"serial": "R", "driver": "ruuvi", "address": "A"}]}, "device[0].interval_s"),
    ],
)
def test_a_mistake_is_named(body: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(body)
    assert caught.value.key == key


def test_limits_of_a_stream_stand_beside_the_defaults() -> None:
    limits = config.parse({"edge": EDGE, "limits": {"F-1/temperature_c": ["-25.5", -15]}}).limits
    assert limits.of("F-1/temperature_c") == (Decimal("-25.5"), Decimal(-15))
    assert limits.of("F-2/temperature_c") == (Decimal(2), Decimal(8))
    assert limits.of("F-2/rssi_dbm") is None


def test_a_file_that_is_missing_or_no_toml_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        config.load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[edge")
    with pytest.raises(ConfigError, match="not TOML"):
        config.load(tmp_path / "bad.toml")
