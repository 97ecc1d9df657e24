"""One worker a shard: the second waits, and takes over when the first has gone."""

from __future__ import annotations

import asyncio
from pathlib import Path

from smile_iot.lease import shard_lease


def test_the_second_worker_waits_and_takes_over(tmp_path: Path) -> None:
    async def main() -> list[str]:
        said: list[str] = []
        stop, first_in, let_go = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def first() -> None:
            async with shard_lease(tmp_path, "1", stop) as mine:
                assert mine
                first_in.set()
                await let_go.wait()
                said.append("first goes")

        async def second() -> None:
            await first_in.wait()
            async with shard_lease(tmp_path, "1", stop) as mine:
                assert mine
                said.append("second owns")

        async def other_shard() -> None:
            await first_in.wait()
            async with shard_lease(tmp_path, "2", stop) as mine:
                assert mine
                said.append("another shard")
                let_go.set()

        await asyncio.gather(first(), second(), other_shard())
        return said

    assert asyncio.run(main()) == ["another shard", "first goes", "second owns"]


def test_a_stop_ends_the_waiting(tmp_path: Path) -> None:
    async def main() -> bool:
        stop = asyncio.Event()
        async with shard_lease(tmp_path, "1", stop):
            stop.set()
            async with shard_lease(tmp_path, "1", stop) as mine:
                return mine

    assert asyncio.run(main()) is False
