"""What the records may say no to: two errors and the short stable words (codes) of a refusal."""

from __future__ import annotations

from enum import StrEnum

from telemetry.errors import SmileIotError


class Code(StrEnum):
    """Why a change was refused. Stable: pages, counters and tests use these words."""

    BAD_VALUE = "BAD_VALUE"
    BROKEN_REFERENCE = "BROKEN_REFERENCE"
    REASON_REQUIRED = "REASON_REQUIRED"
    COMMENT_REQUIRED = "COMMENT_REQUIRED"
    PERSON_REQUIRED = "PERSON_REQUIRED"
    SERIAL_TAKEN = "SERIAL_TAKEN"
    NOT_PLACED = "NOT_PLACED"
    ALREADY_PLACED = "ALREADY_PLACED"
    WRONG_SITE = "WRONG_SITE"
    NO_VERDICT = "NO_VERDICT"
    ALREADY_DECIDED = "ALREADY_DECIDED"
    DISCARDED_IS_FINAL = "DISCARDED_IS_FINAL"
    ALREADY_DISCARDED = "ALREADY_DISCARDED"
    VVM_CANNOT_GO_BACK = "VVM_CANNOT_GO_BACK"
    ALREADY_ACKNOWLEDGED = "ALREADY_ACKNOWLEDGED"
    ALARM_CLOSED = "ALARM_CLOSED"
    BAD_BAG_CODE = "BAD_BAG_CODE"
    ALREADY_REGISTERED = "ALREADY_REGISTERED"
    CLASS_DISAGREES = "CLASS_DISAGREES"
    RADIOACTIVE_STILL_IN_STORAGE = "RADIOACTIVE_STILL_IN_STORAGE"
    ALREADY_TIED = "ALREADY_TIED"
    NOT_TIED = "NOT_TIED"
    BAG_ALREADY_WEIGHED = "BAG_ALREADY_WEIGHED"
    BAST_TAKEN = "BAST_TAKEN"
    OTHER_BAST = "OTHER_BAST"
    NOT_DAMAGED = "NOT_DAMAGED"
    ALREADY_DESTROYED = "ALREADY_DESTROYED"
    NOT_WEIGHED = "NOT_WEIGHED"
    NO_THIRD_PARTY = "NO_THIRD_PARTY"
    NOT_COMPLETE = "NOT_COMPLETE"
    NOT_ALONE = "NOT_ALONE"
    MORE_THAN_STOCK = "MORE_THAN_STOCK"
    ALREADY_CLOSED = "ALREADY_CLOSED"
    NOT_WAITING = "NOT_WAITING"
    NOT_REPLAYABLE = "NOT_REPLAYABLE"
    OWN_ROLE = "OWN_ROLE"
    ACCOUNT_TAKEN = "ACCOUNT_TAKEN"
    CODE_REFUSED = "CODE_REFUSED"
    CODE_EXPIRED = "CODE_EXPIRED"
    CODE_USED = "CODE_USED"
    ALREADY_REVOKED = "ALREADY_REVOKED"


class UnknownRecord(SmileIotError):  # noqa: N818  (the name the architecture pins)
    """No record of this kind has this key. Trying again helps only after somebody registered it."""

    def __init__(self, kind: str, key: str) -> None:
        super().__init__(
            f"no {kind} {key!r} in the records", advice=f"register the {kind} first or check its spelling"
        )
        self.kind = kind
        self.key = key


class Refused(SmileIotError):  # noqa: N818  (the name the architecture pins)
    """The records keep what they had; ``code`` says why, ``field`` what is wrong (or "").

    ``rule``: of a BAD_VALUE the rule that was broken, as a page words it (api's ``wrong.``), or "".
    """

    def __init__(self, code: Code, message: str, *, field: str = "", advice: str = "", rule: str = "") -> None:
        super().__init__(f"{code}: {message}", advice=advice)
        self.code = code
        self.field = field
        self.rule = rule
