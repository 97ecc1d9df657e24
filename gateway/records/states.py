"""A finding out of its canonical text (the history keeps each state as one)."""

from __future__ import annotations

import json
from decimal import Decimal

from gateway.records.model import Finding, FindingKind


def state_of(text: str) -> Finding:
    body = json.loads(text)
    extreme = body["extreme_c"]
    body["extreme_c"] = None if extreme is None else Decimal(extreme)
    body["kind"] = FindingKind(body["kind"])
    return Finding(**body)
