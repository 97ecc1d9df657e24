"""Rules over sensors, door, power, battery and feed: pure functions over the set of facts of one equipment.

What they say is of the device ("this value is stuck", "these two disagree"), never of the vaccine: no reading is
changed, left out or called in range by them, and no rule over temperatures is silenced (decision 0025).
"""

from alerts.equipment.judge import ALL, judge_equipment, new_track, watched_quantities
from alerts.equipment.rule import DeviceSettings, Settings
from alerts.equipment.thresholds import RULES, Thresholds, builtin_thresholds, parse_thresholds
from alerts.equipment.track import Track

__all__ = [
    "ALL",
    "RULES",
    "DeviceSettings",
    "Settings",
    "Thresholds",
    "Track",
    "builtin_thresholds",
    "judge_equipment",
    "new_track",
    "parse_thresholds",
    "watched_quantities",
]
