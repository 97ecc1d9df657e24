"""Whatever link, server and process do: in the end SMILE holds each reading exactly once (duties 9, 10, 17)."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from decimal import Decimal

import pytest

SEVEN_HOURS = 7 * 3_600_000
MINUTE = 60_000
FAULTS = ("lost_answer", "cut", "error_500", "error_503")


def life(world, rng):
    """A process of the adapter lives for a few rounds; now and then it is killed around a push."""

    async def main():
        async with world.service() as service:
            push = service._door.push

            async def dangerous(items):
                if rng.random() < 0.2:
                    raise KeyboardInterrupt  # marked as sent, never left
                results = await push(items)
                if rng.random() < 0.2:
                    raise KeyboardInterrupt  # answered, never written down
                return results

            service._door.push = dangerous
            for _ in range(rng.randint(1, 4)):
                await service.step()
                world.ticker.forward(rng.choice([1_000, 20_000, 60_000]))

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass


@pytest.mark.parametrize("seed", range(4))
def test_duty_09_each_reading_stands_in_smile_exactly_once_after_any_faults_and_kills(smile, make_world, seed):
    world = make_world(held_again_s=60.0, backfill_hold_s=300.0)
    rng = random.Random(seed)
    start = world.ticker.at_ms // 1000 * 1000
    produced: list[tuple[str, int, Decimal]] = []
    for n in range(12):
        if rng.random() < 0.6:
            smile.fault(rng.choice(FAULTS), path="/histories/push")
        fresh = [
            (serial, start - rng.randint(0, 600) * MINUTE - n, Decimal(rng.randint(-50, 200)) / 10)
            for serial in ("BT-0001", "BT-0002")
            for _ in range(rng.randint(0, 4))
        ]
        for serial, at, value in fresh:
            if all((s, t // 1000) != (serial, at // 1000) for s, t, _ in produced):
                produced.append((serial, at, value))
                world.temperatures(serial, [(at, str(value))])
        life(world, rng)
    smile.heal()
    newest = world.ticker.at_ms // 1000 * 1000
    for n in range(6):  # life goes on: new readings come, and with them the witnesses
        for serial in ("BT-0001", "BT-0002"):
            produced.append((serial, newest + n * 1000, Decimal("4.5")))
            world.temperatures(serial, [(newest + n * 1000, "4.5")])
        world.rounds(4, every_ms=120_000)
    counts = world.outbox.counts()
    assert {k: v for k, v in counts.items() if v} == {"stored": len(produced)}
    expected = Counter((s, t // 1000 * 1000 + SEVEN_HOURS, v) for s, t, v in produced)
    assert Counter(smile.histories()) == expected
    for serial in ("BT-0001", "BT-0002"):
        times = [t for s, t, _ in smile.histories() if s == serial]
        assert times[-1] == max(times)
