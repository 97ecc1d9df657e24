"""MQTT topics: ``smile-iot/v1/{shard}/{site}/{edge}/up/{kind}`` and ``.../down/{receipt|request}``.

Workers own shards; no shared subscriptions, since they break the order of a site (data-path.md 3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from telemetry.errors import ContractError

ROOT = "smile-iot/v1"
UP_KINDS = ("readings", "events", "weighings", "hello")
DOWN_KINDS = ("receipt", "request")
_LEVEL = re.compile(r"[A-Za-z0-9_.\-]{1,64}")


@dataclass(frozen=True, slots=True)
class EdgeAddress:
    """Where an edge lives: shard, site and edge id."""

    shard: str
    site: str
    edge: str

    def __post_init__(self) -> None:
        for level in (self.shard, self.site, self.edge):
            if not _LEVEL.fullmatch(level):
                raise ContractError("bad_topic", f"{level!r} cannot stand in a topic")

    def up(self, kind: str) -> str:
        if kind not in UP_KINDS:
            raise ContractError("bad_topic", f"unknown kind {kind!r}")
        return f"{ROOT}/{self.shard}/{self.site}/{self.edge}/up/{kind}"

    def down(self, kind: str) -> str:
        if kind not in DOWN_KINDS:
            raise ContractError("bad_topic", f"unknown kind {kind!r}")
        return f"{ROOT}/{self.shard}/{self.site}/{self.edge}/down/{kind}"


def subscription(shard: str = "+") -> str:
    """The filter by which ingest hears all edges of one shard."""
    return f"{ROOT}/{shard}/+/+/up/+"


def parse_up(topic: str) -> tuple[EdgeAddress, str]:
    """(address, kind) of an upload's topic; raises ContractError("bad_topic")."""
    parts = topic.split("/")
    if len(parts) != 7 or "/".join(parts[:2]) != ROOT or parts[5] != "up" or parts[6] not in UP_KINDS:
        raise ContractError("bad_topic", topic[:200])
    return EdgeAddress(parts[2], parts[3], parts[4]), parts[6]
