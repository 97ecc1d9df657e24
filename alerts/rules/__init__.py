"""The rules: pure functions over facts. No I/O, no clock, no floats (``README.md`` beside shows the use).

Theory, from ``facts/cold-chain.md`` section 6:

* A reading holds until the next one. The maximum gap is 2 x interval, at least 960 s; before a longer gap the
  last reading counts one interval and the rest is unknown time.
* An episode is a maximal run of readings beyond one limit without a longer gap. A rule fires at the first
  out-of-limit READING whose time minus the episode's start is at least ``alarm_after_s``: a duration must be
  shown by a reading, not by holding.
* Runs joined only by longer gaps make a chain. What a chain shows and no run of it does is ``possible``.
* Facts form a set: order of arrival, repetition and the split into uploads change nothing but detection times.
"""

from alerts.rules.engine import State, Step, judge, restore, standing, step
from alerts.rules.facts import ReadingFact, RuleFact
from alerts.rules.finding import Grounds, Kind, Level, RuleFinding
from alerts.rules.limits import Assigned, Comparator, Dated, Era, Limit, Mode, Profile, Profiles, StreamSettings
from alerts.rules.spans import RangeState, Segment, Span, range_spans, segments
from alerts.rules.stream import SPLIT_FROM, SPLIT_INTO, reconcile

__all__ = [
    "SPLIT_FROM",
    "SPLIT_INTO",
    "Assigned",
    "Comparator",
    "Dated",
    "Era",
    "Grounds",
    "Kind",
    "Level",
    "Limit",
    "Mode",
    "Profile",
    "Profiles",
    "RangeState",
    "ReadingFact",
    "RuleFact",
    "RuleFinding",
    "Segment",
    "Span",
    "State",
    "Step",
    "StreamSettings",
    "judge",
    "range_spans",
    "reconcile",
    "restore",
    "segments",
    "standing",
    "step",
]
