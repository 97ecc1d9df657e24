"""The example of alerts/README.md runs as it stands."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import numpy as np

README = Path(__file__).parents[2] / "alerts" / "README.md"


def test_the_readmes_examples_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    rules, sensors, batches, bulk, forecast = (
        next(b for b in blocks if f"from alerts.{name} " in b)
        for name in ("rules", "equipment", "document", "bulk", "forecast")
    )
    names: dict[str, object] = {"Decimal": Decimal, "t_ms": 1_700_000_000_000, "now_ms": 1_700_000_000_000}
    exec(rules, names)  # noqa: S102  (our own text)
    out = names["out"]
    assert [f.code for f in out.findings] == ["EXCURSION_HIGH"]  # type: ignore[attr-defined]
    fact = names["ReadingFact"]("F1", "S1/temperature_c", 0, Decimal("5.0"))  # type: ignore[operator]
    names |= {"facts": [fact], "from_ms": 0, "now_ms": 900_000}
    exec(sensors, names)  # noqa: S102
    exec(batches, names)  # noqa: S102
    assert names["made"]["word"] == "no_action"  # type: ignore[index]
    exec(forecast, names)  # noqa: S102
    columns = {"t_ms": np.array([0]), "value_m": np.array([5000]), "faults": np.array([False])}
    profile = names["load_profiles"]()["refrigerator"]  # type: ignore[operator]
    stays = [names["Placement"]("B1", "F1", 0)]  # type: ignore[operator]
    more = {"stream": "S1/temperature_c", "device_seq": None, "placements": stays, "product_profile": profile}
    names |= columns | more
    exec(bulk, names)  # noqa: S102
    assert names["lived"].summed.known_s == 900  # type: ignore[attr-defined]
