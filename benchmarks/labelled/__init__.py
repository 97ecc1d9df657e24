"""Labelled runs: refrigerators of ``firmware_sim``'s thermal model with one fault each, as facts for the rules.

No process, no clock, no file: ``make_run(kind, seed)`` gives the same facts and labels on every machine. What is
known of a run beside its facts: which fault, on which device, from when to when; how noisy its sensors are
(``sigma_c``); and, for any instant, when its air would pass a limit if nothing changed (``Run.crosses_ms``).

    python -m benchmarks.labelled                         what each kind is, and a count of its runs' facts
    python -m benchmarks.labelled power_cut --seed 7      one run's labels
    python -m benchmarks.labelled power_cut --seed 7 --csv > run.csv
"""

from benchmarks.labelled.cabinet import Cabinet, Conditions, History
from benchmarks.labelled.kinds import Cause, FaultLabel, Kind
from benchmarks.labelled.runs import EQUIPMENT, LOGGER, NEIGHBOUR, T0_MS, Run, make_run

__all__ = [
    "EQUIPMENT",
    "LOGGER",
    "NEIGHBOUR",
    "T0_MS",
    "Cabinet",
    "Cause",
    "Conditions",
    "FaultLabel",
    "History",
    "Kind",
    "Run",
    "make_run",
]
