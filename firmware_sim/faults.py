"""The fault plan: what goes wrong when, as windows on virtual time. Pure.

A fault is on from ``at_s`` until ``at_s + for_s`` (for ever, or until it is cleared, without ``for_s``).
The same plan and the same seed give the same faults in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum


class FaultKind(StrEnum):
    """What can go wrong; README.md says what each one does."""

    MAINS_OFF = "mains_off"
    DOOR_OPEN = "door_open"
    PROBE_FAULT = "probe_fault"
    STUCK_VALUE = "stuck_value"
    LOW_BATTERY = "low_battery"
    SILENCE = "silence"
    OUT_OF_RANGE = "out_of_range"
    UNPLUG = "unplug"
    HANG = "hang"
    HALF_FRAME = "half_frame"
    NOISE = "noise"
    BIT_FLIP = "bit_flip"
    DUPLICATE = "duplicate"
    SPLIT = "split"
    BLUEZ_RESTART = "bluez_restart"
    ADAPTER_OFF = "adapter_off"
    REFUSE_CONNECT = "refuse_connect"
    DROP_AFTER = "drop_after"


class Scope(StrEnum):
    """What a fault happens to."""

    EQUIPMENT = "equipment"
    DEVICE = "device"
    RADIO = "radio"


SCOPE: dict[FaultKind, Scope] = dict.fromkeys(FaultKind, Scope.DEVICE) | {
    FaultKind.MAINS_OFF: Scope.EQUIPMENT,
    FaultKind.DOOR_OPEN: Scope.EQUIPMENT,
    FaultKind.BLUEZ_RESTART: Scope.RADIO,
    FaultKind.ADAPTER_OFF: Scope.RADIO,
    FaultKind.REFUSE_CONNECT: Scope.RADIO,
    FaultKind.DROP_AFTER: Scope.RADIO,
}

#: What a person says to end a fault over the control socket.
ENDS: dict[str, FaultKind] = {
    "mains_on": FaultKind.MAINS_OFF,
    "door_close": FaultKind.DOOR_OPEN,
    "probe_ok": FaultKind.PROBE_FAULT,
    "replug": FaultKind.UNPLUG,
    "speak": FaultKind.SILENCE,
    "in_range": FaultKind.OUT_OF_RANGE,
    "adapter_on": FaultKind.ADAPTER_OFF,
    "accept_connect": FaultKind.REFUSE_CONNECT,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One window. ``target`` is an equipment id, a device serial, or "" (the radio, or all BLE devices).

    ``ratio`` is the share of frames a wire fault hits; ``notifications`` and ``links`` belong to ``drop_after``;
    ``down_s`` (real seconds) to ``bluez_restart``; ``mode`` to ``probe_fault`` (``no_value`` or ``omit``).
    """

    kind: FaultKind
    at_s: float
    until_s: float = float("inf")
    target: str = ""
    ratio: float = 1.0
    notifications: int = 0
    links: int = 1
    down_s: float = 1.0
    mode: str = "no_value"

    def covers(self, at_s: float) -> bool:
        """Is it on at this virtual second?"""
        return self.at_s <= at_s < self.until_s


@dataclass(slots=True)
class FaultBook:
    """All faults of a run: those of the plan and those a person adds while it runs."""

    faults: list[Fault] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        """A fault from the control socket."""
        self.faults.append(fault)

    def clear(self, kind: FaultKind, target: str, at_s: float) -> int:
        """End the open windows of this kind at ``at_s``; how many there were."""
        ended = 0
        for i, fault in enumerate(self.faults):
            if fault.kind is kind and fault.target == target and fault.covers(at_s):
                self.faults[i] = replace(fault, until_s=at_s)
                ended += 1
        return ended

    def active(self, kind: FaultKind, target: str, at_s: float) -> Fault | None:
        """The first open window of this kind for this target (radio faults without a target meet every device)."""
        for fault in self.faults:
            if fault.kind is kind and fault.target in (target, "") and fault.covers(at_s):
                return fault
        return None

    def is_on(self, kind: FaultKind, target: str, at_s: float) -> bool:
        """Is such a window open?"""
        return self.active(kind, target, at_s) is not None
