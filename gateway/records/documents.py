"""The document of a verdict: what it was judged from, sealed by its own hash. Pure.

A document is plain JSON (texts, whole numbers, lists, tables). Its ``hash`` is the sha256 of the canonical JSON of all
the rest; the verdict's row carries the same hash as ``document_hash``, and through the audit so does the site's chain.
So a document that was altered is found by ``verify_chain``, by ``smile-iot explain`` and by a stranger with an export.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from gateway.records.canonical import canonical, plain

HASH = "hash"


def document_hash(document: Mapping[str, Any]) -> str:
    """sha256 (hex) of the canonical JSON without the key ``hash``; raises TypeError for a float."""
    rest = {key: value for key, value in document.items() if key != HASH}
    return hashlib.sha256(canonical(rest).encode()).hexdigest()


def seal(document: Mapping[str, Any], verdict_id: str) -> dict[str, Any]:
    """The document of this verdict with its hash, in JSON's own types."""
    body: dict[str, Any] = {**plain(document), "verdict": verdict_id}
    return {**body, HASH: document_hash(body)}
