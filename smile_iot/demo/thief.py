"""Who holds an edge's account and password, and nothing else: one message over MQTT."""

from __future__ import annotations

import threading
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from telemetry.errors import NeighbourDownError

_PATIENCE_S = 10.0


def publish(port: int, account: str, password: str, topic: str, payload: bytes) -> None:
    """Publish one message at the broker on this machine; acknowledged at return. Raises NeighbourDownError."""
    let_in = threading.Event()

    def connected(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if not reason.is_failure:
            let_in.set()

    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="thief")
    client.username_pw_set(account, password)
    client.on_connect = connected
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        if not let_in.wait(_PATIENCE_S):
            raise NeighbourDownError("broker", f"does not let {account} in")
        client.publish(topic, payload, qos=1).wait_for_publish(_PATIENCE_S)
    finally:
        client.disconnect()
        client.loop_stop()
