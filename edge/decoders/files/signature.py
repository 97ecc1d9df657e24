"""The signature with which Berlinger's loggers close their text export, checked: was the file changed since?

    Sig = ECDSA on P-256 with SHA-256 over every byte before ``Sig:`` (lines ended by CR LF), key ``Public Key`` of ``Cert``
    Sig Cert = the same over the ``Cert`` block, from ``Cert:`` to before ``Sig Cert:``, with the issuer's key

Keys are x then y and signatures r then s, 32 bytes each; these and the hash are read as little-endian numbers. The
makers publish none of it. It was found by trial on real files (docs/decisions/0033): four files of two device
families fit, and no file that was shortened by hand does. The issuer's key was recovered from the certificates of
two lots, which both name it; a third lot's fits. Only public keys are handled, so no secret can leak by timing.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum

Point = tuple[int, int] | None


class Signature(StrEnum):
    """What can be said of a file's signature."""

    VALID = "valid"  # it fits, and the key is certified by an issuer known here
    KEY_NOT_CHECKED = "valid_key_not_checked"  # it fits the key in the file; nothing here vouches for that key
    BROKEN = "broken"  # the file was changed
    NOT_CHECKABLE = "not_checkable"  # there is one, but no key to check it with
    NONE = "none"


# NIST P-256 (FIPS 186-4, D.1.2.3); a = -3
_P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_ISSUERS = {
    b"Berlinger & Co. AG": (
        0x0AA2BE1B04268B874FC00AAC193A889352F57EED2A46D8C7FC98111BDCAF1966,
        0xE3BE1648B9AE1A7B7E5B9AFC7C4B48FD003C505CB6AF749FABAAC0DA180CF668,
    )
}
TWO_NUMBERS = "[0-9A-Fa-f]{128}"
"""The pattern of a signature and of a key: two numbers of 32 bytes."""


def _line(key: str, value: str) -> re.Pattern[bytes]:
    return re.compile(rf"^{key}:[ \t]*{value}[ \t]*$".encode(), re.MULTILINE)


_END = _line("Sig", f"({TWO_NUMBERS})")
_CERT_END = _line("Sig Cert", f"({TWO_NUMBERS})")
_CERT = _line("Cert", "")
_KEY = _line(" Public Key", f"({TWO_NUMBERS})")
_ISSUER = _line(" Issuer", "(.*?)")


def check_signature(data: bytes, utf_16: str | None = None) -> Signature:
    """Check the whole file; its own line ends, a byte order mark and UTF-16 (which codec) are undone first. Never raises."""
    lines = _plain(data if utf_16 is None else data.decode(utf_16, errors="replace").encode())
    end, cert = _END.search(lines), _CERT.search(lines)
    if end is None or cert is None:
        return Signature.NONE
    if lines[end.end() :].strip(b"\n\t \x1a\0"):
        return Signature.BROKEN  # what stands after the signature was not signed
    block = lines[cert.start() : end.start()]
    by = _CERT_END.search(block)
    named = block if by is None else block[: by.start()]  # what the issuer has signed, and nothing after it
    key = _KEY.search(named)
    if key is None:
        return Signature.NOT_CHECKABLE
    if not _fits(lines[: end.start()], end[1], _point(key[1])):
        return Signature.BROKEN
    issuer = _ISSUER.search(named)
    root = None if issuer is None else _ISSUERS.get(issuer[1])
    certified = root is not None and by is not None and _fits(named, by[1], root)
    return Signature.VALID if certified else Signature.KEY_NOT_CHECKED


def _plain(data: bytes) -> bytes:
    """The file's own bytes with LF line ends."""
    return data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _fits(message: bytes, signature: bytes, key: Point) -> bool:
    """ECDSA (FIPS 186-4, 6.4) over ``message`` with its lines ended by CR LF."""
    r, s = _numbers(signature)
    if key is None or not (0 < r < _N and 0 < s < _N) or (key[1] ** 2 - key[0] ** 3 + 3 * key[0] - _B) % _P:
        return False
    e = int.from_bytes(hashlib.sha256(message.replace(b"\n", b"\r\n")).digest(), "little")
    w = pow(s, -1, _N)
    found = _add(_times(e * w % _N, _G), _times(r * w % _N, key))
    return found is not None and found[0] % _N == r


def _point(text: bytes) -> Point:
    x, y = _numbers(text)
    return (x, y) if x < _P and y < _P else None


def _numbers(text: bytes) -> tuple[int, int]:
    raw = bytes.fromhex(text.decode())
    return int.from_bytes(raw[:32], "little"), int.from_bytes(raw[32:], "little")


def _add(a: Point, b: Point) -> Point:
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % _P == 0:
            return None
        slope = 3 * (a[0] * a[0] - 1) * pow(2 * a[1], -1, _P) % _P
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, _P) % _P
    x = (slope * slope - a[0] - b[0]) % _P
    return x, (slope * (a[0] - x) - a[1]) % _P


def _times(k: int, point: Point) -> Point:
    out: Point = None
    while k:
        if k & 1:
            out = _add(out, point)
        point, k = _add(point, point), k >> 1
    return out
