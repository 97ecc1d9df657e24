"""Negative controls: the same programs with one promise broken, to prove that the comparison can fail.

    python -m benchmarks.chaos.sabotage NAME smile_iot edge --config edge.toml

Each patch stands at an interface that does not change with the code behind it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any


def forget_on_puback() -> None:
    """The edge takes a PUBACK for a receipt, as most gateways do."""
    import aiomqtt

    from edge.outbox import SqliteOutbox
    from telemetry.contract import decode_upload

    boxes: list[SqliteOutbox] = []
    made, publish = SqliteOutbox.__init__, aiomqtt.Client.publish

    def remember(self: SqliteOutbox, *args: Any, **named: Any) -> None:
        made(self, *args, **named)
        boxes.append(self)

    async def publish_and_forget(self: aiomqtt.Client, topic: str, payload: Any = None, **named: Any) -> None:
        await publish(self, topic, payload, **named)
        if boxes and "/up/" in str(topic) and isinstance(payload, bytes):
            facts = decode_upload(payload).facts
            if facts:
                box = boxes[-1]
                for n in facts:
                    box._db.execute("DELETE FROM fact WHERE seq = ?", (n.seq,))

    SqliteOutbox.__init__ = remember  # type: ignore[method-assign]
    aiomqtt.Client.publish = publish_and_forget  # type: ignore[method-assign,assignment]


def journal_loses_one_in_five() -> None:
    """Ingest's journal says "on disk" and does not write every fifth entry: a receipt without the data."""
    from gateway.journal.sqlite import SqliteJournal

    really = SqliteJournal.append
    count = {"n": 0}

    def append(self: Any, entries: Sequence[Any]) -> int:
        kept = []
        for entry in entries:
            count["n"] += 1
            if count["n"] % 5:
                kept.append(entry)
        return really(self, kept)

    SqliteJournal.append = append  # type: ignore[method-assign,assignment]


def stamp_again_when_sent() -> None:
    """The edge dates a reading when it sends it: each re-sending is another reading."""
    from edge import uplink
    from telemetry import contract

    names = [n for n in dir(uplink) if n == "encode_upload"]
    really = contract.encode_upload

    def encode(upload: Any, *rest: Any, **named: Any) -> bytes:
        def again(n: Any) -> Any:
            t_ms = getattr(n.fact, "sampled_at_ms", None)
            return n if t_ms is None else replace(n, fact=replace(n.fact, sampled_at_ms=upload.sent_at_ms))

        return really(replace(upload, facts=tuple(again(n) for n in upload.facts)), *rest, **named)

    contract.encode_upload = encode
    for name in names:
        setattr(uplink, name, encode)


SABOTAGES = {f.__name__: f for f in (forget_on_puback, journal_loses_one_in_five, stamp_again_when_sent)}


def main() -> int:
    name, module, *words = sys.argv[1:]
    part = words[0]
    for_edge = name in ("forget_on_puback", "stamp_again_when_sent")
    if module == "smile_iot" and (part == "edge") == for_edge:
        SABOTAGES[name]()
    from smile_iot.__main__ import main as smile_iot

    return smile_iot(words)


if __name__ == "__main__":
    sys.exit(main())
