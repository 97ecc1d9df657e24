"""CPU seconds and memory from /proc (schedstat counts nanoseconds), for processes with all below them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


def family(pid: int) -> list[int]:
    """The process and all below it."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return [pid]
    return [pid, *(member for child in children for member in family(child))]


def threads_s(pids: Iterable[int]) -> dict[int, float]:
    """{thread id: CPU seconds since it started} of the living threads of the processes and all below them."""
    found: dict[int, float] = {}
    for member in {member for pid in pids for member in family(pid)}:
        try:
            for task in Path(f"/proc/{member}/task").iterdir():
                found[int(task.name)] = int((task / "schedstat").read_text().split()[0]) / 1e9
        except OSError:  # ended in this moment
            continue
    return found


def spent(before: Mapping[int, float], after: Mapping[int, float]) -> dict[int, float]:
    """CPU seconds of each thread between two looks."""
    return {thread: seconds - before.get(thread, 0.0) for thread, seconds in after.items()}


def rss_bytes(pid: int) -> int:
    """Resident memory of a process and all below it."""
    total = 0
    for member in family(pid):
        try:
            total += int(Path(f"/proc/{member}/statm").read_text().split()[1]) * _PAGE
        except OSError:
            continue
    return total
