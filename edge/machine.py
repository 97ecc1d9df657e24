"""Which machine this is: a hash, so that a card put into another Pi, or copied, can be told from the first one.

A Pi has its serial in the device tree; any Debian has a machine id, but a copied card copies it too: the serial goes
first. The number itself never leaves the machine.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

_PLACES = ("proc/device-tree/serial-number", "etc/machine-id", "var/lib/dbus/machine-id")


def machine_id(root: Path = Path("/")) -> str:
    """32 hex digits, the same at every start; "" where nothing tells this machine from another."""
    for place in _PLACES:
        number = _text(root / place)
        if number:
            return _digest(number)
    cards = sorted(_text(path) for path in root.glob("sys/class/net/*/address"))
    ours = [card for card in cards if card.strip("0:")]
    return _digest(",".join(ours)) if ours else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""


def _digest(number: str) -> str:
    return hashlib.sha256(f"smile-iot machine 1:{number}".encode()).hexdigest()[:32]
