"""The beats of ``edge.stall``: a task that lives as long as a source."""

from __future__ import annotations

import asyncio

from edge.stall import BEAT_S, Stall


async def beating(stall: Stall) -> None:
    """Beat while the loop turns, for ever."""
    loop = asyncio.get_running_loop()
    while True:
        stall.beat(loop.time())
        await asyncio.sleep(BEAT_S)
