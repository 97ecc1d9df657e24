"""Which rows are new: pure, over what is known of the identities of one batch. Shared by the stores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ingest.store.model import Row, refusal, thousandths, with_variant

Identity = tuple[str, int, int]
Said = tuple[int | None, str]
"""(value in thousandths, quality): what makes two rows of one identity the same."""


def said(row: Row) -> Said:
    return thousandths(row.value), row.quality.value


@dataclass(slots=True)
class Sorted:
    """A batch divided. ``fresh`` rows carry their variant."""

    fresh: list[Row] = field(default_factory=list)
    duplicates: int = 0
    conflicts: int = 0
    rejected: list[tuple[Row, str]] = field(default_factory=list)


def sort_rows(rows: Sequence[Row], stored: Callable[[Identity], list[Said]]) -> Sorted:
    """Divide ``rows``; ``stored`` tells an identity's contents on disk, by variant. Deterministic in their order."""
    result = Sorted()
    contents: dict[Identity, list[Said]] = {}
    for row in rows:
        reason = refusal(row)
        if reason is not None:
            result.rejected.append((row, reason))
            continue
        identity = row.identity
        if identity not in contents:
            contents[identity] = stored(identity)
        variants = contents[identity]
        content = said(row)
        if content in variants:
            result.duplicates += 1
            continue
        result.conflicts += bool(variants)
        result.fresh.append(with_variant(row, len(variants)))
        variants.append(content)
    return result
