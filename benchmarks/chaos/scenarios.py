"""Stories by name on the real line, in fast virtual time: a database away for a day, a broker away for a week.

python -m benchmarks.chaos.scenarios database_away_for_a_day
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from benchmarks.chaos.plant import SITE, Plant
from benchmarks.chaos.run import Run
from smile_iot.parts import open_records
from telemetry.errors import NeighbourDownError

DAY_S, WEEK_S = 86_400, 604_800


class Scenario(Run):
    """A run whose faults are told by ``_rage`` of a subclass, and not drawn."""

    store_kind, speed, probe_s, logger_s, noise_c = "sqlite", 10.0, 3, 15, 0.03

    def __init__(self, folder: Path, say: Callable[[str], None] = print) -> None:
        super().__init__(folder, 1, 0.0, 1.0, self.store_kind, say=say)
        self.plant = Plant(
            folder,
            1,
            self.store_kind,
            speed=self.speed,
            probe_s=self.probe_s,
            logger_s=self.logger_s,
            noise_c=self.noise_c,
            late_real_s=6.0,  # time is so fast here that a busy machine's second is an hour
        )

    def _begin(self) -> None:
        self._registered = self._register_late()
        until = time.monotonic() + 60
        while self._waiting_for_edge and time.monotonic() < until:
            self._look_at_edge()
            time.sleep(0.1)

    def _wait(self, met: Callable[[], bool], what: str, patience_s: float = 150.0) -> None:
        until = time.monotonic() + patience_s
        while not met():
            if time.monotonic() > until:
                raise AssertionError(f"never saw {what}")
            time.sleep(0.5)

    def _pass(self, virtual_s: float) -> None:
        time.sleep(virtual_s / self.speed)


class DatabaseAwayForADay(Scenario):
    """InfluxDB is killed; the refrigerator loses its mains; ten hours later HEAT is raised, with the database away; it
    comes back after a day and is filled."""

    store_kind, speed, probe_s, logger_s = "influx", 4_800.0, 1_200, 7_200

    def _rage(self, rng: Random) -> None:
        del rng
        assert self.plant.influx is not None
        self.plant.start_alerts()
        self._begin()
        self._pass(3_600)
        self.plant.influx.kill_influxd()
        down_at = time.monotonic()
        self._tell_devices({"do": "mains_off", "equipment": "fridge"})
        self._wait(self._heat_alarm, "an alarm while the database is away")
        self.say(
            f"  HEAT was raised {(time.monotonic() - down_at) * self.speed / 3600:.0f} virtual hours after the kill"
        )
        left_s = DAY_S / self.speed - (time.monotonic() - down_at)
        time.sleep(max(0.0, left_s))
        self.plant.influx.restart_influxd()

    def _heat_alarm(self) -> bool:
        try:
            with open_records(self.plant.settings) as records:
                return any(alarm.finding.code == "HEAT" for alarm in records.alarms(SITE))
        except NeighbourDownError:  # a busy machine: the writer has it; ask again
            return False

    def _tell_devices(self, words: dict[str, str]) -> None:
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(self.plant.simulator["control"])
            control.sendall(json.dumps(words).encode() + b"\n")
            answer = json.loads(control.recv(4096))
        assert answer["ok"], answer


class BrokerAwayForAWeek(Scenario):
    """The broker is killed with all it held and stays away for a week, ingest is killed three times meanwhile."""

    speed, probe_s, logger_s = 20_160.0, 7_200, 32_400

    def _rage(self, rng: Random) -> None:
        self._begin()
        self._pass(DAY_S)
        self.plant.kill("broker")
        self.plant.wipe_broker()
        for _ in range(3):
            self._pass(WEEK_S * rng.uniform(0.2, 0.33))
            self.plant.kill("ingest")
            self.plant.programs["ingest"].start()
        self._pass(WEEK_S / 4)
        self.plant.start_broker()


SCENARIOS: dict[str, type[Scenario]] = {
    "database_away_for_a_day": DatabaseAwayForADay,
    "broker_away_for_a_week": BrokerAwayForAWeek,
}


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    name, folder = sys.argv[1], Path(sys.argv[2] if len(sys.argv) > 2 else f"/tmp/smile-iot-{sys.argv[1]}")
    folder.mkdir(parents=True, exist_ok=True)
    verdict = SCENARIOS[name](folder).go()
    v = verdict
    # A poll that a busy machine missed is not of the story: what was accepted is.
    good = not (v.lost + v.doubled + v.misdated + v.changed or v.other) and v.stored > 0
    print(
        f"{name}: made {v.made}, accepted {v.accepted}, stored {v.stored}; lost {v.lost}, doubled {v.doubled}, "
        f"misdated {v.misdated}, changed {v.changed}, not heard {v.unheard}: {'good' if good else 'NOT GOOD'}"
    )
    for text in [*v.other, *v.examples]:
        print(f"    {text}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
