"""How the suite is shared between the two cores (``make test`` runs it with ``-n 2 --dist loadgroup``).

A file's tests stay together, so that the neighbours it starts serve all of them. What plays the whole line with real
processes and real time goes one after the other, on one worker and first: side by side they would only slow each other.
"""

from __future__ import annotations

from pathlib import Path

import pytest

WHOLE_LINE = (
    "smile_iot/test_demo.py",
    "chaos/test_campaign.py",
    "chaos/test_scenarios.py",
    "benchmarks/test_bench.py",
    "powercut/test_powercut.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent

    def group(item: pytest.Item) -> str:
        name = item.path.relative_to(here).as_posix()
        return "whole line" if name in WHOLE_LINE else name

    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=lambda item: group(item) != "whole line")  # stable: the rest keeps its order
