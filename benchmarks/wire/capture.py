"""Count what passes on loopback: packets by AF_PACKET, TLS records by their heads, sorted by what they carry.

In TLS 1.3 a record of n encrypted bytes has a head of 5 and holds n - 17 bytes of what was sent (16 of proof, 1 of
kind), so lengths tell plain sizes. Both ends write one MQTT packet into one record (Mosquitto and paho do), so a record
of 4 bytes is an acknowledgement, one of 2 a ping, and a publish is known by the size that the harness saw it handed over.

The capture runs in a network namespace of its own, whose loopback has an MTU of 1500: segments are as on Ethernet.
(Where the kernel hands over several segments as one, they are counted as what the wire would carry.)
"""

from __future__ import annotations

import math
import socket
import struct
import threading
from collections import Counter
from dataclasses import dataclass, field

_ETH_P_ALL = 3
_OUTGOING = 4
_MSS_WITH_TIMESTAMPS = 1448
_RECORD_HEAD, _RECORD_TAIL = 5, 17
UP, DOWN = "up", "down"


@dataclass(slots=True)
class Counted:
    """Bytes and pieces. ``headers`` are IP and TCP; ``acks`` are packets that carry nothing else."""

    headers: int = 0
    packets: int = 0
    acks: int = 0
    ack_bytes: int = 0
    handshake: int = 0
    tls: int = 0
    plain: Counter[str] = field(default_factory=Counter)
    pieces: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.headers + self.ack_bytes + self.handshake + self.tls + sum(self.plain.values())

    def minus(self, earlier: Counted) -> Counted:
        return Counted(
            self.headers - earlier.headers,
            self.packets - earlier.packets,
            self.acks - earlier.acks,
            self.ack_bytes - earlier.ack_bytes,
            self.handshake - earlier.handshake,
            self.tls - earlier.tls,
            self.plain - earlier.plain,
            self.pieces - earlier.pieces,
        )

    def copy(self) -> Counted:
        return Counted().plus(self)

    def plus(self, other: Counted) -> Counted:
        zero = other.minus(Counted())
        return Counted(
            self.headers + zero.headers,
            self.packets + zero.packets,
            self.acks + zero.acks,
            self.ack_bytes + zero.ack_bytes,
            self.handshake + zero.handshake,
            self.tls + zero.tls,
            self.plain + zero.plain,
            self.pieces + zero.pieces,
        )


class Capture(threading.Thread):
    """Counts all packets of one TCP port until ``stop``. ``known`` maps sizes of MQTT publishes to what they are."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True, name="capture")
        self._port = port
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
        self._socket.bind(("lo", _ETH_P_ALL))
        self._socket.settimeout(0.2)
        self._halt = threading.Event()
        self._streams: dict[tuple[str, int], bytearray] = {}
        self._lock = threading.Lock()
        self._counted = Counted()
        self.known: dict[int, str] = {}

    def run(self) -> None:
        while not self._halt.is_set():
            try:
                packet, (_, _, kind, *_) = self._socket.recvfrom(1 << 17)
            except TimeoutError:
                continue
            if kind == _OUTGOING:
                with self._lock:
                    self._packet(packet)

    def stop(self) -> None:
        self._halt.set()
        self.join()
        self._socket.close()

    def counted(self) -> Counted:
        with self._lock:
            return self._counted.copy()

    def _packet(self, packet: bytes) -> None:
        if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
            return
        ip = (packet[0] & 15) * 4
        total = struct.unpack_from("!H", packet, 2)[0] or len(packet)
        source, target = struct.unpack_from("!HH", packet, ip)
        if self._port not in (source, target):
            return
        tcp = (packet[ip + 12] >> 4) * 4
        data = packet[ip + tcp : total]
        c = self._counted
        if not data:
            c.acks += 1
            c.ack_bytes += ip + tcp
            return
        segments = math.ceil(len(data) / _MSS_WITH_TIMESTAMPS)
        c.packets += segments
        c.headers += segments * (ip + tcp)
        way, client = (UP, source) if target == self._port else (DOWN, target)
        stream = self._streams.setdefault((way, client), bytearray())
        stream += data
        self._records(way, stream)

    def _records(self, way: str, stream: bytearray) -> None:
        c = self._counted
        while len(stream) >= _RECORD_HEAD:
            kind, _, length = struct.unpack_from("!BHH", stream)
            if len(stream) < _RECORD_HEAD + length:
                return
            del stream[: _RECORD_HEAD + length]
            plain = length - _RECORD_TAIL
            what = self._carries(way, plain) if kind == 23 else None
            if what is None:
                c.handshake += _RECORD_HEAD + length
                continue
            c.tls += _RECORD_HEAD + _RECORD_TAIL
            c.plain[what] += plain
            c.pieces[what] += 1

    def _carries(self, way: str, size: int) -> str | None:
        """What a record holds; None: part of the handshake (its encrypted messages, tickets, MQTT's CONNECT)."""
        if size == 4:
            return f"acknowledgement {way}"
        if size == 2:
            return f"ping {way}"
        return self.known.get(size) if way == UP else ("receipt" if self.known else None)
