"""Memory of a service beside its import baseline: a fresh interpreter that imports the very same modules."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from types import TracebackType

from benchmarks.bench_cpu import rss_bytes

_IMPORT = """
import importlib, os, sys
for name in sys.stdin.read().split():
    try:
        importlib.import_module(name)
    except Exception:
        pass
print(int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
"""


def import_baseline(modules: Sequence[str]) -> int:
    """Resident bytes of an interpreter with these modules and nothing else."""
    names = " ".join(name for name in modules if not name.startswith(("benchmarks", "__main__")))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _IMPORT], input=names, stdout=-1, text=True, check=True
    )
    return int(done.stdout.split()[-1])


class Peak:
    """The highest resident memory of a process within the block, looked at five times a second."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.rss = 0

    def _look(self) -> None:
        while True:
            self.rss = max(self.rss, rss_bytes(self._pid))
            if self._done.wait(0.2):
                return

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
