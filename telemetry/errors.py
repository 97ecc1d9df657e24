"""The few errors of the house: facts as attributes, and whether trying again can help."""

from __future__ import annotations


class SmileIotError(Exception):
    """Base of all our errors.

    ``again`` says whether the same call may succeed later without a change by a person.
    ``advice`` is one sentence a technician on site can act on, or "".
    """

    again: bool = False

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message} ({self.advice})" if self.advice else self.message


class ContractError(SmileIotError):
    """A message does not keep the contract; ``reason`` is a short stable word for counters and quarantine."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class ConfigError(SmileIotError):
    """A setting is missing or wrong; ``key`` names it."""

    def __init__(self, key: str, message: str, *, advice: str = "") -> None:
        super().__init__(f"setting {key}: {message}", advice=advice)
        self.key = key


class NeighbourDownError(SmileIotError):
    """A neighbour (broker, database, SMILE, serial line, adapter) does not answer; try again later.

    ``retry_after_s`` is what the neighbour itself asked for (HTTP Retry-After), 0 where it said nothing.
    """

    again = True

    def __init__(self, neighbour: str, message: str, *, advice: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(f"{neighbour}: {message}", advice=advice)
        self.neighbour = neighbour
        self.retry_after_s = retry_after_s
