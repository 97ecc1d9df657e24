"""What a rule says of facts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class Kind(StrEnum):
    """``possible`` has unknown time (or the sensor's error band) in it; ``withdrawn`` was said and fell."""

    CONFIRMED = "confirmed"
    POSSIBLE = "possible"
    WITHDRAWN = "withdrawn"


class Level(StrEnum):
    """The escalation ladder (cold-chain 6, 3). Only ``alarm`` must be answered by a person."""

    NOTICE = "notice"
    EXCURSION = "excursion"
    WARNING = "warning"
    ALARM = "alarm"


@dataclass(frozen=True, slots=True)
class Grounds:
    """The readings a finding rests on, by their times: enough to fetch them and show them to an auditor.

    ``count`` readings beyond the limit (of a cumulative rule: that its sum was made of so far) from ``first_ms`` to
    ``last_ms``; ``deciding_ms`` is the one by which the rule fired, ``extreme_ms`` the first of the worst ones (None
    where no value counts: silence, a conflict). In the timeline of a batch the times are those of its stretches.
    """

    first_ms: int
    deciding_ms: int
    last_ms: int
    extreme_ms: int | None
    count: int


@dataclass(frozen=True, slots=True)
class RuleFinding:
    """One finding. Its id comes from rule, subject and first out-of-limit reading, so it is the same however found.

    ``episode_start_ms`` is that first reading; ``event_ms`` the reading by which the rule fired; ``end_ms`` the end
    of the episode, None while it goes on; ``detected_ms`` when this machine first said it (requirement 8).
    ``known_s``/``unknown_s`` split the span from the start to the last out-of-limit hold. ``reason`` is a short
    stable word: why it is possible, why it ended before its episode did, or why it was withdrawn. ``readings``: what it
    rests on (None in findings kept before that was said). ``details``: (name,
    value) that a text for people fills in.
    """

    finding_id: str
    code: str
    level: Level
    kind: Kind
    equipment: str
    stream_id: str
    batch: str | None
    profile: str
    profile_version: str
    limit_c: Decimal | None
    comparator: str
    after_s: int
    mode: str
    episode_start_ms: int
    event_ms: int
    end_ms: int | None
    extreme_c: Decimal | None
    known_s: int
    unknown_s: int
    reason: str = ""
    detected_ms: int = 0
    supersedes: tuple[str, ...] = ()
    readings: Grounds | None = None
    details: tuple[tuple[str, str], ...] = ()

    @property
    def alarms(self) -> bool:
        """Whether a person must answer it."""
        return self.level is Level.ALARM and self.kind is not Kind.WITHDRAWN

    @property
    def rule(self) -> str:
        return f"{self.profile}/{self.code}"


def finding_id(rule: str, subject: str, first_ms: int) -> str:
    """``HEAT-1f3a...``: the code for the reader, the digest of (rule, subject, first reading) for identity."""
    digest = hashlib.sha256(f"{rule}|{subject}|{first_ms}".encode()).hexdigest()
    return f"{rule.rsplit('/', 1)[-1]}-{digest[:16]}"
