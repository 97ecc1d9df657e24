"""Passwords and tokens: hashing, checking, and a small command to hash one (``python -m api.accounts``).

Passwords are Argon2id hashes (argon2-cffi's defaults, RFC 9106 low-memory profile). Session ids and machine tokens
are 256 random bits; the records keep only their SHA-256, so a copied database opens no door.
"""

from __future__ import annotations

import getpass
import secrets
import sys

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MIN_PASSWORD_SIGNS = 8
MAX_PASSWORD_SIGNS = 200  # bounds the work of one log-in
_HASHER = PasswordHasher()
# Checked when the name is unknown, so that both answers take the same time.
_NOBODY = _HASHER.hash(secrets.token_urlsafe(16))


def hash_password(password: str) -> str:
    """The Argon2id hash to store; raises ValueError for a password too short or too long."""
    if not MIN_PASSWORD_SIGNS <= len(password) <= MAX_PASSWORD_SIGNS:
        raise ValueError(f"a password has {MIN_PASSWORD_SIGNS} to {MAX_PASSWORD_SIGNS} signs")
    return _HASHER.hash(password)


def password_fits(stored_hash: str | None, password: str) -> bool:
    """Whether the password belongs to the hash; a missing hash costs the same time and is False."""
    if len(password) > MAX_PASSWORD_SIGNS:
        return False
    try:
        _HASHER.verify(stored_hash or _NOBODY, password)
    except (VerificationError, InvalidHashError):
        return False
    return stored_hash is not None


def new_secret() -> str:
    """256 random bits for a session id, a CSRF token or a machine's token."""
    return secrets.token_urlsafe(32)


def main() -> int:
    """Read a password (hidden at a terminal, else one line) and print its hash."""
    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    try:
        sys.stdout.write(hash_password(password) + "\n")
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
