"""The Pi: sources (BLE, serial, Modbus) -> decoders (pure) -> outbox (durable) -> uplink (MQTT).

Imports ``telemetry``, the standard library and the ``edge`` extra only; no server dependency is loaded.
Start reading at ``edge.service``.
"""
