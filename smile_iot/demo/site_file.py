"""The virtual site's registry as the TOML that ``smile-iot gateway load`` reads, and the edge's own file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smile_iot.demo.mosquitto import Mosquitto
from smile_iot.demo.scenario import LATE_LOGGER, LATE_ROOM, Scenario

SITE = "pkm-contoh"
REGION = "kab-contoh"
ZONE = "Asia/Jakarta"
OPERATOR, MANAGER, SUPER_ADMIN = "sari", "dewi", "rina"
PEOPLE = (OPERATOR, MANAGER, SUPER_ADMIN)
# Ids of the stand-in's seed (firmware_sim/smile_core/demo.toml), as a person would copy them from SMILE.
FACILITY_ID, SOURCE_ID, CLASSIFICATION_ID = 3101, 21, 31
ENTITY_ID = 12
LOGGER_IDS = {"BT-0001": 601, "BT-0002": 602, "RV-0001": 603, "MB-0001": 604}
SCALE_IDS = {"SC-0001": 4101, "SC-0002": 4102}
_NAMES = {"fridge-1": "Kulkas vaksin 1", "fridge-2": "Kulkas vaksin 2", "freezer-1": "Freezer vaksin"}
_DRIVERS = {"bthome": "bthome", "ruuvi": "ruuvi", "modbus": "modbus_probe", "scale_ascii": "scale_ascii"}
_DRIVERS |= {"mt_sics": "mt_sics"}


@dataclass(frozen=True, slots=True)
class Stock:
    """A batch as SMILE keeps it, and where it stands on the virtual site."""

    id: str
    kfa: str
    name: str
    number: str
    expires_on: str
    doses: int
    material_id: int
    stock_id: int
    doses_per_vial: int
    equipment: str


PENTABIO = Stock(
    "PB-2603", "93001284", "Pentabio (DTP-HB-Hib) 10 dosis", "PB-2603", "2028-03-31", 300, 8003, 2103, 10, "fridge-1"
)
HEPB = Stock("HB-2602", "93005477", "Hepatitis B Uniject", "HB-2602", "2028-02-28", 120, 8002, 2102, 1, "fridge-2")
BOPV = Stock("OPV-2601", "93004968", "bOPV 10 dosis", "OPV-2601", "2028-01-31", 200, 8001, 2101, 10, "freezer-1")
STOCKS = (PENTABIO, HEPB, BOPV)


def _table(kind: str, values: dict[str, Any]) -> str:
    def text(value: Any) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, int | float):
            return str(value)
        if isinstance(value, list):
            return "[" + ", ".join(text(v) for v in value) + "]"
        return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'

    bare = {"expires_on", "from", "tera_on", "e_kg", "max_kg", "calibrated_until"}
    lines = [f"{k} = {v if k in bare else text(v)}" for k, v in values.items() if v is not None]
    return f"[[{kind}]]\n" + "\n".join(lines) + "\n"


def site_toml(scenario: Scenario, edge: str, shard: str, stocks: tuple[Stock, ...], labels: list[str]) -> str:
    """The whole registry of the virtual site. People's passwords are in files beside the TOML."""
    parts = [
        _table(
            "site",
            {
                "id": SITE,
                "name": "Puskesmas Contoh",
                "region": REGION,
                "zone": ZONE,
                "shard": shard,
                "level": "puskesmas",
                "smile_entity_id": FACILITY_ID,
            },
        )
    ]
    for equipment in (e for e in scenario.equipment if e["id"] != LATE_ROOM):
        kind = "freezer" if str(equipment["id"]).startswith("freezer") else "refrigerator"
        row = {
            "id": equipment["id"],
            "site": SITE,
            "name": _NAMES[str(equipment["id"])],
            "kind": kind,
            "profile": kind,
        }
        parts.append(_table("equipment", row))
    known = (d for d in scenario.devices if d["serial"] != LATE_LOGGER)
    parts += [_table("device", _device_row(device, edge)) for device in known]
    parts += [_batch(stock) for stock in stocks]
    for code in labels:
        row = {"code": code, "site": SITE, "classification": "sharps", "waste_code": "A337-1", "color": "yellow"}
        parts.append(_table("bag", row | {"source_id": SOURCE_ID, "classification_id": CLASSIFICATION_ID}))
    for name, role, place in (
        (OPERATOR, "operator", {"site": SITE}),
        (MANAGER, "manager", {"region": REGION}),
        (SUPER_ADMIN, "super_admin", {}),
    ):
        row = {"name": name, "role": role, **place, "language": "id", "password_file": f"{name}.password"}
        if name == OPERATOR:
            row["contacts_file"] = f"{name}.contacts"
        parts.append(_table("user", row))
    return "\n".join(parts)


def _device_row(device: dict[str, Any], edge: str) -> dict[str, Any]:
    serial = str(device["serial"])
    row: dict[str, Any] = {"serial": serial, "site": SITE, "edge": edge, "driver": _DRIVERS[str(device["kind"])]}
    if serial in SCALE_IDS:
        row |= {"e_kg": device["e_kg"], "max_kg": device["capacity_kg"], "smile_scale_asset_id": SCALE_IDS[serial]}
        return row | {"tera_on": "2026-03-10"}
    return row | {"equipment": device["equipment"], "interval_s": device["interval_s"], "smile_serial": serial}


def _batch(stock: Stock) -> str:
    head = {
        "id": stock.id,
        "site": SITE,
        "product_kfa": stock.kfa,
        "product_name": stock.name,
        "batch_number": stock.number,
        "expires_on": stock.expires_on,
        "doses": stock.doses,
    }
    smile = {
        "program_id": 1,
        "entity_id": ENTITY_ID,
        "activity_id": 70,
        "entity_activity_id": 170,
        "material_id": stock.material_id,
        "stock_id": stock.stock_id,
        "doses_per_vial": stock.doses_per_vial,
        "temperature_sensitive": True,
    }
    inner = "\n".join(f"{k} = {str(v).lower() if isinstance(v, bool) else v}" for k, v in smile.items())
    return _table("batch", head) + f"[batch.smile]\n{inner}\n"


def edge_toml(
    scenario: Scenario, edge: str, shard: str, broker: Mosquitto, serial_ports: dict[str, str], outbox: Path, pi: Path
) -> str:
    """The settings of the virtual site's Pi: the same file as on a real one."""
    parts = [
        f'[edge]\nid = "{edge}"\nsite = "{SITE}"\nshard = "{shard}"\noutbox = "{outbox}"\n',
        f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\nusername = "{SITE}.{edge}"\n'
        f'password_file = "{pi / "password"}"\nupload_key_file = "{pi / "upload.key"}"\n'
        "receipt_timeout_s = 5.0\nreconnect_max_s = 2.0\n",
        "[ble]\nwatchdog_s = 20.0\nreconnect_max_s = 2.0\n",
    ]
    for device in scenario.devices:
        serial = str(device["serial"])
        row: dict[str, Any] = {"serial": serial, "driver": _DRIVERS[str(device["kind"])]}
        if "address" in device:
            row["address"] = device["address"]
        if serial in serial_ports:
            row["port"] = serial_ports[serial]
        if "interval_s" in device:
            row["interval_s"] = device["interval_s"]
        text = _table("device", row)
        if serial in SCALE_IDS:
            text += (
                f'e_kg = "{device["e_kg"]}"\nmax_kg = "{device["capacity_kg"]}"\nbasis = "gross"\nsilence_s = 5.0\n'
            )
        parts.append(text)
    made = "\n".join(parts)
    tomllib.loads(made)
    return made
