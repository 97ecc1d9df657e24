"""Cancelling: nothing of the agent outlives a stop, also where asyncio or a library forgets the first word."""

from __future__ import annotations

import asyncio

import pytest

from edge import supervisor, uplink


def test_a_task_that_forgets_its_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "CANCEL_AGAIN_S", 0.01)

    async def forgetful() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(3600)

    async def fallen() -> None:
        raise OSError("gone")

    async def main() -> list[bool]:
        tasks = [asyncio.create_task(forgetful()), asyncio.create_task(fallen())]
        await asyncio.sleep(0)
        async with asyncio.timeout(90):
            await supervisor.end(*tasks)
        return [task.cancelled() for task in tasks]

    assert asyncio.run(main()) == [True, False]


@pytest.mark.parametrize("turns", range(5))
def test_a_wait_is_cancelled_also_in_the_moment_of_its_event(turns: int) -> None:
    """asyncio.wait_for of 3.11 returns here as if nothing had been said, and the uplink would run on after a stop."""

    async def waits(event: asyncio.Event) -> None:
        await uplink._wait(event, 10)
        await asyncio.sleep(10)

    async def main() -> bool:
        event = asyncio.Event()
        task = asyncio.create_task(waits(event))
        await asyncio.sleep(0.001)
        event.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=0.2)
        task.cancel()
        return bool(done)

    assert asyncio.run(main())
