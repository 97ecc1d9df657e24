"""What can go wrong, as a table: a fault begins, lasts a random time, and ends with what undoes it.

``needs`` names what a fault holds while it lasts, so that two faults never hold the same thing. A fault of the edge's
hearing tells ``run.deaf`` from when to when nothing could be heard.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.chaos.run import Run

Undo = Callable[[], None]
Begin = Callable[["Run", random.Random], tuple[float, Undo]]
"""Begin a fault: (how many real seconds it lasts, what ends it)."""


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    needs: frozenset[str]
    weight: float
    begin: Begin
    wants: str = ""  # "influx" or "disks": only where there is one


FAULTS: list[Fault] = []


def fault(name: str, needs: str, weight: float = 1.0, wants: str = "") -> Callable[[Begin], Begin]:
    def keep(begin: Begin) -> Begin:
        FAULTS.append(Fault(name, frozenset(needs.split()), weight, begin, wants))
        return begin

    return keep


def _nothing() -> None:
    """For faults that are over at once."""


# --- processes -----------------------------------------------------------------------------------------------


@fault("edge SIGKILL", "edge", 3)
def edge_kill(run: Run, rng: random.Random) -> tuple[float, Undo]:
    run.edge_down("killed")
    return rng.choice([0.0, rng.uniform(0.1, 1.5)]), run.edge_up


@fault("edge SIGSTOP", "edge", 1.5)
def edge_stop(run: Run, rng: random.Random) -> tuple[float, Undo]:
    run.deaf_from("stopped")
    run.plant.send("edge", signal.SIGSTOP)

    def go_on() -> None:
        run.plant.send("edge", signal.SIGCONT)
        run.deaf_until(6.0)

    return rng.uniform(0.2, 3.5), go_on


@fault("ingest SIGKILL", "ingest", 3)
def ingest_kill(run: Run, rng: random.Random) -> tuple[float, Undo]:
    run.plant.kill("ingest")
    return rng.choice([0.0, rng.uniform(0.1, 2.0)]), run.plant.programs["ingest"].start


@fault("ingest SIGSTOP", "ingest", 1.5)
def ingest_stop(run: Run, rng: random.Random) -> tuple[float, Undo]:
    run.plant.send("ingest", signal.SIGSTOP)
    return rng.uniform(0.2, 4.0), lambda: run.plant.send("ingest", signal.SIGCONT)


@fault("broker SIGKILL, persistence kept", "broker", 1.5)
def broker_kill(run: Run, rng: random.Random) -> tuple[float, Undo]:
    run.plant.kill("broker")
    return rng.uniform(0.0, 2.0), run.plant.start_broker


@fault("broker SIGKILL, all it held is gone", "broker", 1.5)
def broker_wipe(run: Run, rng: random.Random) -> tuple[float, Undo]:
    run.plant.kill("broker")
    run.plant.wipe_broker()
    return rng.uniform(0.0, 2.0), run.plant.start_broker


@fault("broker clean restart", "broker")
def broker_restart(run: Run, rng: random.Random) -> tuple[float, Undo]:
    run.plant.programs["broker"].stop()
    return rng.uniform(0.0, 1.0), run.plant.start_broker


@fault("broker SIGSTOP", "broker")
def broker_stop(run: Run, rng: random.Random) -> tuple[float, Undo]:
    run.plant.send("broker", signal.SIGSTOP)
    return rng.uniform(0.2, 3.0), lambda: run.plant.send("broker", signal.SIGCONT)


@fault("InfluxDB SIGKILL", "database", 1, "influx")
def influx_kill(run: Run, rng: random.Random) -> tuple[float, Undo]:
    assert run.plant.influx is not None
    run.plant.influx.kill_influxd()
    return rng.uniform(0.0, 2.0), run.plant.influx.restart_influxd


# --- links ---------------------------------------------------------------------------------------------------


def _link_faults(side: str) -> None:
    """The same faults for the edge's link and ingest's."""

    def link(run: Run):  # type: ignore[no-untyped-def]
        return run.plant.edge_link if side == "edge" else run.plant.ingest_link

    @fault(f"{side}'s link reset", f"{side}-link")
    def cut(run: Run, _: random.Random) -> tuple[float, Undo]:
        link(run).cut()
        return 0.0, _nothing

    @fault(f"{side}'s link torn in a packet", f"{side}-link")
    def tear(run: Run, _: random.Random) -> tuple[float, Undo]:
        link(run).tear()
        return 0.0, _nothing

    def mode(name: str, words: str, longest_s: float, weight: float = 1.0) -> None:
        @fault(f"{side}'s link {words}", f"{side}-link", weight)
        def begin(run: Run, rng: random.Random) -> tuple[float, Undo]:
            link(run).set(name)

            def undo() -> None:
                link(run).set("pass")
                if name.startswith("blackhole") and rng.random() < 0.5:
                    link(run).cut()  # the NAT in between forgot the connection

            return rng.uniform(0.3, longest_s), undo

    mode("refuse", "refused", 3.0)
    mode("blackhole", "half open both ways", 5.0)
    mode("blackhole_up", "half open upwards", 4.0, 0.7)
    mode("blackhole_down", "half open downwards", 4.0, 0.7)
    mode("delay", "slow (300 ms a packet)", 4.0, 0.7)
    mode("throttle", "narrow (2 kB/s)", 4.0, 0.7)


_link_faults("edge")
_link_faults("ingest")


# --- disks ---------------------------------------------------------------------------------------------------


@fault("edge's disk full", "edge edge-disk", 1.5, "disks")
def edge_disk(run: Run, rng: random.Random) -> tuple[float, Undo]:
    run.deaf_from("disk full")
    run.plant.fill_disk("edge", rng.choice([0, 30_000, 400_000, 15 << 20]))

    def undo() -> None:
        run.plant.free_disk("edge")
        run.deaf_until(13.0)  # a source opens its port anew after at most 10 s

    return rng.uniform(0.5, 4.0), undo


@fault("ingest's disk full", "ingest-disk", 1.5, "disks")
def ingest_disk(run: Run, rng: random.Random) -> tuple[float, Undo]:
    run.plant.fill_disk("data", rng.choice([0, 8_000, 60_000, 400_000]))
    return rng.uniform(0.5, 4.0), lambda: run.plant.free_disk("data")


# --- database ------------------------------------------------------------------------------------------------


def _database_faults() -> None:
    def mode(name: str, words: str, weight: float = 0.6) -> None:
        @fault(f"database {words}", "database", weight, "influx")
        def begin(run: Run, rng: random.Random) -> tuple[float, Undo]:
            database = run.plant.database
            assert database is not None
            database.poison = f"stream=MB-{rng.randint(1, 5)}/"
            database.set(name)
            return rng.uniform(0.5, 3.0), lambda: database.set("pass")

    for status in ("401", "429", "500", "503"):
        mode(status, f"answers {status}")
    mode("413", "answers 413")
    mode("partial", "refuses one stream (400)")
    mode("lost_answer", "stores and loses the answer", 1.0)
    mode("slow", "slow (1.5 s a request)")
    mode("refuse", "hangs up")


_database_faults()


# --- clocks and files ----------------------------------------------------------------------------------------


def _clock_faults() -> None:
    def start(how: str, words: str) -> None:
        @fault(f"edge's clock {words}", "edge", 0.45)
        def begin(run: Run, rng: random.Random) -> tuple[float, Undo]:
            run.edge_down("killed")
            run.edge_up(how)

            def undo() -> None:
                run.edge_down("killed")
                run.edge_up()

            return rng.uniform(3.0, 6.0), undo

    start("unsynced", "not synced at a start")
    start("1970", "in 1970 at a start")
    start("2038", "in 2038 at a start")
    start("behind", "two hours behind, unsynced")
    start("1970 until NTP", "in 1970, set by NTP while it runs")
    start("jump and back", "jumps two hours and back while it runs")


_clock_faults()


@fault("outbox restored from a backup, a new file", "edge edge-disk", 0.7)
def restore_new(run: Run, rng: random.Random) -> tuple[float, Undo]:
    return _restore(run, rng, over=False)


@fault("outbox restored from a backup, written over", "edge edge-disk", 0.7)
def restore_over(run: Run, rng: random.Random) -> tuple[float, Undo]:
    return _restore(run, rng, over=True)


def _restore(run: Run, rng: random.Random, *, over: bool) -> tuple[float, Undo]:
    """Back up now (as a power cut would leave the files), put it back a few seconds later."""
    backup = run.plant.folder / "backup" / "outbox.db"
    run.edge_down("killed")
    run.plant.copy_outbox(backup)
    run.edge_up()

    def put_back() -> None:
        run.edge_down("killed")
        run.note_destroyed(backup)
        run.plant.restore_outbox(backup, over=over)
        run.edge_up()

    return rng.uniform(2.0, 6.0), put_back


@fault("a second edge from a copied card", "edge edge-disk", 0.7)
def clone(run: Run, rng: random.Random) -> tuple[float, Undo]:
    run.deaf_from("stopped")
    run.plant.send("edge", signal.SIGSTOP)
    copy = run.plant.folder / "clone" / f"outbox-{rng.randrange(1 << 30)}.db"
    run.plant.copy_outbox(copy)
    run.plant.send("edge", signal.SIGCONT)
    run.deaf_until(6.0)
    run.plant.start_clone(copy)
    run.watch_clone(copy)
    return rng.uniform(3.0, 7.0), lambda: run.plant.kill("clone")
