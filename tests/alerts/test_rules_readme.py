"""The example of alerts/README.md runs as it stands."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

README = Path(__file__).parents[2] / "alerts" / "README.md"


def test_the_readmes_examples_run() -> None:
    rules, sensors, batches = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict[str, object] = {"Decimal": Decimal, "t_ms": 1_700_000_000_000, "now_ms": 1_700_000_000_000}
    exec(rules, names)  # noqa: S102  (our own text)
    out = names["out"]
    assert [f.code for f in out.findings] == ["EXCURSION_HIGH"]  # type: ignore[attr-defined]
    fact = names["ReadingFact"]("F1", "S1/temperature_c", 0, Decimal("5.0"))  # type: ignore[operator]
    names |= {"facts": [fact], "from_ms": 0, "now_ms": 900_000}
    exec(sensors, names)  # noqa: S102
    exec(batches, names)  # noqa: S102
    assert names["made"]["word"] == "no_action"  # type: ignore[index]
