"""The uplink over TLS: the broker's certificate is checked."""

from __future__ import annotations

import asyncio
from typing import Any

import aiomqtt
import pytest

from edge.config import MqttSettings
from edge.outbox import MemoryOutbox
from edge.supervisor import Outage
from edge.uplink import Uplink
from telemetry.topics import EdgeAddress

pytestmark = pytest.mark.neighbour("mosquitto, openssl")


async def connects(settings: MqttSettings, clock: Any) -> bool:
    """Whether a hello went out and was acknowledged."""
    outage = Outage("broker")
    uplink = Uplink(EdgeAddress("s0", "P", "E1"), settings, clock, MemoryOutbox(), outage)
    task = asyncio.create_task(uplink.run())
    done, _ = await asyncio.wait({task}, timeout=1.5)
    if not done:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return outage.reason is None
    with pytest.raises((aiomqtt.MqttError, OSError)):
        task.result()
    return False


def test_tls_with_the_right_authority_only(tls_broker: Any, clock: Any) -> None:
    broker = tls_broker
    common = {
        "host": "127.0.0.1",
        "port": broker.port,
        "username": "edge",
        "password_file": str(broker.password_file),
    }
    right = MqttSettings(**common, tls=True, ca_file=str(broker.folder / "cert.pem"))
    assert asyncio.run(connects(right, clock))
    assert not asyncio.run(connects(MqttSettings(**common, tls=True), clock))
