"""What server and Pi say to each other once, at enrolment: where to ask, the CA's pin, and the line that holds it all."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode

from telemetry.errors import ContractError

PATH = "/api/v1/enrol"
SCHEME = "smile-iot-enrol"
_PIN_BYTES = 20
# base32's signs as Crockford's, as the codes are written: no I, L, O, U.
_SIGNS = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789ABCDEFGHJKMNPQRSTVWXYZ")
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a person carries to the Pi. ``pin`` is "" where the server's certificate is of a public authority."""

    server: str
    code: str = field(repr=False)
    pin: str = ""

    @property
    def line(self) -> str:
        """All of it as one text, fit for a QR code."""
        fields = {"server": self.server, "code": self.code} | ({"pin": self.pin} if self.pin else {})
        return f"{SCHEME}:?{urlencode(fields)}"


def read_line(line: str) -> Invitation:
    """An invitation from its line; raises ContractError."""
    scheme, _, rest = line.strip().partition(":")
    try:
        fields = parse_qs(rest.removeprefix("?"), max_num_fields=10)
    except ValueError as error:
        raise ContractError("bad_field", "too many fields") from error
    if scheme != SCHEME or not {"server", "code"} <= set(fields):
        raise ContractError("bad_field", f"not a line of {SCHEME}:?server=...&code=...")
    return Invitation(fields["server"][0], fields["code"][0], fields.get("pin", [""])[0])


def certificate(pem: str) -> tuple[str, bytes]:
    """The first certificate of a PEM text, as PEM and as DER; raises ContractError where there is none."""
    found = _PEM.search(pem)
    if found is None:
        raise ContractError("bad_field", "no certificate in PEM form")
    try:
        return found[0], base64.b64decode("".join(found[1].split()), validate=True)
    except binascii.Error as error:
        raise ContractError("bad_field", "no certificate in PEM form") from error


def pin_of(pem: str) -> str:
    """A CA's fingerprint, short enough to be typed: 160 bits of the SHA-256 of its DER form. Raises ContractError."""
    digest = hashlib.sha256(certificate(pem)[1]).digest()[:_PIN_BYTES]
    signs = base64.b32encode(digest).decode().translate(_SIGNS)
    return "-".join(signs[at : at + 4] for at in range(0, len(signs), 4))


def same_pin(one: str, other: str) -> bool:
    """Whether two pins mean the same: small letters, dashes and look-alikes do not count. An empty one is none."""
    return bool(_plain(one)) and _plain(one) == _plain(other)


def _plain(pin: str) -> str:
    return re.sub(r"[^0-9A-Z]", "", pin.upper()).translate(str.maketrans("OIL", "011"))
