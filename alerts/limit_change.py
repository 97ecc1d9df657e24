"""One limit of a profile changed: the same sense for a page, the API and a command. Pure."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from alerts.rules import Limit, Mode, Profile


def with_limit(
    profile: Profile, code: str, limit_c: Decimal | None, after_s: int | None, source: str = ""
) -> Profile:
    """The profile with one limit changed, None: as it is. ``source``: why it is this now, where it became another.

    Raises KeyError for a code it does not have, UnsoundLimitError for a limit that cannot be meant.
    """
    old = next((x for x in profile.limits if x.code == code), None)
    if old is None:
        raise KeyError(code)
    new = replace(
        old,
        limit_c=old.limit_c if limit_c is None else limit_c,
        alarm_after_s=old.alarm_after_s if after_s is None else after_s,
    )
    if new != old:
        new = replace(new, source=source or old.source, verified=False)
    made = replace(profile, limits=tuple(new if x is old else x for x in profile.limits))
    if not is_sound(made, new):
        raise UnsoundLimitError(f"{code} {new.limit_c} for {new.alarm_after_s} s does not fit the other limits")
    return made


class UnsoundLimitError(ValueError):
    """A limit that cannot be meant."""


def is_sound(profile: Profile, limit: Limit) -> bool:
    """Whether a changed limit can be meant: a sum needs a time, no time is negative, and an upper limit lies above every
    lower one of its quantity.
    """
    if limit.alarm_after_s < 0 or (limit.alarm_after_s == 0 and (limit.mode is Mode.CUMULATIVE or limit.repeats)):
        return False
    others = [
        x
        for x in profile.limits
        if x.quantity == limit.quantity and x.comparator.high is not limit.comparator.high and x.code != limit.code
    ]
    if limit.comparator.high:
        return all(limit.limit_c > x.limit_c for x in others)
    return all(limit.limit_c < x.limit_c for x in others)
