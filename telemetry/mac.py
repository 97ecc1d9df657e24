"""The edge's signature on an upload: HMAC-SHA256 with the edge's own key, cut to 16 bytes (RFC 2104, section 5).

JSON     an unsigned message ends with ``,"mac":null}``; signed, ``null`` is the MAC in quotes as 32 hex digits.
         The MAC is over the unsigned message, byte for byte as sent.
compact  the last 16 bytes are the MAC, over all bytes before them (``docs/contract.md``).

A changed byte anywhere makes the MAC wrong, and the message goes to quarantine with its reason.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from telemetry.errors import ContractError

MAC_BYTES = 16
KEY_BYTES = 32
_JSON_TAIL = b',"mac":null}'
_SIGNED_TAIL = len(b',"mac":""}') + 2 * MAC_BYTES


def mac_of(body: bytes, key: bytes) -> bytes:
    """The 16 bytes for ``body``."""
    return hmac.digest(key, body, hashlib.sha256)[:MAC_BYTES]


def sign_json(payload: bytes, key: bytes) -> bytes:
    """The JSON message with its MAC; ``payload`` must be unsigned, as ``encode_upload`` makes it."""
    if not payload.endswith(_JSON_TAIL):
        raise ValueError("not an unsigned upload")
    return payload[: -len(_JSON_TAIL)] + b',"mac":"' + mac_of(payload, key).hex().encode() + b'"}'


def verify_json(payload: bytes, keys: Sequence[bytes]) -> None:
    """Raises ContractError("no_mac") or ("bad_mac") unless one of the edge's keys made this message's MAC."""
    tail = payload[-_SIGNED_TAIL:]
    if not (tail.startswith(b',"mac":"') and tail.endswith(b'"}')):
        raise ContractError("no_mac", "the edge has a key, and this message carries no MAC at its end")
    said = tail[len(b',"mac":"') : -2]
    body = payload[:-_SIGNED_TAIL] + _JSON_TAIL
    check_mac(body, said, keys)


def check_mac(body: bytes, said_hex: bytes, keys: Sequence[bytes]) -> None:
    """Compare in constant time with each key (two while a key is being changed)."""
    for key in keys:
        if hmac.compare_digest(mac_of(body, key).hex().encode(), said_hex):
            return
    raise ContractError("bad_mac", "the message was changed on its way, or was signed with another key")
