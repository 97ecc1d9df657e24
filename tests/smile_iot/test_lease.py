"""One worker a shard: the second waits, takes over when the first has gone, and stops when its lease is lost."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from gateway.journal import leases as in_postgres
from smile_iot import lease
from smile_iot.lease import FileLeases, own
from telemetry.errors import NeighbourDownError


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(lease, "SPARE_AFTER_S", 0.05)
    monkeypatch.setattr(in_postgres, "KEEP_EVERY_S", 0.01)
    monkeypatch.setattr(in_postgres, "LOST_AFTER_S", 0.1)


class Worker:
    """Notes when it works; works until halted or told to fail."""

    def __init__(self, said: list[str], name: str) -> None:
        self.said, self.name, self.works = said, name, asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, halt: asyncio.Event) -> None:
        self.said.append(f"{self.name} owns")
        self.works.set()
        await halt.wait()
        self.said.append(f"{self.name} goes")
        if self.error is not None:
            raise self.error


def test_the_second_worker_waits_and_takes_over(tmp_path: Path) -> None:
    async def main() -> list[str]:
        said: list[str] = []
        first, second, other = (Worker(said, name) for name in ("first", "second", "other shard"))
        stops = [asyncio.Event() for _ in range(3)]
        tasks = [asyncio.create_task(own(FileLeases(tmp_path), "1", stops[0], first))]
        await first.works.wait()
        tasks.append(asyncio.create_task(own(FileLeases(tmp_path), "1", stops[1], second)))
        tasks.append(asyncio.create_task(own(FileLeases(tmp_path), "2", stops[2], other)))
        await other.works.wait()
        await asyncio.sleep(0.05)
        assert not second.works.is_set()
        stops[0].set()
        await second.works.wait()
        for stop in stops:
            stop.set()
        await asyncio.gather(*tasks)
        return said

    assert asyncio.run(main())[:4] == ["first owns", "other shard owns", "first goes", "second owns"]


def test_a_stop_ends_the_waiting(tmp_path: Path) -> None:
    async def main() -> None:
        held, stop = FileLeases(tmp_path), asyncio.Event()
        assert held.take("1")
        waiting = asyncio.create_task(own(FileLeases(tmp_path), "1", stop, Worker([], "never")))
        await asyncio.sleep(0.05)
        stop.set()
        await asyncio.wait_for(waiting, 60)

    asyncio.run(main())


def test_what_the_work_raises_is_raised_and_the_lease_let_go(tmp_path: Path) -> None:
    async def main() -> None:
        async def work(_halt: asyncio.Event) -> None:
            raise RuntimeError("a fault of ours")

        with pytest.raises(RuntimeError, match="a fault of ours"):
            await own(FileLeases(tmp_path), "1", asyncio.Event(), work)
        assert FileLeases(tmp_path).take("1")

    asyncio.run(main())


def test_a_spare_is_left_to_its_owner_for_a_while(tmp_path: Path) -> None:
    async def main() -> list[str]:
        said: list[str] = []
        spare, owner, stop = Worker(said, "spare"), Worker(said, "owner"), asyncio.Event()
        tasks = [asyncio.create_task(own(FileLeases(tmp_path), "1", stop, spare, spare=True))]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(own(FileLeases(tmp_path), "1", stop, owner)))
        await owner.works.wait()
        await asyncio.sleep(0.1)
        stop.set()
        await asyncio.gather(*tasks)
        return said

    assert asyncio.run(main()) == ["owner owns", "owner goes"]


class Flaky:
    """Leases whose answers the test gives."""

    def __init__(self) -> None:
        self.keeps: bool | Exception = True

    def take(self, name: str) -> bool:
        return True

    def keep(self, name: str) -> bool:
        if isinstance(self.keeps, Exception):
            raise self.keeps
        return self.keeps

    def release(self, name: str) -> None:
        raise NeighbourDownError("leases", "gone")


@pytest.mark.parametrize("answer", [False, NeighbourDownError("leases", "gone")])
def test_a_worker_whose_lease_is_lost_or_unknown_for_long_stops_and_waits_again(answer: bool | Exception) -> None:
    async def main() -> list[str]:
        said: list[str] = []
        leases, worker, stop = Flaky(), Worker(said, "worker"), asyncio.Event()
        task = asyncio.create_task(own(leases, "1", stop, worker))
        await worker.works.wait()
        worker.works.clear()
        leases.keeps = answer
        await asyncio.wait_for(worker.works.wait(), 60)
        leases.keeps = True
        stop.set()
        await asyncio.gather(task)
        return said

    assert asyncio.run(main())[:3] == ["worker owns", "worker goes", "worker owns"]


def test_a_lease_whose_database_says_nothing_is_lost_before_another_may_take_it() -> None:
    """Not an error, no answer at all: a link that went dead under the question."""
    answers = threading.Event()

    class Silent:
        def take(self, name: str) -> bool:
            return True

        def keep(self, name: str) -> bool:
            return answers.wait(60)

        def release(self, name: str) -> None: ...

    async def main() -> bool:
        stop, halted = asyncio.Event(), asyncio.Event()

        async def work(halt: asyncio.Event) -> None:
            await halt.wait()
            halted.set()
            stop.set()

        owning = asyncio.create_task(own(Silent(), "1", stop, work))
        await asyncio.wait([asyncio.create_task(halted.wait())], timeout=5)
        lost = halted.is_set() and not answers.is_set()
        answers.set()
        stop.set()
        await owning
        return lost

    assert asyncio.run(main())
