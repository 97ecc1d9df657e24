"""The lines an indicator sends unasked: CAS 22 bytes and A&D 17 bytes. Pure.

    CAS   ST , GS , 0 C4 , 000013.5 _ kg CR LF          lamp byte: 80 always, 40 stable, 04 gross, 01 at zero
          |    |    | |    8 characters
          |    |    device id
          |    GS gross, NT net
          ST stable, US moving, OL over capacity

    A&D   ST , +0001.234 _kg CR LF                       sign and 8 characters, unit 3 right-aligned

Sources: CAS CI-600D p. 75, A&D GC manual p. 51 (facts/devices.md 3.3, 3.4; vectors CA1, AD1, AD3).
An OL line carries a plausible number, as the real ones do: whoever reads it must not use it.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum


class Status(StrEnum):
    """What a weight line says of itself."""

    STABLE = "ST"
    UNSTABLE = "US"
    OVERLOAD = "OL"


class LineFormat(StrEnum):
    """The makes we can imitate."""

    CAS = "cas"
    AND = "and"


LAMP_BASE, LAMP_STABLE, LAMP_GROSS, LAMP_ZERO = 0x80, 0x40, 0x04, 0x01


def _digits(value: Decimal, width: int) -> str:
    text = f"{abs(value):f}".rjust(width, "0")
    if len(text) > width:
        raise ValueError(f"{value} needs more than {width} characters")
    return text


def encode_cas(status: Status, gross_kg: Decimal, device_id: int = 0, unit: str = "kg") -> bytes:
    """One CAS line, 22 bytes. A negative weight gives up its first zero for the sign."""
    lamp = LAMP_BASE | LAMP_GROSS
    if status is Status.STABLE:
        lamp |= LAMP_STABLE
        if gross_kg == 0:
            lamp |= LAMP_ZERO
    data = _digits(gross_kg, 8) if gross_kg >= 0 else "-" + _digits(gross_kg, 7)
    head = f"{status},GS,{device_id}".encode()
    return head + bytes([lamp]) + f",{data} {unit:>2}\r\n".encode()


def encode_and(status: Status, gross_kg: Decimal, unit: str = "kg") -> bytes:
    """One A&D line, 17 bytes."""
    sign = "-" if gross_kg < 0 else "+"
    return f"{status},{sign}{_digits(gross_kg, 8)}{unit:>3}\r\n".encode()


def encode_line(line_format: LineFormat, status: Status, gross_kg: Decimal) -> bytes:
    """One line in the make's format; over capacity the digits are nines."""
    if status is Status.OVERLOAD:
        exponent = gross_kg.as_tuple().exponent
        places = -exponent if isinstance(exponent, int) else 0
        gross_kg = Decimal("9999999").scaleb(-places)
    return encode_cas(status, gross_kg) if line_format is LineFormat.CAS else encode_and(status, gross_kg)
