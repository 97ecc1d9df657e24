"""One-time codes: typed once, at a keyboard, by whoever stands at the new Pi. Pure but for the random source.

::

    7KQ3-9M2H-XW4T-0ZRB-D8CJ
    |    +------------------- the secret: 16 signs of 5 bits, 80 bits
    +------------------------ names the invitation, so that wrong tries can be counted against it

The alphabet is Crockford's base 32: no I, L, O, U, and what looks alike is read as what was meant (O is 0, I and L are
1); small letters, spaces and missing dashes do not matter. Stored is a SHA-256 of the whole code: a plain hash
will do, 80 random bits cannot be guessed from it (unlike a password).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ID_SIGNS = 4
SECRET_SIGNS = 16
_LOOKS_LIKE = str.maketrans({"O": "0", "I": "1", "L": "1", "-": "", " ": "", "\t": "", "\n": "", "\r": ""})


@dataclass(frozen=True, slots=True)
class InviteCode:
    """``id`` may be seen by anybody; ``secret`` is known to who was given the code, and is not kept."""

    id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """As it is shown and typed."""
        return grouped(self.id + self.secret)

    @property
    def digest(self) -> str:
        """What is stored."""
        return hashlib.sha256(f"smile-iot code 1:{self.id}:{self.secret}".encode()).hexdigest()

    def fits(self, digest: str) -> bool:
        """Compare with what is stored, in constant time."""
        return hmac.compare_digest(self.digest, digest)


def grouped(signs: str) -> str:
    """Groups of four with dashes, to be read aloud and typed."""
    return "-".join(signs[at : at + 4] for at in range(0, len(signs), 4))


def plain_signs(text: str) -> str:
    """What was typed, in the alphabet's own signs (others are left as they are)."""
    return text.upper().translate(_LOOKS_LIKE)


def new_code() -> InviteCode:
    signs = "".join(secrets.choice(ALPHABET) for _ in range(ID_SIGNS + SECRET_SIGNS))
    return InviteCode(signs[:ID_SIGNS], signs[ID_SIGNS:])


def read_code(text: str) -> InviteCode | None:
    """The code that was typed; None for what cannot be one."""
    if len(text) > 100 or not text.isascii():  # upper() makes an I of a Turkish dotless one
        return None
    signs = plain_signs(text)
    if len(signs) != ID_SIGNS + SECRET_SIGNS or set(signs) - set(ALPHABET):
        return None
    return InviteCode(signs[:ID_SIGNS], signs[ID_SIGNS:])
