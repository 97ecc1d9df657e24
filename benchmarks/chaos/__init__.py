"""The kill campaign: the whole line as real processes, faults at random times from a seed, and the store compared with
the simulator's own ``produced.ndjson``, reading by reading. ``docs/proof.md`` says how to run and to read it.

    devices ─ pty, D-Bus ▶ EDGE ─▶ proxy ─▶ BROKER ─▶ proxy ─▶ INGEST ─▶ journal ─▶ store (SQLite, or InfluxDB by a proxy)
       └─ produced.ndjson                                                             │
                └──────────────────────────────── judge ◀────────────────────────────┘
"""
