"""Exports written by ourselves in the makers' formats, and the real ones where they lie beside the project."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[5] / "shared" / "data" / "fridge-tag"
SIGNATURE = "ab" * 64


@pytest.fixture
def real_file() -> Callable[[str], bytes]:
    """Reads a real file; absent: fails with CI set, else the test is reported as not run."""

    def read(name: str) -> bytes:
        path = SHARED / name
        if not path.is_file():
            if os.environ.get("CI"):
                pytest.fail(f"real file absent: {path}")
            pytest.skip("not run: real files absent")
        return path.read_bytes()

    return read


@pytest.fixture
def fridge_tag() -> Callable[..., str]:
    """A Fridge-tag export of one day; ``data`` adds a table of readings."""

    def build(
        device: str = "Q-tag Fridge-tag 2",
        alarm: str = "  0:\n   T AL: -0.5, t AL: 60\n  1:\n   T AL: +8.0, t AL: 600\n",
        conf: str = " Zone: 0.00\n Temp unit: C\n",
        day: str = "  Min T: +2.0, TS Min T: 13:30\n  Max T: +9.1, TS Max T: 14:33\n  Avrg T: +4.6\n",
        acc: str = "  Alarm:\n   0:\n    t Acc: 0\n   1:\n    t Acc: 75, TS A: 14:40, C A: 0\n",
        data: str = "",
        tail: str = f"Cert:\n Vers: 1.0\nSig Cert: {SIGNATURE}\nSig: {SIGNATURE}\n",
    ) -> str:
        return (
            f"Device: {device}\nVers: 0.5\nConf:\n Serial: 130400000001\n{conf} Alarm:\n{alarm}"
            "Hist:\n TS Actv: 2026-03-01 08:00\n TS Report Creation: 2026-03-02 09:30\n"
            f" 1:\n  Date: 2026-03-02\n{day}{acc}  Int Sensor timeout:\n   t AccST: 0\n  Events: 0\n"
            f" 2:\n  Date: 2026-03-01\n  Min T: --.-\n  Max T: --.-\n{acc}  Ext Sensor timeout:\n   t AccST: 21, TS ST: 15:04\n"
            f"{data}{tail}"
        )

    return build


@pytest.fixture
def q_tag() -> Callable[..., str]:
    """A Q-tag CLm export with a table of readings."""

    def build(
        slots: str = "  1:\n   Type: 2, T AL: 8.0, t AL: 30\n  2:\n   Type: 0\n  3:\n   Type: 3, T AL: 2.0, t AL: 60\n",
        results: str = "  1:\n   TS S: 2026-03-01 08:20, t A: 40, TS A: 2026-03-01 08:50, TS E:, T M: 9.5\n"
        "   TS S: 2026-03-01 12:00, t A: 10, TS A:, TS E:\n",
        header: str = "\tyyyy-MM-dd hh:mm\tT\tOut of limits\t\n",
        rows: str = "\t2026-03-01 08:10\t5.0\t\n\t2026-03-01 08:20\t9.5\tx\n\t2026-03-01 08:30\t--.-\t\n",
        tail: str = f"Cert:\n Vers: 1.0\nSig Cert: {SIGNATURE}\nSig: {SIGNATURE}\n",
    ) -> str:
        return (
            "Device: Q-tag CLm doc LR\nVers: 1.9\nConf:\n Serial: TEST00001\n MKT Energy: 83.0\n Logging Interval: 10\n"
            f" User String 1: box 7, east: cold\n Alarm:\n{slots}"
            "Res:\n TS Start: 2026-03-01 08:10\n TS Stop: 2026-03-01 12:30\n Min T: 5.0, TS Min T: 2026-03-01 08:10\n"
            f" MKT: 6.5\n Run Number: 1\n Alarm:\n{results}"
            f"Marker:\n\tNumber\tT\tyyyy-MM-dd hh:mm\t\n\t1\t4.0\t2026-03-01 08:15\t\nData:\n{header}{rows}{tail}"
        )

    return build
