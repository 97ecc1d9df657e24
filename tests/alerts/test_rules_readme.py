"""The example of alerts/README.md runs as it stands."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

from alerts import exposure as exposure_module

README = Path(__file__).parents[2] / "alerts" / "README.md"


def test_the_readmes_examples_run() -> None:
    rules, batches = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict[str, object] = {"Decimal": Decimal, "t_ms": 1_700_000_000_000, "now_ms": 1_700_000_000_000}
    exec(rules, names)  # noqa: S102  (our own text)
    out = names["out"]
    assert [f.code for f in out.findings] == ["EXCURSION_HIGH"]  # type: ignore[attr-defined]
    fact = names["ReadingFact"]("F1", "S1/temperature_c", 0, Decimal("5.0"))  # type: ignore[operator]
    names |= {
        "batch_id": "B1",
        "placements": [exposure_module.Placement("B1", "F1", 0)],
        "facts": [fact],
        "now_ms": 900_000,
        "seen": [],
        "said_for_this_batch": [],
    }
    batches = batches.replace("exposure = expose", 'product = builtin_products()["93001284"]\nexposure = expose', 1)
    exec(batches.replace("vvm_used_percent=...", "vvm_used_percent=None"), names)  # noqa: S102
    assert names["verdict"].verdict == "no_action"  # type: ignore[attr-defined]
