"""The table of drivers: one decoder a file, one line here.

``ADVERT_DECODERS`` turn a BLE advert, ``LINE_DECODERS`` a line of a scale that talks by itself into values.
Drivers that must be asked (MT-SICS, Modbus) have a source of their own; their codecs live here too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.decoders import bthome, ruuvi, scale_ascii
from edge.decoders.frames import Advert, DecodedAdvert, WeightFrame

LineDecoder = Callable[[bytes], WeightFrame]


@dataclass(frozen=True, slots=True)
class AdvertDriver:
    """``sampled``: the device advertises far more often than is worth keeping; one packet an interval is taken.

    ``history``: it has a memory that is read back after a hole.
    """

    decode: Callable[[Advert], DecodedAdvert]
    sampled: bool = False
    history: bool = False


ADVERT_DECODERS: dict[str, AdvertDriver] = {
    "bthome": AdvertDriver(bthome.decode),
    "ruuvi": AdvertDriver(ruuvi.decode, sampled=True, history=True),
}
LINE_DECODERS: dict[str, LineDecoder] = {
    "scale_ascii": scale_ascii.decode,
}
