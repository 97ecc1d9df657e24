"""``smile-iot ingest`` as it is, with a watch beside it: ``python -m benchmarks.bench_ingest FOLDER --config FILE``.

Two methods are wrapped to note when they returned: the journal's ``append`` and the filler's commit of its offset,
after which a row is in the store for good. That costs a list append each. SIGUSR1 writes what was noted, the threads'
names and the loaded modules to ``FOLDER/watch.json``; nothing is written before.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_noted: dict[str, list[tuple[int, int]]] = {"journaled": [], "stored": []}


def _watch(owner: type, method: str, name: str, offset_of: Callable[[tuple[Any, ...], Any], int]) -> None:
    inner = getattr(owner, method)

    def outer(*arguments: Any, **named: Any) -> Any:
        result = inner(*arguments, **named)
        _noted[name].append((time.monotonic_ns(), offset_of(arguments, result)))
        return result

    setattr(owner, method, outer)


def _name(owner: type, name: str) -> None:
    """The thread that runs ``owner.run`` is called ``name``: CPU is told by thread."""
    inner = owner.run  # type: ignore[attr-defined]

    def run(self: Any, stop: Any) -> None:
        threading.current_thread().name = name
        inner(self, stop)

    owner.run = run  # type: ignore[attr-defined]


def _write(folder: Path) -> None:
    threads = {str(thread.native_id): thread.name for thread in threading.enumerate()}
    watched = {**_noted, "pid": os.getpid(), "threads": threads, "modules": sorted(sys.modules)}
    fresh = folder / "watch.new"
    fresh.write_text(json.dumps(watched))
    fresh.rename(folder / "watch.json")


def main(folder: Path, arguments: list[str]) -> int:
    from gateway.journal import SqliteJournal
    from ingest.filler import Filler
    from ingest.receiver import Receiver
    from ingest.undated import FillerState
    from smile_iot.__main__ import main as smile_iot

    _watch(SqliteJournal, "append", "journaled", lambda _, result: result)
    _watch(FillerState, "done", "stored", lambda arguments, _: arguments[1])
    _name(Receiver, "take")
    _name(Filler, "fill")
    signal.signal(signal.SIGUSR1, lambda *_: _write(folder))
    return smile_iot(["ingest", *arguments])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
